"""What the tools answer: typed, units in the names, each field described where a client shows the schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Plain data; the sentences under its fields become descriptions in the tool's output schema."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class QualityRange(Answer):
    """A quality that subnets of a model are judged by."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    table_minimum: float | None
    """The worst value in the model's table of measured subnets; null without a table."""
    table_maximum: float | None


class ModelSummary(Answer):
    """A supernet that can be searched by its name."""

    name: str
    kind: str
    """"shipped" or "cached"."""
    family: str
    classes: int | None
    problem: str
    """Why it cannot be used; "" for a whole one."""
    folder: str


class ModelList(Answer):
    """All models that have a name."""

    models: list[ModelSummary]


class DimensionGroup(Answer):
    """Dimensions of the search space that have the same choices, smallest network first."""

    name: str
    """The dimension's name, or a pattern such as "stage2.*.kernel" for several."""
    count: int
    choices: list[Any]


class NetworkCounts(Answer):
    """What a network costs whatever runs it."""

    macs: int
    params: int
    size_bytes: int


class ProfileSummary(Answer):
    """This machine's latency profile of a model: subnets that were measured here, and a predictor fitted to them."""

    is_good: bool
    """Whether its predictions can be trusted: a held-out median error of at most 5%."""
    doubt: str
    """What is wrong with a profile that is not good, and what to do."""
    median_error_pct: float
    samples: int
    restless_samples: int
    """How many were measured while the machine was too restless to trust them."""
    smallest_latency_ms: float
    """Calm latency of the smallest subnet: no budget below it can be kept."""
    largest_latency_ms: float
    """Calm latency of the largest subnet: a budget above it asks for no choice."""
    runtime: str
    threads: int
    batch_size: int
    made: str


class ModelDescription(Answer):
    """A supernet: its space, what its subnets are judged by, and what is known of it on this machine."""

    name: str
    family: str
    task: str
    subnets: float
    """How many subnets the space has, about."""
    dimensions: list[DimensionGroup]
    qualities: list[QualityRange]
    """The first is maximised unless a search names another."""
    measured_subnets: int
    """Rows of the model's table of measured qualities; without a table a search measures each trial, which is slow."""
    smallest: NetworkCounts
    largest: NetworkCounts
    profile: ProfileSummary | None
    """Null where this machine has none for this runtime, threads and batch size: a search then makes it first."""
    folder: str


class FrontPoint(Answer):
    """A subnet on the Pareto front: none that was evaluated is both quicker and better."""

    latency_ms: float
    is_latency_measured: bool
    """Whether the latency was measured here; else it is predicted and no promise."""
    quality: float
    quality_source: str
    """"measured" or "predicted"."""
    keeps_budget: bool
    macs: int
    params: int
    size_bytes: int
    trial: int


class JobStatus(Answer):
    """A job as it is at this moment."""

    job_id: str
    kind: str
    """"search", "profile" or what else runs."""
    title: str
    state: str
    """queued, running, finished, infeasible (no subnet keeps the budget), failed, cancelled, or dead (killed)."""
    is_live: bool
    """Whether it is still queued or running."""
    is_stopping: bool
    """Whether it was cancelled and is measuring its best so far."""
    run: str | None
    """The run that it makes, for `read_run`; null for jobs that make none."""
    stage: str
    """What it does at the moment."""
    stage_done: int
    stage_total: int
    """0 where nobody knows how many steps there are."""
    stage_seconds_left: float | None
    """An estimate for this stage; later stages come on top."""
    note: str
    seconds_spent: float | None
    message: str
    """What to know or do next, in a sentence: for a job that did not finish, why."""
    quality_name: str
    quality_unit: str
    front_size: int
    """How many points the Pareto front of a search has so far."""
    front: list[FrontPoint]
    """Some of them, quickest first, all that were measured among them; empty until the first trials."""
    command: str
    """The command line that does the same."""


class JobList(Answer):
    """Jobs, the newest first."""

    jobs: list[JobStatus]


class Limits(Answer):
    """The upper limits of a budget; null where there is none."""

    latency_ms: float | None = None
    macs: int | None = None
    params: int | None = None
    size_bytes: int | None = None


