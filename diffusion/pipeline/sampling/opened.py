"""A pipeline to sample from: what named it, itself, how it samples, and what it can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffusion.pipeline.files.folder import DENOISERS, find_pipeline, load_pipeline, read_info
from diffusion.pipeline.inputs.prompts import some_classes
from diffusion.pipeline.sampling.defaults import own_settings, remarks
from diffusion.pipeline.sampling.generate import SamplingSettings, is_conditional, takes_classes
from nas.errors import UsageError
from nas.progress import Listener, as_progress


@dataclass(frozen=True)
class OpenedPipeline:
    """A loaded pipeline.

    Attributes:
        spec: What named it: a shipped pipeline's name, a folder that diffusers saved, a training's run, a hub id.
        pipeline: What diffusers made of it.
        settings: How it samples.
    """

    spec: str
    pipeline: Any
    settings: SamplingSettings

    @property
    def name(self) -> str:
        """Its name for readers."""
        return str(self._info().get("name", Path(self.spec).name))

    def _info(self) -> dict[str, Any]:
        return read_info(find_pipeline(self.spec))

    def prompts(self, asked: Sequence[str] = ()) -> list[str]:
        """Return the prompts or classes to make images of: those `asked` for, or those that it was trained with.

        An unconditional pipeline has the empty one alone.

        Raises:
            UsageError: A prompt for an unconditional pipeline, none for one that does not say what it knows.
        """
        known = [*asked] or [str(prompt) for prompt in self._info().get("prompts", [])]
        if is_conditional(self.pipeline):
            if not known:
                raise UsageError(
                    f'{self.spec} does not say what it knows; give a prompt, such as "a photo of a ship"'
                )
            return known
        if takes_classes(self.pipeline):
            return known or some_classes(int(self.pipeline.transformer.config.num_embeds_ada_norm))
        if asked:
            raise UsageError(
                f"{self.spec} is unconditional, but the prompt {asked[0]!r} is given; leave it out"
            )
        return [""]


def open_pipeline(
    spec: str | Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    progress: Listener | None = None,
    **sampling: Any,
) -> OpenedPipeline:
    """Load a pipeline to sample from.

    Args:
        spec: A shipped pipeline's name, a folder that diffusers saved, a training's run, or a hub id.
        device: Where it runs: "cpu", "cuda", "cuda:1".
        threads: Of torch; None leaves them as they are.
        progress: Hears what of an export's sampling diffusers does not do.
        **sampling: Of `SamplingSettings`: steps, guidance, negative, rescale; None for the pipeline's own.

    Raises:
        UsageError: There is no such pipeline.
        NasError: Damaged files.
    """
    if remark := remarks(spec):
        as_progress(progress).remark(remark)
    settings = own_settings(spec, **sampling)
    if threads:
        torch.set_num_threads(threads)
    return OpenedPipeline(str(spec), load_pipeline(spec, device=device, denoisers=DENOISERS), settings)
