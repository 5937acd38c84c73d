"""`nas search`: the best subnet within a budget, measured on this machine."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nas._errors import InfeasibleError, UsageError
from nas.cli._data import data_options
from nas.cli._options import (
    batch_size_option,
    json_option,
    model_option,
    quality_option,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.cli._output import emit_json, log, log_console, result_console

if TYPE_CHECKING:
    from nas.search import Outcome
    from nas.search._testbed import Progress

_SAMPLERS = ("anyfit", "tpe", "nsga2", "random", "evolution")
_KEPT = ("resume", "trials", "as_json")  # what may be given beside --resume


@click.command()
@click.option("--latency", metavar="TIME", help="At most this long for one pass: 20ms, 0.8ms, 500us, 1s.")
@click.option("--macs", metavar="COUNT", help="At most so many multiply-accumulates for one image: 20M.")
@click.option("--params", metavar="COUNT", help="At most so many parameters: 1.5M.")
@click.option("--size", metavar="BYTES", help="At most this much for the weights: 6MB.")
@model_option
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
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=None,
    help="Subnets to evaluate.  [default: 500; 64 where each is measured: with --data, and without a table]",
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
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=None,
    help="A new folder for the run.  [default: runs/MODEL-BUDGET-N]",
)
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

    Candidates are ranked by prediction; finalists are measured on this machine, and the answer's measured latency is
    within the budget. Latencies are those of the calm machine: reference programs that run in turns with what is
    measured tell how far it is from its calm pace. Exit code 3: no subnet keeps the budget.
    """
    with _sigterm_interrupts(), _progress() as progress:
        if resume is not None:
            outcome = _resumed(ctx, resume, options["trials"], progress)
        else:
            outcome = _searched(options, progress)
    if as_json:
        emit_json(outcome.to_dict())
    else:
        _show(outcome)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.answer is None:
        raise InfeasibleError(outcome.reason)


def _searched(options: dict[str, Any], progress: Progress) -> Outcome:
    from nas.search import Budget

    budget = Budget.parse(*(options[name] for name in ("latency", "macs", "params", "size")))
    run_dir: Path | None = options["run_dir"]
    if run_dir is not None and run_dir.exists():
        raise UsageError(f"{run_dir} already exists; name a new folder, or continue it with --resume")
    from nas.families import available_models, find_model
    from nas.search import SearchConfig, new_run, open_testbed

    model = find_model(options["model"])
    is_named = options["model"] in [name for name, _, _ in available_models()]
    kept = (
        "runtime",
        "batch_size",
        "threads",
        "quality",
        "statistic",
        "trials",
        "sampler",
        "seed",
        "storage",
    )
    config = SearchConfig(
        budget,
        options["model"] if is_named else str(model.resolve()),
        data=_data(options),
        **{name: options[name] for name in kept},
    )
    with open_testbed(config, progress) as bed:
        if config.data is None and bed.scorer.source == "measured":
            kind = bed.scorer.quality
            log(
                f"{model.name} has no table of {kind.label}, so that each trial is measured; "
                f"`nas measure {options['model']} --quality {kind.name}` makes one, and searches then take seconds"
            )
        return new_run(config, bed, run_dir, f"{model.name}-{budget.slug}", progress)


def _data(options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of `open_data`, or None without --data."""
    if options["data"] is None:
        return None
    names = {"spec": "data", "root": "data_root", "download": "download"}
    names |= {name: name for name in ("image_column", "label_column")}
    return {argument: options[option] for argument, option in names.items()}


def _resumed(ctx: click.Context, path: Path, trials: int | None, progress: Progress) -> Outcome:
    from nas.search import RunFolder, SearchConfig, open_testbed, resume_run, stored_outcome

    for name in ctx.params:
        if name not in _KEPT and ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} is given beside --resume, but the run has its own; give only --trials with it"
            )
    folder = RunFolder.open(path)
    folder.require_idle()
    with open_testbed(SearchConfig.from_run(folder.info), progress) as bed:
        known = stored_outcome(folder, bed, trials)
        return known or resume_run(folder, bed, trials, progress)


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


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a progress function: a bar on a terminal's stderr, else a line for each new stage and every ten seconds."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from nas.progress import ProgressFile, ProgressLines

    told, lines = ProgressFile(), ProgressLines(log)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    is_terminal = sys.stderr.isatty()
    with Progress(*columns, console=log_console(), transient=True, disable=not is_terminal) as bars:
        task = bars.add_task("starting", total=None, note="")
        stage = ""

        def advance(now: str, done: int, total: int, note: str) -> None:
            nonlocal stage
            if now != stage:
                stage = now
                bars.reset(task, description=now, total=total or None)
                if not is_terminal:
                    log(f"{now} ...")
            if not is_terminal:
                lines.write(now, done, total, note)
            bars.update(task, description=now, completed=done, total=total or None, note=note)
            told.write(now, done, total, note)

        yield advance


# --- the answer on a terminal -----------------------------------------------------------------------------------------


def _show(outcome: Outcome) -> None:
    from nas.api.tables import outcome_table
    from nas.search._outcome import pace_sentence

    console = result_console()
    if outcome.answer is not None or outcome.ladder:
        console.print(outcome_table(outcome).to_rich())
    if outcome.answer is None:
        return
    console.print(
        f"smallest subnet {_ms(outcome.smallest_ms)}, largest {_ms(outcome.largest_ms)} (measured); "
        f"{outcome.trials} subnets evaluated"
    )
    if outcome.answer.pace is not None:
        console.print(pace_sentence(outcome.answer.pace))
    if outcome.reason:
        console.print(outcome.reason)
    for warning in outcome.warnings:
        console.print(f"warning: {warning}", style="yellow")
    if outcome.run_dir is not None:
        console.print(
            f"\nrun folder   {outcome.run_dir} (pareto.png, pareto.csv, subnet.json)", soft_wrap=True
        )
        if outcome.interrupted:
            console.print(f"continue     nas search --resume {outcome.run_dir}", soft_wrap=True)
        console.print(f"next         nas export {outcome.run_dir} --format onnx", soft_wrap=True)


def _ms(value: float) -> str:
    from nas.latency.units import format_ms

    return format_ms(value)
