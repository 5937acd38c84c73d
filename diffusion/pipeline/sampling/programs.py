"""How a pipeline samples: noise and prompts or classes to images, by programs that anything may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from diffusion.pipeline.inputs.conditions import LATENTS, tell
from nas.elastic import Inputs, call
from nas.elastic._family import Forward

if TYPE_CHECKING:
    from diffusion.pipeline.family import DiffusionPipeline
    from nas.space import Subnet


class Sampled:
    """The images of a pipeline, by programs that anything may run."""

    def __init__(self, family: DiffusionPipeline, programs: Mapping[str, Forward], subnet: Subnet) -> None:
        self._family, self._programs, self._subnet = family, programs, subnet
        self._plan = family.plan(subnet)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Return images (batch, channels, height, width) for the inputs of the pipeline."""
        assert isinstance(inputs, Mapping)
        return self.decode(self.sample_latents(inputs))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of final latents (batch, channels, height, width)."""
        return self._programs[self._family.decoder](latents) if self._family.decoder else latents

    def sample_latents(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the latents that the decoder is given, or where there is none the images."""
        family = self._family
        scheduler = family.scheduler(self._subnet)
        x = inputs[LATENTS] * scheduler.init_noise_sigma
        told = tell(family.conditions, self._programs, inputs, any(step.is_guided for step in self._plan))
        deep: Tensor | None = None
        for step, time in zip(self._plan, scheduler.timesteps, strict=True):
            rows = x.shape[0] * (2 if step.is_guided else 1)  # not len(x), which a trace takes for constant
            feed = {
                family.sample_name: scheduler.scale_model_input(
                    torch.cat([x, x]) if step.is_guided else x, time
                ),
                "timestep": time.to(x.dtype).expand(rows),
                **{name: value[-rows:] for name, value in told.items()},
            }
            if step.is_whole:
                out = self._programs[family.whole](feed)
                deep = out[:, family.outputs :]
            else:
                assert deep is not None
                out = self._programs[family.shallow]({**feed, "deep": deep[-rows:]})
            # A variance that is predicted too stands behind, and is not needed.
            prediction = out[:, : x.shape[1]]
            if step.is_guided:
                without, with_prompt = prediction.chunk(2)
                prediction = without + family.sampling.scale * (with_prompt - without)
            x = scheduler.step(prediction, time, x, return_dict=False)[0]
        return x


class Pipeline(nn.Module):
    """A pipeline of one subnet as a network: its parts by diffusers' names, all steps included."""

    def __init__(self, parts: Mapping[str, nn.Module], family: DiffusionPipeline, subnet: Subnet) -> None:
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
        return self._family.compose({name: runner(name) for name in names}, self._subnet)
