"""A pipeline's training recipe: every number that decides the result, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from diffusion.train.schedule import Schedule
from nas._errors import UsageError
from nas.train.settings import names_in, read


@dataclass(frozen=True, kw_only=True)
class Recipe(Schedule):
    """How a text-to-image pipeline is trained from scratch; what is not said here is in `Schedule`.

    Attributes:
        resolution: edge of the images in pixels; other images are cut to their middle square and resized.
        patch, latent_channels, whiten: of the autoencoder, see `diffusion.autoencoder.fit_patches`.
        width, levels, layers: of the UNet: channels of the first level (each further one has twice as many), levels,
            resnets a level; head_channels: channels an attention head has; groups: of its group norms.
        text_width, text_layers, text_heads, tokens: of the text encoder; `tokens` is the longest prompt, the two
            tokens around it included.
        schedule: of the noise (1,000 training steps); zero_snr: rescaled so that the last step is noise alone (Lin et
            al. 2023, "Common diffusion noise schedules and sample steps are flawed").
    """

    resolution: int = 32
    patch: int = 4
    latent_channels: int = 16
    whiten: float = 0.5
    width: int = 64
    levels: int = 2
    layers: int = 1
    head_channels: int = 32
    groups: int = 16
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 2
    tokens: int = 24
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    zero_snr: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "levels", "layers", "width", "groups", "head_channels")
        self.at_least(1, "text_width", "text_layers", "text_heads")
        self.at_least(3, "tokens")
        self.is_share("whiten")
        self._check_shapes()

    def _check_shapes(self) -> None:
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

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the UNet's levels."""
        return tuple(self.width * 2**level for level in range(self.levels))


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return names_in("diffusion.train")


def load_recipe(name: str) -> Recipe:
    """Read a recipe that comes with the package by name, or any TOML file by path."""
    return read(Recipe, "diffusion.train", name)
