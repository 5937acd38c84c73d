"""Which pipelines a word on the command line means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion.evaluation.comparison import Candidate
from diffusion.pipeline import PipelineFamily
from diffusion.pipeline.files.folder import DEFAULT_PIPELINE
from nas import export
from nas.api.figures import load_supernet, read_answer, read_subnet, whole_run
from nas.api.targets import Target, find_target
from nas.elastic import Family
from nas.errors import NasError, UsageError
from nas.families import get_family
from nas.latency.units import format_ms
from nas.models import Model
from nas.search import RunFolder

_KEYS = {"steps": int, "guidance": float}


def read_candidates(text: str, steps: int | None, guidance: float | None, ladder: bool) -> list[Candidate]:
    """Return the pipelines of a word: one, or with `ladder` all answers of a run.

    `steps` and `guidance` are of pipelines that were not exported or searched, unless the word says others. Raises
    `UsageError` for what is no pipeline, and for settings of one that has its own.
    """

    place, told = _settings(text)
    target = find_target(place)
    if told and target.kind in ("artifact", "run"):
        raise UsageError(f"{place} samples as it was {'exported' if target.kind == 'artifact' else 'searched'}; "
                         f"leave out @{text.rpartition('@')[2]}")  # fmt: skip
    if target.kind == "artifact":
        return [_artifact(target)]
    if target.kind == "run":
        return _answers(target, ladder)
    return [_plain(text, target, {"steps": steps, "guidance": guidance, **told})]


def _settings(text: str) -> tuple[str, dict[str, Any]]:
    """Split "NAME@steps=8,guidance=3"."""
    place, at, rest = text.rpartition("@")
    if not at or "=" not in rest or Path(text).exists():
        return text, {}
    told: dict[str, Any] = {}
    for pair in rest.split(","):
        key, _, value = pair.partition("=")
        try:
            told[key] = _KEYS[key](value)
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"{text!r} says {pair!r}, but steps=N and guidance=G are understood; write such as {place}@steps=8"
            ) from error
    return place, told


def _plain(text: str, target: Target, told: Mapping[str, Any]) -> Candidate:
    """Return a pipeline that was neither exported nor searched, sampled as is told."""

    model = load_supernet(target, None, DEFAULT_PIPELINE)
    _require_pipeline(text, model.family)
    subnet = read_subnet(target, model)
    changed: dict[str, Any] = {}
    if told["steps"] is not None:
        if told["steps"] < 1:
            raise UsageError(f"{text} asks for {told['steps']} steps, but at least 1 is needed; give more")
        changed["steps"] = [told["steps"]]
    if told["guidance"] is not None:
        changed["scale"] = told["guidance"]
    network, family = model.supernet.extract(subnet), model.family
    if changed:
        family = get_family(family.name, **{**family.options, **changed})
        subnet = family.space.subnet({name: subnet[name] for name in family.space.names if name in subnet})
    name = model.name if target.kind == "model" and "@" not in text else _short(text)
    return Candidate(name, model, export.Network(network, family, subnet))


def _artifact(target: Target) -> Candidate:

    family = export.artifact_family(target.where, export.read_manifest(target.where))
    _require_pipeline(target.text, family)
    network = export.Network(
        export.load_artifact(target.where), family, export.artifact_subnet(target.where, family), target.where
    )
    return Candidate(_short(target.text), export.artifact_model(target.where), network)


def _answers(target: Target, ladder: bool) -> list[Candidate]:
    """Return a run's answer, and with `ladder` those at other budgets, quickest first."""

    model = load_supernet(target, None, DEFAULT_PIPELINE)
    _require_pipeline(target.text, model.family)
    read_answer(target.where)
    answer = read_subnet(target, model)
    named = {answer: _short(target.text)}
    if ladder:
        with whole_run(target.where):
            rungs = RunFolder.open(target.where).info["result"]["ladder"]
            found = [(rung["latency_ms"], model.space.from_dict(rung["subnet"])) for rung in rungs]
        for latency, subnet in found:
            ms = latency["measured"] or latency["predicted"]
            named.setdefault(subnet, f"{_short(target.text)} at {format_ms(ms)}")
    return [Candidate(name, model, _network(model, subnet)) for subnet, name in named.items()]


def _network(model: Model, subnet: Any) -> Any:

    return export.Network(model.supernet.extract(subnet), model.family, subnet)


def _require_pipeline(text: str, family: Family) -> None:

    if not isinstance(family, PipelineFamily):
        raise UsageError(
            f"{text} is of the family {family.name} and no pipeline; give a pipeline, or use `nas compare`"
        )


def _short(text: str) -> str:
    """Return the last part of a path."""
    name = text.rstrip("/").rpartition("/")[2]
    if not name:
        raise NasError(f"{text!r} has no name; give a folder")
    return name
