"""The tools: an agent reads these sentences, so they say when to use each, what comes back and what the words mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from nas import jobs, models
from nas.errors import UsageError
from nas.mcp import reading, verbs
from nas.mcp.answers import (
    ComparisonReport,
    ExportReport,
    JobList,
    JobStatus,
    ModelDescription,
    ModelList,
    RunList,
    RunReport,
)

Result = TypeVar("Result")
Statistic = Literal["median", "p90", "p99"]
Format = Literal["onnx", "pt2", "safetensors"]

ModelName = Annotated[
    str, Field(description="A name from list_models, or an absolute path of a model's folder.")
]
Runtime = Annotated[
    str | None,
    Field(
        description="What runs networks: onnxruntime, openvino, torch, cuda; null for this machine's default."
    ),
]
Threads = Annotated[
    int, Field(ge=1, description="That run a network. 1 gives latencies that hold on a busy machine.")
]
BatchSize = Annotated[int, Field(ge=1, description="Inputs of one pass.")]
FrontPoints = Annotated[
    int, Field(ge=2, le=1000, description="About how many points of the Pareto front to return.")
]
JobId = Annotated[str, Field(description="The job_id that start_search, start_profile or list_jobs gave.")]

Most = Annotated[int, Field(ge=1, le=200, description="How many to return at most.")]

_POLL_S = 0.25
_HEARTBEAT_S = 5.0


def list_models() -> ModelList:
    """List the supernets that can be searched by name. Begin here unless the user named a model."""
    return ModelList(models=reading.model_summaries())


def describe_model(
    model: ModelName, runtime: Runtime = None, threads: Threads = 1, batch_size: BatchSize = 1
) -> ModelDescription:
    """Describe a supernet: search space, qualities, counts, and this machine's cached latency profile of it.

    Use it before a search, to see whether a budget can be kept: below profile.smallest_latency_ms nothing fits, above
    profile.largest_latency_ms everything does. profile is null where nothing was measured yet (a search then measures
    first, which takes about a minute); where profile.is_good is false, start_profile on a calm machine.
    """
    return verbs.describe(verbs.loaded(model), runtime, threads, batch_size)


def start_search(
    model: ModelName,
    latency_ms: Annotated[float | None, Field(gt=0, description="At most this long for one pass.")] = None,
    macs: Annotated[int | None, Field(gt=0, description="At most so many multiply-accumulates.")] = None,
    params: Annotated[int | None, Field(gt=0, description="At most so many parameters.")] = None,
    size_bytes: Annotated[int | None, Field(gt=0, description="At most this much for the weights.")] = None,
    statistic: Annotated[Statistic, Field(description="What the latency budget is about.")] = "median",
    threads: Threads = 1,
    batch_size: BatchSize = 1,
    runtime: Runtime = None,
    quality: Annotated[
        str | None, Field(description="What is maximised; null for the first of describe_model's qualities.")
    ] = None,
    trials: Annotated[
        int | None,
        Field(ge=1, description="Subnets to evaluate; null for 500, or 64 where each is measured."),
    ] = None,
    seed: Annotated[int, Field(ge=0, description="Same seed, same answer.")] = 0,
) -> JobStatus:
    """Start a search for the best subnet within a budget; give at least one limit. Returns at once with a job_id.

    Use it for "make this run in 20 ms" (latency_ms=20). Candidates are ranked by prediction; finalists are measured on
    this machine, and only a subnet whose measured latency is within the budget becomes the answer. Then follow_job
    until is_live is false, and read_run with the job's run. The search goes on if you disconnect.
    """
    limits = {
        "latency": "" if latency_ms is None else f"{latency_ms}ms",
        "macs": "" if macs is None else str(macs),
        "params": "" if params is None else str(params),
        "size": "" if size_bytes is None else f"{size_bytes}B",
    }
    if not any(limits.values()):
        raise UsageError(
            "no budget is given; give at least one of latency_ms, macs, params and size_bytes, such as latency_ms=20"
        )
    options = {
        "runtime": runtime,
        "threads": threads,
        "batch_size": batch_size,
        "statistic": statistic,
        "quality": quality,
        "trials": trials,
        "seed": seed,
    }
    return reading.job_status(jobs.start_search(_named(model), limits, options))


def start_profile(
    model: ModelName, runtime: Runtime = None, threads: Threads = 1, batch_size: BatchSize = 1
) -> JobStatus:
    """Measure this machine's latency profile of a model anew. Returns at once with a job_id to follow.

    Use it where describe_model says that the profile is not good; without any profile a search makes it by itself.
    """
    name = _named(model)
    words = jobs.command_words(
        "profile", model=name, threads=threads, batch_size=batch_size, runtime=runtime, force=True, json=True
    )
    return reading.job_status(jobs.start("profile", f"Profile {name}", words))


def _named(model: str) -> str:
    """Return a model as a job calls it, from wherever it runs; raises `UsageError` for an unknown one."""
    known = verbs.place(model)
    folder = models.find_model(known)
    is_name = any(name == known for name, _, _ in models.available_models())
    return known if is_name or not Path(known).exists() else str(folder.resolve())


def list_jobs(most: Most = 10) -> JobList:
    """List jobs, the newest first: also those that other clients, the app or an earlier session started."""
    return JobList(jobs=[reading.job_status(job) for job in jobs.jobs()[:most]])


async def follow_job(
    job_id: JobId,
    wait_s: Annotated[
        float,
        Field(ge=0, le=60, description="Wait up to so many seconds for the job to end before answering."),
    ] = 0.0,
    front_points: FrontPoints = 8,
) -> JobStatus:
    """Say how a job is: state, stage, seconds left of the stage, and a search's Pareto front so far.

    Call it with wait_s=30 until is_live is false. Latencies on the front whose is_latency_measured is false are
    predictions and no promise: the answer is in read_run once the job has finished.
    """
    with anyio.move_on_after(wait_s):
        while _found(job_id).is_live:
            await anyio.sleep(_POLL_S)
    return await anyio.to_thread.run_sync(lambda: reading.job_status(_found(job_id), front_points))


def cancel_job(job_id: JobId) -> JobStatus:
    """Ask a job to stop. A search measures its best so far first: follow it until is_live is false, then read_run."""
    _found(job_id).cancel()
    return reading.job_status(_found(job_id))


def _found(job_id: str) -> jobs.Job:
    jobs.reap()
    if (job := jobs.find(job_id)) is None:
        raise UsageError(f"there is no job {job_id!r}; list_jobs names those there are")
    return job


def list_runs(most: Most = 20) -> RunList:
    """List what was searched and exported here, the newest first."""
    return RunList(folder=str(jobs.runs_root()), runs=reading.run_summaries()[:most])


def read_run(
    run: Annotated[str, Field(description="The run of a job, or a name of kind search from list_runs.")],
    front_points: FrontPoints = 8,
) -> RunReport:
    """Read a search: its answer, the promise check, the ladder (what other budgets would bring) and the Pareto front.

    promise says whether the measured latency is within the promised one: quote its figures, not the predicted ones.
    Latencies are calm ones: this machine's pace changes by half for minutes, so a reference program runs in the same
    turns, and figures are given at the machine's calm pace; raw_latency_ms is what the clock said at the time. restless
    means that the machine never was calm enough to be sure: then say so, and search again later before relying on it.
    """
    return reading.run_report(run, front_points)


async def compare(
    networks: Annotated[
        list[str],
        Field(
            min_length=2,
            max_length=8,
            description="Runs, exports (names from list_runs), models (their largest subnet), 'largest', 'smallest'.",
        ),
    ],
    ctx: Context,
    model: Annotated[str | None, Field(description="The supernet of 'largest' and 'smallest'.")] = None,
    runtime: Runtime = None,
    threads: Threads = 1,
    batch_size: BatchSize = 1,
    measured: Annotated[
        bool, Field(description="Measure latencies now, in turns; else tell what is known.")
    ] = True,
) -> ComparisonReport:
    """Compare networks: qualities, latencies measured together in turns, MACs, parameters, size, and what differs.

    Use it to check an answer against the largest subnet, or an exported network against another. It takes some seconds
    a network; while a job is measuring it says so instead of disturbing it.
    """
    options = {"model": model, "runtime": runtime, "threads": threads, "batch_size": batch_size}
    return await _in_thread(ctx, partial(verbs.compare, networks, measured, **options))


async def export(
    run: Annotated[str, Field(description="A run from list_runs, or 'largest' or 'smallest' of a model.")],
    name: Annotated[str, Field(description="The new folder's name, below the folder of runs.")],
    ctx: Context,
    formats: Annotated[
        Sequence[Format], Field(min_length=1, description="Files to write; the weights are always written.")
    ] = ("onnx",),
    model: Annotated[str | None, Field(description="The supernet of 'largest' and 'smallest'.")] = None,
    measured: Annotated[bool, Field(description="Measure the latency of the file that ships now.")] = True,
) -> ExportReport:
    """Write a run's answer as files that run without anyfit; each is checked against the supernet, or none is kept.

    With measured=true the latency in network.latencies is that of the shipped file, measured again after the search:
    the last check of the promise.
    """
    said: list[str] = []
    work = partial(verbs.export, run, name, formats, model, measured, said.append)
    return await _in_thread(ctx, work, said)


async def _in_thread(ctx: Context, work: Callable[[], Result], said: list[str] | None = None) -> Result:
    """Return what `work` returns, beside which the client hears now and then that it goes on."""

    async def tell() -> None:
        beats = 0
        while True:
            await anyio.sleep(_HEARTBEAT_S)
            beats += 1
            await ctx.report_progress(beats, None, said[-1] if said else None)

    found: list[Result] = []
    async with anyio.create_task_group() as group:
        group.start_soon(tell)
        found.append(await anyio.to_thread.run_sync(work))
        group.cancel_scope.cancel()
    return found[0]


READING = (list_models, describe_model, list_jobs, follow_job, list_runs, read_run, compare)
"""Tools that change nothing on disk but caches."""
STARTING = (start_search, start_profile, cancel_job, export)
"""Tools that start, stop or write; none overwrites anything."""
