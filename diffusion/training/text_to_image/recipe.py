"""A pipeline's training recipe: every number that decides the result, as a file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from diffusion.training.schedule import Schedule
from nas.errors import UsageError
from nas.train.settings import Count, Share, recipes_of


class PipelineRecipe(Schedule):
    """How a text-to-image pipeline is trained from scratch; what is not said here is in `Schedule`.

    Attributes:
        resolution: edge of the images in pixels; other images are cut to their middle square and resized.
        patch, latent_channels, whiten: of the autoencoder, see `diffusion.pipeline.parts.autoencoder.fit_patches`.
        width, levels, layers: of the UNet: channels of the first level (each further one has twice as many), levels,
            resnets a level; head_channels: channels an attention head has; groups: of its group norms.
        text_width, text_layers, text_heads, tokens: of the text encoder; `tokens` is the longest prompt, the two
            tokens around it included.
        schedule: of the noise (1,000 training steps); zero_snr: rescaled so that the last step is noise alone (Lin et
            al. 2023, "Common diffusion noise schedules and sample steps are flawed").
    """

    resolution: Count = 32
    patch: int = 4
    latent_channels: Count = 16
    whiten: Share = 0.5
    width: Count = 64
    levels: Count = 2
    layers: Count = 1
    head_channels: Count = 32
    groups: Count = 16
    text_width: Count = 64
    text_layers: Count = 2
    text_heads: Count = 2
    tokens: Annotated[int, Field(ge=3)] = 24
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    zero_snr: bool = True

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        if self.patch not in (1, 2, 4, 8, 16) or self.resolution % self.patch:
            raise UsageError(
                f"recipe: patch is {self.patch}, expected 1, 2, 4, 8 or 16, and a divisor of resolution "
                f"({self.resolution})"
            )
        for name, parts in (("width", "groups"), ("width", "head_channels"), ("text_width", "text_heads")):
            if getattr(self, name) % getattr(self, parts):
                raise UsageError(
                    f"recipe: {name} is {getattr(self, name)}, expected a multiple of {parts} "
                    f"({getattr(self, parts)})"
                )
        halvings = 2 ** (self.levels - 1)
        if self.resolution // self.patch % halvings:
            raise UsageError(
                f"recipe: levels is {self.levels}, but latents of {self.resolution // self.patch} pixels cannot be "
                f"halved {self.levels - 1} times; lower levels or patch"
            )
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the UNet's levels."""
        return tuple(self.width * 2**level for level in range(self.levels))


recipe_names, load_recipe = recipes_of(PipelineRecipe, "diffusion.training.text_to_image")
