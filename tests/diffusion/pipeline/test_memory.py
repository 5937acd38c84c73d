"""Memory that runs out costs smaller batches, then a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import diffusion.pipeline.sampling.generate
from diffusion.evaluation.task import fixed_inputs, pictures
from diffusion.pipeline.files.folder import load_pipeline
from diffusion.pipeline.files.memory import in_batches, room_for
from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from nas.errors import NasError, is_out_of_memory
from nas.models import load_model


def exhausted(most: int, error: Exception):
    """Return a function of a batch that fails above `most`."""

    def make(start: int, stop: int) -> range:
        if stop - start > most:
            raise error
        return range(start, stop)

    return make


def test_a_real_allocation_is_known_for_what_it_is() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_batches_are_halved_until_they_fit() -> None:
    made = in_batches(exhausted(3, torch.OutOfMemoryError("out")), 10, 8, "8 × 8 pixels")
    assert [*map(len, made)] == [2] * 5
    assert [place for part in made for place in part] == [*range(10)]


def test_what_does_not_fit_alone_costs_a_sentence() -> None:
    with pytest.raises(NasError, match="single picture of 8 × 8 pixels; use a pipeline of fewer") as caught:
        in_batches(exhausted(0, MemoryError()), 4, 4, "8 × 8 pixels")
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(exhausted(0, RuntimeError("shapes")), 4, 4, "8 × 8 pixels")


def test_pictures_are_the_same_in_halved_batches(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, prompts, seeds = load_pipeline(pipeline), ["a photo of a ship"] * 4, [0, 1, 2, 3]
    whole = generate(loaded, prompts, seeds, SamplingSettings(steps=1))
    real, conditioning = diffusion.pipeline.sampling.generate._images, []

    def limited(pipeline, prompts, *args):
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pipeline, prompts, *args)

    monkeypatch.setattr(diffusion.pipeline.sampling.generate, "_images", limited)
    made = generate(
        loaded, prompts, seeds, SamplingSettings(steps=1), advance=lambda *at: conditioning.append(at)
    )
    assert conditioning == [(2, 4), (4, 4)]
    assert np.abs(made.astype(int) - whole).max() <= 1
    monkeypatch.setattr(diffusion.pipeline.sampling.generate, "_images", lambda *args: torch.empty(2**60))
    with pytest.raises(NasError, match="single picture of 16 × 16 pixels"):
        generate(loaded, prompts, seeds, SamplingSettings(steps=1))


def test_judged_pictures_and_weights_say_it_too(pipeline: Path) -> None:
    model = load_model(pipeline)
    inputs = fixed_inputs(model, 2)
    with pytest.raises(NasError, match="single picture of 8 × 8 latents"):
        pictures(lambda x: torch.empty(2**60), inputs)
    with (
        pytest.raises(NasError, match=r"weights in .*tiny-random, .*B of files; use a smaller"),
        room_for(pipeline),
    ):
        torch.empty(2**60)
