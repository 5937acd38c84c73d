"""What the commands that train share: their options, the recipe that these make, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from nas import api, train
from nas.cli.options import json_option, read_settings
from nas.cli.output import emit_json

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def recipe_option(names: Callable[[], list[str]], help: str) -> Decorator:
    """Return the option --recipe; `names` gives the known ones to a shell that completes."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return click.option(
        "--recipe", metavar="NAME|FILE", required=True, shell_complete=complete, help=help
    )  # fmt: skip


output_option: Decorator = click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The run's folder."
)
resume_option: Decorator = click.option(
    "--resume", is_flag=True, help="Continue the run in --output from its last checkpoint."
)


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --set, --device, --threads, --tensorboard and --json."""
    options = (
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other setting of the recipe, as TOML.",
        ),
        click.option(
            "--device", metavar="cpu|cuda|cuda:N", default=None, help="Default: CUDA where there is any."
        ),
        click.option("--threads", type=click.IntRange(min=1), default=None, help="Default: all cores."),
        click.option(
            "--tensorboard", is_flag=True, help="Also write TensorBoard logs into the run's folder."
        ),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def overrides(
    settings: tuple[str, ...], options: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """Return what changes the recipe: --set, and those options among `names` that were given."""
    given = {name: options[name] for name in names if options[name] is not None}
    return {**read_settings(settings, "--set"), **given}


def tell_model(found: api.TrainingResult, as_json: bool, facts: tuple[str, ...] = ()) -> None:
    """Print the trained model's folder, or with `as_json` what is known of it too: all, or only these `facts`."""
    if not train.is_main_process():
        return
    if as_json:
        value = found.to_dict()
        info = value.pop("info")
        emit_json({**value, **({name: info[name] for name in facts} if facts else {"info": info})})
    else:
        click.echo(str(found.folder))
