"""Randomness as a function of (seed, step), so that a resumed run needs no stored generator states."""

from __future__ import annotations

import random

import numpy as np
import torch

_ORDER, _SUBNETS, _AUGMENT, _GLOBAL = range(4)


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the permutation of `count` images that this epoch goes through."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


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
