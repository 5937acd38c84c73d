"""What a step learns from: images, and the tokens of one of each image's captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nas import seeds
from nas.data.images import RealImages
from nas.seeds import Draws


@dataclass(frozen=True)
class Captioned:
    """Images in memory with tokenized captions.

    Attributes:
        real: the images and the group of captions that each has.
        tokens: int64 (groups, most captions a group has, length).
        counts: captions that each group has, int64 (groups,).
        empty: the tokens of no caption, int64 (length,).
    """

    real: RealImages
    tokens: Tensor
    counts: Tensor
    empty: Tensor

    def batch(
        self, seed: int, step: int, size: int, *, flip: bool, drop: float, share: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Return images (size, 3, h, w), -1 to 1, and tokens (size, length) of `step`: a function of both numbers.

        With a `share` only these rows of the same batch are made.
        """
        draws = Draws(step_generator(seed, step, 0), size, share)
        index = self.real.indices(seed, step, size)[share].to(self.tokens.device)
        images = self.real.at(index, draws, flip=flip)
        group = self.real.labels[index]
        place = draws.rand(dtype=torch.float64).to(group.device)
        chosen = self.tokens[group, (place * self.counts[group]).long()]
        dropped = (draws.rand() < drop).to(group.device)
        return images, torch.where(dropped[:, None], self.empty, chosen)


def step_generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """Return a generator on the processor that belongs to a step and a purpose: nothing of it is to be saved."""
    return seeds.step_generator(seed, 1000 + purpose, step)


def tokenized(
    real: RealImages, groups: Sequence[tuple[str, ...]], tokenizer: Any, device: torch.device
) -> Captioned:
    """Return the images with the tokens of their captions, all on `device`."""
    counts = torch.tensor([len(group) for group in groups])
    most = int(counts.max())
    texts = [group[place % len(group)] for group in groups for place in range(most)]
    tokens = _tokens(tokenizer, texts).view(len(groups), most, -1)
    return Captioned(
        real.to(device), tokens.to(device), counts.to(device), _tokens(tokenizer, [""])[0].to(device)
    )


def _tokens(tokenizer: Any, texts: list[str]) -> Tensor:
    return tokenizer(
        texts,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def pixel_batches(real: RealImages, size: int = 2048) -> Iterator[Tensor]:
    """Yield all images, -1 to 1, in order."""
    for part in real.pixels.split(size):
        yield part.float() / 127.5 - 1
