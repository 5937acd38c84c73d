"""Schedulers as numbers: what is not a mixture is refused, clipped images are told."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from diffusion.pipeline.parts.components import deterministic_scheduler, make_scheduler
from diffusion.pipeline.sampling.onnx_runner import clean, mixed
from diffusion.pipeline.sampling.scheduler_weights import mixing
from nas.errors import UsageError

library: Any = diffusers


_NO_SIGNAL: dict[str, Any] = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@pytest.mark.parametrize(
    ("prediction", "changed"),
    [
        ("epsilon", {}),
        ("v_prediction", {}),
        ("sample", {}),
        ("v_prediction", _NO_SIGNAL),
        ("sample", _NO_SIGNAL),
    ],
)
def test_clipped_images_are_mixed_as_the_scheduler_mixes_them(
    prediction: str, changed: dict[str, Any]
) -> None:
    scheduler = library.DDIMScheduler(prediction_type=prediction, clip_sample_range=0.8, **changed)
    scheduler.set_timesteps(5)
    conditioning = mixing(scheduler, 5)
    assert conditioning["clip"] == 0.8
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 4, 4, generator=generator)
    known = [x.numpy()]
    for index, time in enumerate(scheduler.timesteps):
        assert (
            np.abs(mixed(np.asarray(conditioning["mix"][index], np.float32), known) - x.numpy()).max() < 1e-4
        )
        made = torch.randn(x.shape, generator=generator)
        known.append(made.numpy())
        known += clean(conditioning, index, known)
        x = scheduler.step(made, time, x).prev_sample
    assert np.abs(mixed(np.asarray(conditioning["mix"][-1], np.float32), known) - x.numpy()).max() < 1e-4
    assert np.abs(known[2]).max() == np.float32(0.8)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_dynamic_thresholds_are_refused(name: str) -> None:
    scheduler = getattr(library, name)(
        thresholding=True, **({"clip_sample": False} if "DDIM" in name else {})
    )
    scheduler.set_timesteps(4)
    with pytest.raises(UsageError, match=f"{name} does more than to mix"):
        mixing(scheduler, 4)


def test_what_adds_noise_gives_way_to_what_does_not() -> None:
    assert deterministic_scheduler("DDPMScheduler") == "DDIMScheduler"
    noisy = library.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++")
    steady = make_scheduler("DPMSolverMultistepScheduler", noisy.config)
    assert steady.config.algorithm_type == "dpmsolver++"
