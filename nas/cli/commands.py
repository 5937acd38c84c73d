"""What the commands of other packages are made of (entry point group "anyfit.commands"); it imports click alone."""

from __future__ import annotations

from nas.cli.data import data_options, given_data, opened
from nas.cli.group import LazyGroup
from nas.cli.options import json_option, runtime_option, seed_option, threads_option
from nas.cli.output import emit_json, emit_result, log, progress_bar, result_console, shown_progress
from nas.cli.training import (
    machine_options,
    output_option,
    overrides,
    recipe_option,
    resume_option,
    tell_model,
)

__all__ = [
    "LazyGroup",
    "data_options",
    "emit_json",
    "emit_result",
    "given_data",
    "json_option",
    "log",
    "machine_options",
    "opened",
    "output_option",
    "overrides",
    "progress_bar",
    "recipe_option",
    "result_console",
    "resume_option",
    "runtime_option",
    "seed_option",
    "shown_progress",
    "tell_model",
    "threads_option",
]
