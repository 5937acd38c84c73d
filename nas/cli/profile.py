"""`nas profile`: measure this machine and fit the latency predictor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli._options import (
    batch_size_option,
    json_option,
    model_option,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.cli._output import emit_json, log, progress_bar, result_console

if TYPE_CHECKING:
    from nas.families import Model
    from nas.latency.profile import Profile
    from nas.latency.runtimes import Runtime
    from nas.latency.workload import Workload


def _samples() -> int:
    """Return how many subnets a search measures where there is no profile."""
    from nas.latency.profile import SAMPLES

    return SAMPLES


@click.command()
@model_option
@runtime_option
@threads_option
@batch_size_option
@click.option(
    "--samples", type=click.IntRange(min=20), default=_samples, show_default="80", help="Subnets to measure."
)
@click.option("--force", is_flag=True, help="Measure anew even if this machine's profile is cached.")
@click.option(
    "--import",
    "imported",
    type=click.Path(path_type=Path),
    help="Check a profile from elsewhere and put it in place.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Also write the profile to this file.")
@click.option(
    "--drift",
    is_flag=True,
    help="Measure a few of the cached profile's subnets again: how far off is it now?",
)
@click.option("--list", "listing", is_flag=True, help="List the cached profiles.")
@seed_option
@json_option
def command(
    model: str,
    runtime: str | None,
    threads: int,
    batch_size: int,
    samples: int,
    force: bool,
    imported: Path | None,
    output: Path | None,
    drift: bool,
    listing: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Measure subnets here and fit the predictor that a search uses.

    The profile is kept in the user's cache folder; a search makes it by itself where there is none.
    """
    from nas.latency.profile import cached_profiles

    if listing:
        paths = [str(path) for path in cached_profiles()]
        emit_json({"profiles": paths}) if as_json else click.echo(
            "\n".join(paths) or "no profile is cached yet"
        )
        return
    from nas._errors import UsageError
    from nas._files import write_json
    from nas.families import load_model
    from nas.latency.profile import load_profile, profile_path
    from nas.latency.profiling import build_profile
    from nas.latency.runtimes import default_runtime, get_runtime
    from nas.latency.workload import Workload

    loaded = load_model(model)
    chosen = get_runtime(runtime) if runtime else default_runtime()
    workload = Workload(batch_size=batch_size, threads=threads)
    chosen.require(workload)
    path = profile_path(loaded, chosen, workload)
    if drift:
        _drift(loaded, chosen, workload, as_json)
        return
    if output is not None and output.exists():
        raise UsageError(f"{output} already exists; name a new file")
    if imported is not None:
        profile = load_profile(loaded, chosen, workload, imported)
        profile.save(path)
    elif path.exists() and not force:
        profile = load_profile(loaded, chosen, workload)
    else:
        with progress_bar("measuring subnets") as advance:
            profile = build_profile(loaded, chosen, workload, samples, seed, advance, log)
        profile.save(path)
    if output is not None:
        write_json(output, profile.to_dict())
    _show(profile, loaded.name, path, as_json)


def _drift(model: Model, runtime: Runtime, workload: Workload, as_json: bool) -> None:
    from nas._errors import UsageError
    from nas.latency.drift import measure_drift
    from nas.latency.profile import load_profile, profile_path
    from nas.latency.units import format_ms

    path = profile_path(model, runtime, workload)
    if not path.exists():
        raise UsageError(
            f"{model.name} has no profile under {runtime.name}, {workload}; make one with `nas profile`"
        )
    with progress_bar("measuring again") as advance:
        found = measure_drift(
            model, load_profile(model, runtime, workload), runtime, workload, progress=advance
        )
    if as_json:
        emit_json(
            {"model": model.name, "runtime": runtime.name, "workload": workload.to_dict(), **found.to_dict()}
        )
        return
    for then, now, raw in zip(found.then_ms, found.now_ms, found.raw_ms, strict=True):
        click.echo(f"{format_ms(then)} when profiled, {format_ms(now)} now ({format_ms(raw)} by the clock)")
    click.echo(
        f"calm latencies are {found.ratio:.2f} times those of the profile ({len(found.now_ms)} subnets, median); "
        f"at the moment the machine takes {found.pace:.2f} times as long as when it is calm"
    )


def _show(profile: Profile, model: str, path: Path, as_json: bool) -> None:
    bound: dict[str, Any] = dict(profile.bound)
    answer = {
        "model": model,
        "runtime": bound["runtime"],
        "workload": bound["workload"],
        "machine": bound["machine"],
        "samples": len(profile.codes),
        "predictor": profile.predictor.kind,
        "held_out_error": dict(profile.error),
        "is_good": profile.is_good,
        "restless_samples": profile.restless,
        "made": profile.made,
        "reference_calm_ms": dict(profile.calm),
        "smallest_latency_ms": profile.smallest_ms,
        "largest_latency_ms": profile.largest_ms,
        "path": str(path),
    }
    if as_json:
        emit_json(answer)
        return
    from rich.table import Table

    from nas.latency.units import format_ms

    table = Table(title=f"{model} under {bound['runtime']} {bound['runtime_version']}", show_header=False)
    error = profile.error
    for name, value in (
        ("subnets measured", str(len(profile.codes))),
        ("smallest", format_ms(profile.smallest_ms)),
        ("largest", format_ms(profile.largest_ms)),
        ("predictor", profile.predictor.kind),
        ("measured on", f"{profile.made}, at the calm pace of this machine"),
        (f"median error on {error['n']:.0f} held-out subnets", f"{error['median_pct']:.1f}%"),
        ("Kendall's τ there", f"{error['kendall']:.3f}"),
        ("profile", str(path)),
    ):
        table.add_row(name, value)
    console = result_console()
    console.print(table)
    if not profile.is_good:
        console.print(f"warning: {profile.doubt}", style="yellow")
    middle = (profile.smallest_ms * profile.largest_ms) ** 0.5
    console.print(f"next: nas search --model {model} --latency {middle:.2g}ms")
