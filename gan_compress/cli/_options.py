"""What the commands of `nas gan` share: their options, and which model and subnets are meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gan_compress import stylegan2
from nas.api.figures import load_supernet, read_subnet
from nas.api.targets import NAMED_SUBNETS, Target, find_target
from nas.cli.commands import result_console
from nas.errors import UsageError
from nas.models import available_models

if TYPE_CHECKING:
    from nas.models import Model
    from nas.space import Subnet

DEFAULT_MODEL = "anycost-digits"
MOVING = (".gif", ".apng", ".png")
_MOST = 2**32 - 1

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:

    return [name for name, _, _ in available_models() if name.startswith(incomplete)]


model_option: Decorator = click.option(
    "--model",
    metavar="NAME|PATH",
    default=None,
    shell_complete=_complete_model,
    help=f"A generator's name or folder (default: the run's, or {DEFAULT_MODEL}).",
)
subnet_option: Decorator = click.option(
    "--subnet", metavar="SUBNET", default="largest", show_default=True, help="Which subnet makes the images."
)
subnets_option: Decorator = click.option(
    "--subnet", "subnets", metavar="SUBNET", multiple=True, help="A subnet; may be given several times."
)
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(0, _MOST), default=0, show_default=True, help="Same seed, same image."
)
seeds_option: Decorator = click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0, _MOST),
    multiple=True,
    help="A seed; may be given several times.",
)
class_option: Decorator = click.option(
    "--class", "label", metavar="CLASS", default=None, help="A class's name or number (default: by the seed)."
)
truncation_option: Decorator = click.option(
    "--truncation",
    type=click.FloatRange(0, 2),
    default=1.0,
    show_default=True,
    help="How far from the mean of the class: less is more typical, 0 is the mean itself.",
)
zoom_option: Decorator = click.option(
    "--zoom",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Show every pixel so many times larger.",
)
fps_option: Decorator = click.option(
    "--fps", type=click.FloatRange(0.5, 50), default=10.0, show_default=True, help="Pictures a second."
)


def output_option(help: str, default: str | None = None) -> Decorator:
    """Return the option --output with its own help."""
    return click.option(
        "--output",
        type=click.Path(path_type=Path),
        default=default and Path(default),
        show_default=bool(default),
        help=help,
    )


def open_model(model: str | None, subnets: Sequence[str]) -> tuple[Model, dict[str, Subnet]]:
    """Return the generator (`model`, or the one that the first run or file among `subnets` belongs to) and its subnets.

    Raises `UsageError` for a model of another kind and for a subnet that it does not have.
    """

    targets = {text: target_of(text) for text in subnets if not stylegan2.is_ratio(text)}
    named = [target for target in targets.values() if target.path is not None]
    loaded = load_supernet(named[0] if named else Target("largest", "subnet"), model, DEFAULT_MODEL)
    stylegan2.generator_family(loaded)
    found = {
        text: read_subnet(targets[text], loaded) if text in targets else stylegan2.ratio_subnet(loaded, text)
        for text in subnets
    }
    return loaded, found


def target_of(text: str) -> Any:
    """Return what `text` names: a subnet's name, a run or a file; raises `UsageError` for anything else."""

    if text not in NAMED_SUBNETS and not Path(text).exists():
        raise UsageError(
            f"there is no subnet {text!r}; give 'largest', 'smallest', a width such as 0.5 or 0.5@16, "
            "a run folder or a subnet.json"
        )
    target = find_target(text)
    if target.kind == "model":
        raise UsageError(f"{text} is a model and no subnet; name it with --model")
    return target


def subnet_words(model: Model, subnet: Subnet) -> str:
    """Return a subnet's resolution and channels for readers."""

    family = stylegan2.generator_family(model)
    return f"{family.resolution_of(subnet)} px, channels {'-'.join(map(str, family.channels(subnet)[1::2]))}"


def say(text: str) -> None:
    """Print one line of the answer on stdout."""

    result_console().print(text, soft_wrap=True, markup=False)
