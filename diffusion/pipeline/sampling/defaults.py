"""How a pipeline samples unless told otherwise: as it says itself, in `anyfit.json` or as an exported artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion.pipeline.files.folder import INFO, find_pipeline, read_info
from diffusion.pipeline.sampling.generate import SamplingSettings
from nas.errors import NasError
from nas.export import is_artifact, read_manifest
from nas.files import read_json

STEPS, GUIDANCE = 25, 7.5
"""Of a pipeline that says nothing: our steps, and the guidance that diffusers takes."""


def own_settings(spec: str | Path, **given: Any) -> SamplingSettings:
    """Return how the pipeline `spec` (see `find_pipeline`) samples; what is `given` and not None comes first.

    Raises `UsageError` where there is no such pipeline, `NasError` where its notes make no sense.
    """
    folder = find_pipeline(spec)
    own = {
        "steps": STEPS,
        "guidance": GUIDANCE,
        **(_exported(folder) if is_artifact(folder) else _noted(folder)),
    }
    return SamplingSettings(**own | {name: value for name, value in given.items() if value is not None})


def remarks(spec: str | Path) -> str:
    """Return what of an artifact's sampling diffusers' own loop does not do, in a sentence; empty where it does all."""
    folder = find_pipeline(spec)
    if not is_artifact(folder):
        return ""
    chosen = _chosen(folder)
    lost = [
        text
        for text, is_lost in (
            ("is guided in a part of its steps only", 0 < chosen["guided"] < 1),
            ("uses deep features again", chosen["reuse"] > 1),
        )
        if is_lost
    ]
    if not lost:
        return ""
    return f"{spec} {' and '.join(lost)}, but diffusers' loop does not; `nas diffusion compare` samples it as it is"


def _noted(folder: Path) -> dict[str, Any]:
    notes = read_info(folder)
    found: dict[str, Any] = {}
    try:
        if "guidance" in notes:
            found["guidance"] = float(notes["guidance"])
        if steps := dict(notes.get("space") or {}).get("steps"):
            found["steps"] = int(steps[-1])
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise NasError(f"{folder / INFO} does not say how to sample ({error}); mend or remove it") from error
    return found


def _exported(folder: Path) -> dict[str, Any]:
    chosen = _chosen(folder)
    # Guided in no step is what diffusers does at guidance 1.
    return {"steps": chosen["steps"], "guidance": chosen["scale"] if chosen["guided"] else 1.0}


def _chosen(folder: Path) -> Mapping[str, Any]:
    """Return steps, guided, reuse and scale of an artifact."""
    manifest = read_manifest(folder)
    try:
        options, choices = manifest.options, read_json(folder / "subnet.json")["choices"]
        names = ("steps", "guided", "reuse")
        own = {name: choices.get(name, options[name][-1]) for name in names}
        return {**own, "scale": float(options["scale"])}
    except (KeyError, TypeError, ValueError, LookupError) as error:
        raise NasError(f"{folder} does not say how it samples ({error!r}); export it again") from error