class FoundNetwork(Answer):
    """A subnet that a search chose, with its figures."""

    within: Limits
    """The budget that it was chosen for."""
    quality: float
    quality_source: str
    """"measured" or "predicted" (from the model's table of measured subnets)."""
    predicted_latency_ms: float
    measured_latency_ms: float | None
    """Measured on this machine, at its calm pace, by the statistic of the budget; null where it was not measured."""
    p90_latency_ms: float | None
    raw_latency_ms: float | None
    """What the clock said while it was measured; above the calm latency when the machine was slower than usual."""
    pace: float | None
    """Raw over calm latency: how many times slower than its calm pace the machine was."""
    is_restless: bool
    """True: no measurement found the machine calm enough to be trusted, so the latency is uncertain."""
    macs: int
    params: int
    size_bytes: int
    trial: int
    choices: dict[str, Any]
    """The subnet itself: dimension to choice; empty on the ladder."""


class Promise(Answer):
    """The budget's latency beside the one that was measured."""

    promised_latency_ms: float
    measured_latency_ms: float | None
    statistic: str
    """What a latency is here: median, p90 or p99."""
    is_kept: bool
    """Whether the measured latency is within the promised one."""
    is_restless: bool
    """Whether the machine was too restless to be sure."""
    verdict: str


class RunReport(Answer):
    """A search as its folder has it."""

    run: str
    folder: str
    state: str
    """finished, running, interrupted, failed, dead, or infeasible."""
    model: str
    budget: Limits
    statistic: str
    quality_name: str
    quality_unit: str
    higher_is_better: bool
    runtime: str
    threads: int | None
    batch_size: int | None
    trials: int
    answer: FoundNetwork | None
    """The best subnet whose measured latency is within the budget; null without one: see `reason`."""
    promise: Promise | None
    """Null without an answer, or without a latency in the budget."""
    ladder: list[FoundNetwork]
    """What other, round budgets would bring, quickest first."""
    front_size: int
    """How many points the Pareto front has."""
    front: list[FrontPoint]
    """Some of them, quickest first, all that were measured among them."""
    smallest_latency_ms: float | None
    largest_latency_ms: float | None
    everything_fits: bool
    """Whether even the largest subnet keeps the budget."""
    reason: str
    warnings: list[str]
    """How far the figures can be trusted."""


class RunSummary(Answer):
    """A run or an exported network in the folder of runs."""

    name: str
    kind: str
    """"search" or "export"."""
    state: str
    model: str
    budget: Limits
    quality_name: str
    quality: float | None
    measured_latency_ms: float | None
    problem: str


class RunList(Answer):
    """What was searched and exported, the newest first."""

    folder: str
    runs: list[RunSummary]


class QualityValue(Answer):
    """A quality with its origin."""

    name: str
    value: float
    unit: str
    kind: str
    """"measured" or "predicted"."""
    data: str


class LatencyValue(Answer):
    """A latency with its origin."""

    kind: str
    """"measured" or "predicted"."""
    median_ms: float
    """At this machine's calm pace."""
    p90_ms: float | None
    raw_ms: float | None
    """The median as the clock had it."""
    is_restless: bool
    runtime: str
    threads: int
    batch_size: int
    precision: str
    machine: str


class NetworkReport(Answer):
    """One network with everything that is known of it."""

    name: str
    kind: str
    model: str
    macs: int
    params: int
    size_bytes: int
    qualities: list[QualityValue]
    latencies: list[LatencyValue]


class ComparisonReport(Answer):
    """Networks side by side; measured latencies are of the same minutes, in turns."""

    networks: list[NetworkReport]
    differences: dict[str, list[Any]]
    """The dimensions in which the networks differ: each one's choice, in their order."""


class ExportedFile(Answer):
    """A file of an exported network."""

    name: str
    size_bytes: int


class ParityCheck(Answer):
    """How far a file's output is from the supernet's."""

    format: str
    error: float
    """Largest difference over the largest output."""
    tolerance: float
    is_ok: bool


class ExportReport(Answer):
    """An exported network: files that run without anyfit."""

    name: str
    """What `compare` calls it."""
    folder: str
    files: list[ExportedFile]
    parity: list[ParityCheck]
    network: NetworkReport
    message: str
