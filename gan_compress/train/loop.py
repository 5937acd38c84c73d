"""The common loop of trainings counted in steps, with the learning rates of a game."""

from __future__ import annotations

from functools import partial

from nas.train.loop import Losses, Means, check_folder, one_device, save_checkpoint
from nas.train.loop import run_steps as _run_steps

__all__ = ["Losses", "Means", "check_folder", "one_device", "run_steps", "save_checkpoint"]

run_steps = partial(_run_steps, rates=("lr", "judge_lr"))
