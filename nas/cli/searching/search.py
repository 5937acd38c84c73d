"""`nas search`: the best subnet within a budget, measured on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nas import api, models, search
from nas.cli.data import data_options, given_data
from nas.cli.options import (
    batch_size_option,
    count_option,
    json_option,
    model_option,
    path_option,
    quality_option,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.cli.output import emit_result, shown_progress
from nas.errors import InfeasibleError, UsageError
from nas.progress import Listener

_SAMPLERS = ("anyfit", "tpe", "nsga2", "random", "evolution")
_KEPT = ("resume", "trials", "as_json")  # what may be given beside --resume
_OF_ZOO = ("zoo", "latency", "macs", "params", "size", "quality", "runtime", "threads", "batch_size")


@click.command()
@click.option("--latency", metavar="TIME", help="At most this long for one pass: 20ms, 0.8ms, 500us, 1s.")
@click.option("--macs", metavar="COUNT", help="At most so many multiply-accumulates for one image: 20M.")
@click.option("--params", metavar="COUNT", help="At most so many parameters: 1.5M.")
@click.option("--size", metavar="BYTES", help="At most this much for the weights: 6MB.")
@model_option
@click.option("--zoo", metavar="NAME", default=None, help="Choose among published models instead: timm.")
@data_options(required=False)
@quality_option
@runtime_option
@threads_option
@batch_size_option
@click.option(
    "--statistic",
    type=click.Choice(["median", "p90", "p99"]),
    default="median",
    show_default=True,
    help="What the latency budget is about: the median of the runs, or a quantile of them.",
)
@count_option(
    "--trials",
    None,
    "Subnets to evaluate.  [default: 500; 64 where each is measured: with --data, and without a table]",
)
@click.option(
    "--sampler",
    type=click.Choice(_SAMPLERS),
    default="anyfit",
    show_default=True,
    help="What proposes subnets: ours, one of Optuna's, or once-for-all's evolution.",
)
@seed_option
@click.option(
    "--storage",
    metavar="URL",
    default=None,
    help="An Optuna storage.  [default: a journal in the run folder]",
)
@path_option("--run-dir", help="A new folder for the run.  [default: runs/MODEL-BUDGET-N]")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    default=None,
    metavar="RUN",
    help="Continue the run in this folder.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool, resume: Path | None, **options: Any) -> None:
    """Find the best subnet within a latency, MACs, parameter or size budget.

    \b
      nas search --latency 20ms
      nas search --latency 2ms --size 1MB --threads 1
      nas search --macs 5M --data path/to/images
      nas search --resume runs/mbv3-cifar10-20ms-1
      nas search --zoo timm --latency 20ms        the best published model

    Candidates are ranked by prediction; finalists are measured on this machine, and the answer's measured latency is
    within the budget. Latencies are those of the calm machine: reference programs that run in turns with what is
    measured tell how far it is from its calm pace. Exit code 3: no subnet keeps the budget.
    """
    with _sigterm_interrupts(), shown_progress() as progress:
        if options["zoo"] is not None:
            _refuse_others(
                ctx, "--zoo", (*_OF_ZOO, "as_json"), "which asks for published models; leave it out"
            )
            _search_zoo({name: options[name] for name in _OF_ZOO}, as_json, progress)
            return
        del options["zoo"]
        if resume is not None:
            _refuse_others(ctx, "--resume", _KEPT, "but the run has its own; give only --trials with it")
            found = api.resume_search(resume, options["trials"], progress)
        else:
            run_dir = options.pop("run_dir")
            found = api.search_model(_config(options, run_dir, progress), run_dir, progress)
    outcome = found.outcome
    emit_result(found, as_json)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.answer is None:
        raise InfeasibleError(outcome.reason)


def _config(options: dict[str, Any], run_dir: Path | None, progress: Listener) -> search.SearchConfig:
    """Return what is searched; what is wrong is said before anything large is imported."""
    budget = search.Budget.parse(*(options.pop(name) for name in ("latency", "macs", "params", "size")))
    if run_dir is not None and run_dir.exists():
        raise UsageError(f"{run_dir} already exists; name a new folder, or continue it with --resume")
    data, model = given_data(options), options.pop("model")
    return search.SearchConfig(budget, models.model_place(model, progress), data=data, **options)


def _search_zoo(options: dict[str, Any], as_json: bool, progress: Listener) -> None:
    found = api.search_zoo(**options, progress=progress)
    emit_result(found, as_json)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.answer is None:
        raise InfeasibleError(found.reason)


def _refuse_others(ctx: click.Context, beside: str, kept: Sequence[str], why: str) -> None:
    """Refuse what means nothing beside an option."""
    for name in ctx.params:
        if name not in kept and ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is given beside {beside}, {why}")


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the search as Ctrl-C does: with the best so far, on disk."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
