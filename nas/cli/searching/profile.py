"""`nas profile`: measure this machine and fit the latency predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import api, latency, models
from nas.cli.options import (
    batch_size_option,
    json_option,
    model_option,
    path_option,
    runtime_option,
    seed_option,
    threads_option,
)
from nas.cli.output import emit_json, result_console, shown_progress
from nas.files import new_place


@click.command()
@model_option
@runtime_option
@threads_option
@batch_size_option
@click.option(
    "--samples",
    type=click.IntRange(min=20),
    default=lambda: latency.SAMPLES,
    show_default="80",
    help="Subnets to measure.",
)
@click.option("--force", is_flag=True, help="Measure anew even if this machine's profile is cached.")
@path_option("--import", "imported", help="Check a profile from elsewhere and put it in place.")
@path_option("--output", help="Also write the profile to this file.")
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
    if listing:
        _list(as_json)
        return
    new_place(output)
    loaded = api.Model.of(models.load_model(model))
    how: dict[str, Any] = {"runtime": runtime, "threads": threads, "batch_size": batch_size}
    with shown_progress(announces=False) as progress:
        if drift:
            found = api.measure_drift(loaded, **how, progress=progress)
        elif imported is not None:
            found = api.import_profile(loaded, imported, **how)
        else:
            found = loaded.profile(**how, samples=samples, seed=seed, force=force, progress=progress)
    if isinstance(found, latency.Drift):
        _show_drift(found, loaded.name, how, as_json)
        return
    if output is not None:
        found.save(output)
    _show(found, loaded.name, api.profile_place(loaded, **how), as_json)


def _list(as_json: bool) -> None:
    paths = [str(path) for path in latency.cached_profiles()]
    if as_json:
        emit_json({"profiles": paths})
    else:
        click.echo("\n".join(paths) or "no profile is cached yet")


def _show_drift(found: latency.Drift, model: str, how: dict[str, Any], as_json: bool) -> None:
    if as_json:
        runtime = latency.chosen_runtime(how.pop("runtime")).name
        workload = latency.Workload(**how).to_dict()
        emit_json({"model": model, "runtime": runtime, "workload": workload, **found.to_dict()})
        return
    result_console().print(found.table().to_rich())
    click.echo(
        f"calm latencies are {found.ratio:.2f} times those of the profile ({len(found.now_ms)} subnets, median); "
        f"at the moment the machine takes {found.pace:.2f} times as long as when it is calm"
    )


def _show(profile: latency.Profile, model: str, path: Path, as_json: bool) -> None:
    if as_json:
        emit_json({"model": model, **profile.summary(), "path": str(path)})
        return
    console = result_console()
    console.print(profile.table().to_rich())
    console.print(f"profile of {model}: {path}", soft_wrap=True, markup=False)
    if not profile.is_good:
        console.print(f"warning: {profile.doubt}", style="yellow")
    middle = (profile.smallest_ms * profile.largest_ms) ** 0.5
    console.print(f"next: nas search --model {model} --latency {middle:.2g}ms")
