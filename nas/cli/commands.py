"""What the commands of other packages are made of (entry point group "anyfit.commands"); it imports click alone."""

from __future__ import annotations

from nas.cli.data import data_options, given_data
from nas.cli.group import LazyGroup
from nas.cli.options import (
    Decorator,
    count_option,
    json_option,
    named_model_option,
    path_option,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.cli.output import emit_json, emit_result, log, result_console, shown_progress
from nas.cli.training import (
    batch_size_option,
    lr_option,
    recipe_seed_option,
    steps_option,
    training_command,
)

__all__ = [
    "Decorator",
    "LazyGroup",
    "batch_size_option",
    "count_option",
    "data_options",
    "emit_json",
    "emit_result",
    "given_data",
    "json_option",
    "log",
    "lr_option",
    "named_model_option",
    "path_option",
    "recipe_seed_option",
    "result_console",
    "runtime_option",
    "seed_option",
    "shown_progress",
    "steps_option",
    "threads_option",
    "training_command",
]
