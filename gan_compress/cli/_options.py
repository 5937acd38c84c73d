"""The options that the commands of `nas gan` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nas.models import available_models

DEFAULT_MODEL = "anycost-digits"
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
    "--fps",
    "frames_per_second",
    type=click.FloatRange(0.5, 50),
    default=10.0,
    show_default=True,
    help="Pictures a second.",
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
