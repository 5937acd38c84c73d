"""Randomness as a function of (seed, step), so that a resumed run needs no stored generator states."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

_ORDER, _SUBNETS, _AUGMENT, _GLOBAL = range(4)


@dataclass(frozen=True)
class Draws:
    """Random tensors of a batch that several processes share: each draws them all and keeps its own rows.

    Attributes:
        generator: Where the numbers come from; tensors are on its device.
        batch_size: Rows of the whole batch.
        shard: The rows of this process.
    """

    generator: torch.Generator
    batch_size: int
    shard: slice = field(default_factory=lambda: slice(None))

    def rand(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return uniform numbers from 0 to 1, (own rows, *shape)."""
        generator = self.generator
        full = torch.rand(self.batch_size, *shape, generator=generator, device=generator.device, dtype=dtype)
        return full[self.shard]

    def randn(self, *shape: int) -> Tensor:
        """Return normal numbers, (own rows, *shape)."""
        full = torch.randn(self.batch_size, *shape, generator=self.generator, device=self.generator.device)
        return full[self.shard]

    def randint(self, low: int, high: int, *shape: int) -> Tensor:
        """Return whole numbers from `low` to below `high`, (own rows, *shape)."""
        size = (self.batch_size, *shape)
        full = torch.randint(low, high, size, generator=self.generator, device=self.generator.device)
        return full[self.shard]


def step_generator(seed: int, purpose: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that belongs to a step and a purpose: nothing of it is to be saved."""
    state = int(np.random.SeedSequence([seed, purpose, step]).generate_state(1)[0])
    return torch.Generator(device).manual_seed(state)


def epoch_order(seed: int, epoch: int, count: int, shares: np.ndarray | None = None) -> np.ndarray:
    """Return the permutation of `count` images that this epoch goes through; with `shares` so many drawn by these."""
    rng = np.random.default_rng([seed, _ORDER, epoch])
    return rng.permutation(count) if shares is None else rng.choice(count, count, p=shares)


def subnet_rng(seed: int, step: int) -> np.random.Generator:
    """Return the generator that draws a step's subnets: the same on every rank."""
    return np.random.default_rng([seed, _SUBNETS, step])


def augment_rng(seed: int, step: int) -> np.random.Generator:
    """Return the generator of a step's crops and flips, drawn for the whole batch on every rank."""
    return np.random.default_rng([seed, _AUGMENT, step])


def seed_globals(seed: int, step: int, rank: int = 0) -> None:
    """Seed Python's, NumPy's and torch's global generators, which timm's erasing and mixup and dropout draw from."""
    state = int(np.random.SeedSequence([seed, _GLOBAL, step, rank]).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002 (timm draws from it)
    torch.manual_seed(state)
