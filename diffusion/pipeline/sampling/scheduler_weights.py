"""A scheduler as numbers: latents are weighted sums of the noise, the predictions, and clipped images where it clips.

Every deterministic scheduler comes to that; the weights are found by watching it, whatever it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from diffusion.pipeline.sampling.onnx_runner import clean, mixed
from nas.errors import UsageError

_FAR = 1e6


def mixing(scheduler: Any, count: int) -> dict[str, Any]:
    """Return the weights of a scheduler of `count` steps: "steps", each with its "timestep" and "scale"; "mix"; "clip".

    Known are the noise, then at each step its prediction and, where images are clipped, the clipped image. `mix[i]` are
    the weights of these before step i; a step's "clean" those of its image before clipping to -clip ... clip. Raises
    `UsageError` for a scheduler that does something else, such as dynamic thresholds.
    """
    clips = bool(getattr(scheduler.config, "clip_sample", False))
    plain = _fresh(scheduler, count, clip_sample=False) if clips else _fresh(scheduler, count)
    own = 2 if clips else 1
    x = torch.zeros(1, 1 + own * len(plain.timesteps), 1, 1, dtype=torch.float64)
    x[0, 0] = float(plain.init_noise_sigma)
    found: dict[str, Any] = {
        "steps": [],
        "mix": [],
        "clip": float(scheduler.config.clip_sample_range) if clips else None,
    }
    for index, time in enumerate(plain.timesteps):
        found["mix"].append(x.flatten().tolist())
        scale = float(plain.scale_model_input(torch.ones(1, dtype=torch.float64), time))
        step = {"timestep": float(time), "scale": scale}
        prediction = torch.zeros_like(x)
        prediction[0, 1 + own * index] = 1
        made = plain.step(prediction, time, x)
        x = made.prev_sample
        if clips:
            image = made.pred_original_sample
            step["clean"] = image.flatten().tolist()
            share = _share_of_image(scheduler, time)
            x = x - share * image
            x[0, 2 + own * index] = share
        found["steps"].append(step)
    found["mix"].append(x.flatten().tolist())
    _check(scheduler, count, found)
    return found


def _fresh(scheduler: Any, count: int, **changed: Any) -> Any:
    # What begins with _ says which values are defaults, and would take back what is changed.
    config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    made = type(scheduler).from_config({**config, **changed})
    made.set_timesteps(count)
    return made


def _share_of_image(scheduler: Any, time: Any) -> float:
    """Return the weight of the clipped image in the next latents: where it is clipped, doubling all else shows it."""
    x = torch.full((1, 1, 1, 1), _FAR, dtype=torch.float64)
    once = scheduler.step(-x, time, x)
    twice = scheduler.step(-2 * x, time, 2 * x).prev_sample
    return float((2 * once.prev_sample - twice) / once.pred_original_sample)


def _check(scheduler: Any, count: int, found: dict[str, Any]) -> None:
    """Let both sample the same noise and predictions."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 2, 4, 4)
    real = _fresh(scheduler, count)
    noise = torch.randn(shape, generator=generator)
    x, known = noise * real.init_noise_sigma, [noise.numpy()]
    for index, time in enumerate(real.timesteps):
        prediction = torch.randn(shape, generator=generator)
        known.append(prediction.numpy())
        known += clean(found, index, known)
        x = real.step(prediction, time, x, return_dict=False)[0]
    ours = mixed(np.asarray(found["mix"][-1], np.float32), known)
    if not np.allclose(ours, x.numpy(), rtol=1e-3, atol=1e-3 * float(x.abs().max())):
        raise UsageError(
            f"{type(scheduler).__name__} does more than to mix noise and predictions, such as thresholding, which the "
            "ONNX runner cannot; choose another scheduler, or other formats than onnx"
        )
