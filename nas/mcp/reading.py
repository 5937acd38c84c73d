"""Runs, jobs and models as the tools answer them, read from disk: none of this loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas import jobs
from nas.errors import NasError
from nas.latency.units import format_ms
from nas.mcp.answers import (
    FoundNetwork,
    FrontPoint,
    JobStatus,
    Limits,
    ModelSummary,
    Promise,
    RunReport,
    RunSummary,
)
from nas.models import available_models, read_model_config
from nas.search import Candidates, RunFolder, read_candidates

_ERROR = "nas: error: "


def model_summaries() -> list[ModelSummary]:
    """Return all models that have a name."""
    return [_model(name, path, kind) for name, path, kind in available_models()]


def _model(name: str, path: Path, kind: str) -> ModelSummary:
    try:
        config, problem = read_model_config(path), ""
    except NasError as error:
        config, problem = {"family": "", "classes": []}, str(error)
    return ModelSummary(
        name=name,
        kind=kind,
        family=config["family"],
        classes=len(config["classes"]) or None,
        problem=problem,
        folder=str(path),
    )


# --- jobs -------------------------------------------------------------------------------------------------------------


def job_status(job: jobs.Job, most: int = 0) -> JobStatus:
    """Return a job as it is now, with about `most` points of its front."""
    progress = job.progress() or {} if job.state == "running" else {}
    found = _candidates(job) if most else None
    return JobStatus(
        job_id=job.id,
        kind=job.kind,
        title=job.title,
        state=job.state,
        is_live=job.is_live,
        is_stopping=job.is_stopping,
        run=job.run,
        stage=progress.get("stage", ""),
        stage_done=progress.get("done", 0),
        stage_total=progress.get("total", 0),
        stage_seconds_left=progress.get("left_s"),
        note=progress.get("note", ""),
        seconds_spent=job.seconds,
        message=_message(job),
        quality_name="" if found is None else found.quality["name"],
        quality_unit="" if found is None else found.quality["unit"],
        front_size=0 if found is None else len(found.front()),
        front=[] if found is None else front_points(found, most),
        command=jobs.command_line(job.argv),
    )


def _candidates(job: jobs.Job) -> Candidates | None:
    """Return what a search has evaluated so far; None before its first trials, and of other jobs."""
    return None if job.kind != "search" or job.run is None else _evaluated(jobs.safe_folder(job.run))


def _evaluated(folder: Path) -> Candidates | None:
    try:
        return read_candidates(folder)
    except NasError:
        return None


def _message(job: jobs.Job) -> str:
    if job.state == "queued":
        return "it is about to begin, or waits for another job to end: one job runs at a time"
    if job.is_stopping:
        return "it was cancelled and ends with its best so far; follow it until it has ended"
    if job.state == "running":
        return "it runs; follow it again"
    is_answered = job.run is not None and (card := jobs.read_card(job.run)) is not None and bool(card.answer)
    if job.state == "finished":
        return f"read_run({job.run!r}) has the answer" if is_answered else "it has finished"
    if job.state == "cancelled":
        return (
            f"it was cancelled; read_run({job.run!r}) has its best so far"
            if is_answered
            else "it was cancelled"
        )
    return job.failure().removeprefix(_ERROR)


def front_points(found: Candidates, most: int) -> list[FrontPoint]:
    """Return the Pareto front, quickest first: `most` of its points, evenly, and all that were measured."""
    front = found.front()
    kept = np.zeros(len(front), dtype=bool)
    kept[np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int)] = True
    kept |= np.isfinite(found.measured_ms[front])
    return [
        FrontPoint(
            latency_ms=float(found.latency_ms[row]),
            is_latency_measured=bool(np.isfinite(found.measured_ms[row])),
            quality=float(found.value[row]),
            quality_source=str(found.source[row]),
            keeps_budget=bool(found.feasible[row]),
            macs=int(found.macs[row]),
            params=int(found.params[row]),
            size_bytes=int(found.size_bytes[row]),
            trial=int(found.trial[row]),
        )
        for row in front[kept].tolist()
    ]


# --- runs -------------------------------------------------------------------------------------------------------------


def run_summaries() -> list[RunSummary]:
    """Return what was searched and exported below the root, the newest first."""
    return [_summary(card) for card in jobs.list_cards()]


def _summary(card: jobs.Card) -> RunSummary:
    answer = card.answer or {}
    quality = answer.get("quality", {})
    return RunSummary(
        name=card.name,
        kind=card.kind,
        state=card.state,
        model=card.model,
        budget=Limits.model_validate(card.budget),
        quality_name=quality.get("name", ""),
        quality=quality.get("value"),
        measured_latency_ms=answer.get("latency_ms", {}).get("measured"),
        problem=card.problem,
    )


def run_report(name: str, most: int) -> RunReport:
    """Return a run as its folder has it, with about `most` points of its front.

    Raises:
        UsageError: No run of this name.
        NasError: A damaged one.
    """
    folder = jobs.safe_folder(name)
    info = RunFolder.open(folder).info
    try:
        return _report(name, folder, info, most)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NasError(
            f"{folder / 'run.json'} lacks or garbles a field ({error!r}); search again into a new folder"
        ) from error


def _report(name: str, folder: Path, info: Mapping[str, Any], most: int) -> RunReport:
    result, how, quality = info.get("result") or {}, info.get("measured_with") or {}, info["maximised"]
    workload, limits = how.get("workload", {}), Limits(**info["budget"])
    answer = None if result.get("answer") is None else _network(result["answer"], limits)
    card, found = jobs.read_card(name), _evaluated(folder)
    statistic = result.get("statistic", info.get("statistic", "median"))
    return RunReport(
        run=name,
        folder=str(folder),
        state=str(info["state"]) if card is None else card.state,
        model=Path(str(info["model"])).name,
        budget=limits,
        statistic=statistic,
        quality_name=quality["name"],
        quality_unit=quality["unit"],
        higher_is_better=quality["higher_is_better"],
        runtime=" ".join(str(how[key]) for key in ("runtime", "runtime_version") if key in how),
        threads=workload.get("threads"),
        batch_size=workload.get("batch_size"),
        trials=result.get("trials", 0),
        answer=answer,
        promise=None if answer is None else promise(answer, limits, statistic),
        ladder=[_network(rung, Limits(**rung.get("budget", {})), False) for rung in result.get("ladder", [])],
        front_size=0 if found is None else len(found.front()),
        front=[] if found is None else front_points(found, most),
        smallest_latency_ms=result.get("smallest_latency_ms"),
        largest_latency_ms=result.get("largest_latency_ms"),
        everything_fits=result.get("everything_fits", False),
        reason=result.get("reason")
        or ("" if result else "it has no result yet; follow its job, or resume it"),
        warnings=list(result.get("warnings", [])),
    )


def _network(found: Mapping[str, Any], within: Limits, with_choices: bool = True) -> FoundNetwork:
    quality, latency = found["quality"], found["latency_ms"]
    return FoundNetwork(
        within=within,
        quality=quality["value"],
        quality_source=quality["source"],
        predicted_latency_ms=latency["predicted"],
        measured_latency_ms=latency["measured"],
        p90_latency_ms=latency["p90"],
        raw_latency_ms=latency.get("raw"),
        pace=found.get("pace"),
        is_restless=found.get("restless", False),
        macs=found["macs"],
        params=found["params"],
        size_bytes=found["size_bytes"],
        trial=found["trial"],
        choices=found["subnet"]["choices"] if with_choices else {},
    )


def promise(answer: FoundNetwork, limits: Limits, statistic: str) -> Promise | None:
    """Return the promised latency beside the measured one; None where the budget has none."""
    if limits.latency_ms is None:
        return None
    measured = answer.measured_latency_ms
    is_kept = measured is not None and measured <= limits.latency_ms
    if measured is None:
        verdict = "nothing was measured, so the latency is a prediction and no promise"
    else:
        words = "is within" if is_kept else "is over"
        verdict = f"the measured {statistic}, {format_ms(measured)}, {words} {format_ms(limits.latency_ms)}"
        if answer.is_restless:
            verdict += ", but the machine was restless: measure again when it is calm before relying on it"
    return Promise(
        promised_latency_ms=limits.latency_ms,
        measured_latency_ms=measured,
        statistic=statistic,
        is_kept=is_kept,
        is_restless=answer.is_restless,
        verdict=verdict,
    )
