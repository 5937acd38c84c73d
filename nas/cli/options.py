"""Options that several commands share, so that they read and behave alike everywhere.

Each is a click decorator. `runtime`, `threads`, `batch_size` together make a workload.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from nas import latency, models
from nas.api.targets import DEFAULT_MODEL


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = [
        CompletionItem(name, help=kind)
        for name, _, kind in models.available_models()
        if name.startswith(incomplete)
    ]
    return [*names, CompletionItem(incomplete, type="file")]


def _complete_runtime(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in latency.runtime_names() if name.startswith(incomplete)]


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def count_option(
    flag: str, default: int | None, help: str | None, *, least: int | None = 1, most: int | None = None
) -> Decorator:
    """Return an option that is a whole number within limits; one without a default is None."""
    return click.option(
        flag, type=click.IntRange(least, most), default=default, show_default=default is not None, help=help
    )


def path_option(*names: str, help: str, default: str | None = None) -> Decorator:
    """Return an option that is a path."""
    return click.option(
        *names, type=click.Path(path_type=Path), default=default, show_default=default is not None, help=help
    )


def named_model_option(help: str, default: str | None = None) -> Decorator:
    """Return the option --model, which a shell completes with the names of models."""
    return click.option(
        "--model", metavar="NAME|PATH", default=default, show_default=default is not None,
        shell_complete=_complete_model, help=help,
    )  # fmt: skip


json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout instead of the table."
)
model_option: Decorator = named_model_option(
    "A shipped or cached supernet's name, or a model folder.", DEFAULT_MODEL
)
quality_option: Decorator = click.option(
    "--quality",
    metavar="NAME",
    default=None,
    help="What is maximised, such as top1, distance or kid (default: the first that the kind of model has).",
)
runtime_option: Decorator = click.option(
    "--runtime",
    metavar="NAME",
    default=None,
    shell_complete=_complete_runtime,
    help="What runs the model: onnxruntime, openvino, torch, torch-compile, cuda (default: the best one here).",
)
threads_option: Decorator = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=lambda: latency.default_threads(),
    show_default="2, or 1 on a single core",
    help="Threads that the model may use.",
)
batch_size_option: Decorator = count_option("--batch-size", 1, "Images in one pass.")
seed_option: Decorator = count_option("--seed", 0, "Same seed, same answer.", least=0)


def read_settings(settings: tuple[str, ...], option: str) -> dict[str, Any]:
    """Read `key=value` pairs; a value that is no TOML is taken as text."""
    import tomllib

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise click.BadParameter(f"{setting!r} is no KEY=VALUE pair", param_hint=option)
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text
    return values
