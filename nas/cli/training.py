"""What commands that train are: a recipe, data, a folder, what changes the recipe, and the folder of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from nas import api, train
from nas.cli.data import data_options, given_data
from nas.cli.options import Decorator, count_option, json_option, read_settings
from nas.cli.output import emit_json, shown_progress

steps_option: Decorator = click.option("--steps", type=click.IntRange(min=1), default=None)
lr_option: Decorator = click.option("--lr", type=float, default=None, help="Peak learning rate.")
recipe_seed_option: Decorator = click.option("--seed", type=click.IntRange(min=0), default=None)


def batch_size_option(least: int = 1) -> Decorator:
    """Return the option --batch-size of a recipe whose batches have at least so many images."""
    return click.option("--batch-size", type=click.IntRange(min=least), default=None)


def training_command(
    help: str,
    names: Callable[[], list[str]],
    recipes: str,
    changes: Mapping[str, Decorator],
    *,
    start: str,
    task: str = "classification",
    kind: str | None = None,
    needs_data: bool = True,
    of_data: Mapping[str, Decorator] | None = None,
    answer: Callable[[api.TrainingResult], Mapping[str, Any]] = lambda found: found.to_dict(),
) -> click.Command:
    """Return a command that trains by `nas.api.train_model`.

    Args:
        help: Of the command; it begins with what it does, and shows examples.
        names: Gives the names of known recipes to a shell that completes.
        recipes: Says which there are, in the help of --recipe.
        changes: Options that change a setting of the recipe, by its name.
        start: The help of --start, with its metavar before a colon: "RUN|MODEL: what it is".
        task: What is trained.
        kind: Which of the task's trainings; None for the one whose recipe it is, else the first.
        needs_data: Whether --data must be given.
        of_data: Options that say more of the data, by the name of the argument that they are.
        answer: What --json prints of the result.
    """
    of_data = of_data or {}

    def command(
        recipe: str, output: Path, start: str | None, resume: bool, settings: tuple[str, ...],
        device: str | None, threads: int | None, tensorboard: bool, as_json: bool, **options: Any,
    ) -> None:  # fmt: skip
        more = {name: options.pop(name) for name in of_data}
        data = given_data(options)
        changed = {name: options[name] for name in changes if options[name] is not None}
        with shown_progress() as progress:
            found = api.train_model(
                recipe, None if data is None else {**data, **more}, output, task=task, kind=kind, start=start,
                changes={**read_settings(settings, "--set"), **changed}, resume=resume, device=device, threads=threads,
                tensorboard=tensorboard, progress=progress,
            )  # fmt: skip
        if not train.is_main_process():
            return
        if as_json:
            emit_json(answer(found))
        else:
            click.echo(str(found.folder))

    metavar, _, said = start.partition(": ")
    options = (
        _recipe_option(names, recipes),
        data_options(needs_data),
        *of_data.values(),
        click.option("--output", type=click.Path(path_type=Path), required=True, help="The run's folder."),
        click.option("--start", metavar=metavar, default=None, help=said),
        click.option("--resume", is_flag=True, help="Continue the run in --output from its last checkpoint."),
        *changes.values(),
        *_MACHINE,
    )
    decorated: Callable[..., None] = command
    for option in reversed(options):
        decorated = option(decorated)
    return click.command(help=help)(decorated)


def _recipe_option(names: Callable[[], list[str]], help: str) -> Decorator:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return click.option("--recipe", metavar="NAME|FILE", required=True, shell_complete=complete, help=help)


_MACHINE: tuple[Decorator, ...] = (
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting of the recipe, as TOML."
    ),
    click.option("--device", metavar="cpu|cuda|cuda:N", default=None, help="Default: CUDA where there is any."),
    count_option("--threads", None, "Default: all cores."),
    click.option("--tensorboard", is_flag=True, help="Also write TensorBoard logs into the run's folder."),
    json_option,
)  # fmt: skip
