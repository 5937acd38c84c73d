"""A pipeline of diffusers with its denoiser as a supernet, whatever kind of pipeline it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffusion.denoisers.family import DenoiserFamily
from diffusion.denoisers.subnets import FAMILIES, options_within, to_diffusers
from diffusion.pipeline.files.folder import DENOISERS, find_pipeline, load_pipeline, quiet, read_info
from nas.elastic import Supernet, channels_last
from nas.errors import UsageError
from nas.models import load_published
from nas.space import Subnet


@dataclass(frozen=True)
class ElasticPipeline:
    """A pipeline, the part of it that denoises ("unet" or "transformer"), and that part as a supernet."""

    pipeline: Any
    part: str
    supernet: Supernet
    name: str
    info: dict[str, Any]

    @property
    def family(self) -> DenoiserFamily:
        """The denoiser's family."""
        family = self.supernet.family
        assert isinstance(family, DenoiserFamily)
        return family

    @property
    def denoiser(self) -> Any:
        """The pipeline's own denoiser."""
        return getattr(self.pipeline, self.part)

    def with_subnet(self, subnet: Subnet) -> Any:
        """Return the pipeline with a subnet, cut out of the supernet, in the place of its denoiser."""
        made = copy.copy(self.pipeline)
        with quiet():
            made.register_modules(
                **{self.part: to_diffusers(self.family, subnet, self.supernet.extract(subnet))}
            )
        return made


def open_pipeline(spec: str | Path, device: str = "cpu") -> ElasticPipeline:
    """Load a pipeline by a shipped name, a folder or a hub id; the choices offered are those that its notes name.

    A denoiser that is pruned already is the largest that is offered. Raises `UsageError` for a pipeline whose denoiser
    is none of our families'.
    """
    folder = find_pipeline(spec)
    info, pipeline = read_info(folder), load_pipeline(spec, device=device, denoisers=DENOISERS)
    part = next((name for name in DENOISERS if getattr(pipeline, name, None) is not None), None)
    if part is None:
        raise UsageError(f"{spec} has no part called {' or '.join(DENOISERS)}; give a pipeline with one")
    denoiser = getattr(pipeline, part).requires_grad_(False).eval()
    family = _family(denoiser, pipeline, dict(dict(info.get("space") or {}).get(part) or {}), spec)
    with torch.random.fork_rng(devices=[]):
        supernet = Supernet(family)
    load_published(supernet, denoiser.state_dict())
    supernet = channels_last(supernet.to(denoiser.device)).eval()
    name = str(info.get("name") or Path(spec).resolve().name)
    return ElasticPipeline(pipeline, part, supernet, name, info)


def _family(denoiser: Any, pipeline: Any, space: dict[str, Any], spec: str | Path) -> DenoiserFamily:
    kind, config = type(denoiser).__name__, dict(denoiser.config)
    if subnet := config.pop("subnet", None):
        kind, space = kind.removeprefix("Subnet"), {**space, **options_within(subnet, spec)}
    if kind not in FAMILIES:
        raise UsageError(f"{spec} has a {kind}, but {', '.join(FAMILIES)} are pruned; give such a pipeline")
    tokenizer = getattr(pipeline, "tokenizer", None)
    tokens = {} if tokenizer is None else {"tokens": min(tokenizer.model_max_length, 512)}
    return FAMILIES[kind]({"_class_name": kind, **config}, **{**tokens, **space})
