"""Pruning a trained pipeline to one smaller one: a named subnet, given choices, or what a limit leaves room for."""

from __future__ import annotations

from diffusion.compress.pruning import Pruned, prune

__all__ = ["Pruned", "prune"]
