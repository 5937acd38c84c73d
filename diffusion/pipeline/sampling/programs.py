"""How a pipeline samples: noise and prompts or classes to images, by programs that anything may run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.pipeline.inputs.conditions import LATENTS, Conditions, tell
from diffusion.pipeline.sampling.denoise import denoise, guide
from diffusion.pipeline.sampling.plan import Step
from nas.elastic import Family, Forward, Inputs, call
from nas.space import Subnet


@dataclass(frozen=True)
class Procedure:
    """How the images of a subnet are made.

    Attributes:
        plan: what is run at each step.
        make_scheduler: makes a scheduler that is set to these steps.
        conditions: what the denoiser is told beside noise and time; `scale` is the guidance.
        whole, shallow, decoder: the programs' names; `decoder` is empty where images are denoised themselves.
        sample_name: the denoiser's argument that takes the latents.
        outputs: the channels that it predicts; the first are those of the latents.
    """

    plan: Sequence[Step]
    make_scheduler: Callable[[], Any]
    conditions: Conditions
    scale: float
    whole: str
    shallow: str
    decoder: str
    sample_name: str
    outputs: int


class Sampled:
    """The images of a pipeline, by programs that anything may run."""

    def __init__(self, procedure: Procedure, programs: Mapping[str, Forward]) -> None:
        self._procedure, self._programs = procedure, programs

    def __call__(self, inputs: Inputs) -> Tensor:
        """Return images (batch, channels, height, width) for the inputs of the pipeline."""
        assert isinstance(inputs, Mapping)
        return self.decode(self.sample_latents(inputs))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of final latents (batch, channels, height, width)."""
        decoder = self._procedure.decoder
        return self._programs[decoder](latents) if decoder else latents

    def sample_latents(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the latents that the decoder is given, or where there is none the images."""
        own = self._procedure
        conditioning = tell(own.conditions, self._programs, inputs, any(step.is_guided for step in own.plan))
        deep: Tensor | None = None

        def predict(index: int, x: Tensor, time: Tensor) -> Tensor:
            nonlocal deep
            step = own.plan[index]
            rows = x.shape[0] * (2 if step.is_guided else 1)  # not len(x), which a trace takes for constant
            feed = {
                own.sample_name: torch.cat([x, x]) if step.is_guided else x,
                "timestep": time.to(x.dtype).expand(rows),
                **{name: value[-rows:] for name, value in conditioning.items()},
            }
            if step.is_whole:
                out = self._programs[own.whole](feed)
                deep = out[:, own.outputs :]
            else:
                assert deep is not None
                out = self._programs[own.shallow]({**feed, "deep": deep[-rows:]})
            # A variance that is predicted too stands behind, and is not needed.
            predicted = out[:, : x.shape[1]]
            return guide(predicted, own.scale) if step.is_guided else predicted

        return denoise(own.make_scheduler(), inputs[LATENTS], predict)


class ProgramPipeline(nn.Module):
    """A pipeline of one subnet as a network: its parts by diffusers' names, all steps included."""

    def __init__(self, parts: Mapping[str, nn.Module], family: Family, subnet: Subnet) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._family, self._subnet = family, subnet

    def forward(
        self,
        latents: Tensor,
        prompt: Tensor | None = None,
        prompt_2: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        negative: Tensor | None = None,
        negative_2: Tensor | None = None,
        negative_mask: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """Return images (batch, 3, height, width), -1 to 1 and a little beyond.

        `latents` are noise (batch, channels, height, width). What else there is depends on the pipeline: token numbers
        and masks of prompts and negative prompts (batch, tokens), or classes (batch).
        """
        # No **inputs: torch.export's guards know arguments by name only.
        given = {
            LATENTS: latents,
            "prompt": prompt,
            "prompt_2": prompt_2,
            "prompt_mask": prompt_mask,
            "negative": negative,
            "negative_2": negative_2,
            "negative_mask": negative_mask,
            "label": label,
        }
        return self._sampled()({name: x for name, x in given.items() if x is not None})

    def sample_latents(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the latents (batch, channels, height, width) that the decoder is given."""
        return self._sampled().sample_latents(inputs)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images (batch, 3, height, width) of final latents."""
        return self._sampled().decode(latents)

    def _sampled(self) -> Sampled:
        def runner(name: str) -> Forward:
            view = self._family.programs[name].view(self)
            return lambda inputs: call(view, inputs)

        names = {step.program for step in self._family.passes(self._subnet)}
        sampled = self._family.compose({name: runner(name) for name in names}, self._subnet)
        assert isinstance(sampled, Sampled)
        return sampled
