"""Gradient checkpointing runs blocks again for the same gradients; memory that runs out costs a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from diffusion.training.distil.batches import Distiller
from diffusion.training.distil.state import build_state, family_of
from diffusion.training.images import tokenized
from diffusion.training.text_to_image.state import UNET
from diffusion.training.text_to_image.state import build_state as build_training
from diffusion.training.text_to_image.steps import PipelineSteps
from nas.data.images import RealImages
from nas.errors import NasError
from nas.train.processes import Processes
from nas.train.trainer import memory_advice
from tests.diffusion.small import tiny_images, tiny_pipeline, tiny_recipe
from tests.diffusion.training.test_distil import recipe

CPU = torch.device("cpu")


def captioned(pipeline: Any):
    pixels = ((tiny_images(8) + 1) * 127.5).to(torch.uint8)
    return tokenized(
        RealImages(pixels, torch.arange(8) % 2), [("a dark",), ("a bright",)], pipeline.tokenizer, CPU
    )


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls, forward = [0], ResnetBlock2D.forward

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ResnetBlock2D, "forward", counting)
    return calls


def kept_bytes(run: Any) -> tuple[Any, int]:
    """Return what `run` gives, and the bytes that it keeps for the backward pass beside parameters."""
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.requires_grad or tensor.grad_fn is not None:
            seen[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = run()
    return found, sum(seen.values())


def test_a_subnet_in_a_supernet_runs_again_for_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, found = tiny_pipeline(), []
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False)
    calls = counted(monkeypatch)
    for checkpointing in (False, True):
        chosen = recipe(gradient_checkpointing=checkpointing)
        state, teacher = build_state(chosen, pipeline, CPU)
        distiller = Distiller(chosen, teacher, pipeline, captioned(pipeline), Processes(0, 1, CPU))
        batch = distiller.batch(0)
        with state.supernet.bound(state.family.uniform(0.5)) as network:
            calls[0] = 0
            errors, kept = kept_bytes(
                lambda distiller=distiller, batch=batch, network=network: distiller.errors(batch, network)
            )
            forward = calls[0]
            errors.loss.backward()
        gradients = {n: p.grad for n, p in state.supernet.named_parameters() if p.grad is not None}
        found.append((gradients, forward, calls[0] - forward, kept))
        assert not family_of(state.averaged).template.down_blocks[0].gradient_checkpointing
    (plain, first, again, much), (thrifty, second, repeated, little) = found
    assert first == second > 0
    assert (again, repeated) == (0, second - 1)  # diffusers keeps the first block of the middle
    assert little < 0.7 * much
    assert plain.keys() == thrifty.keys()
    assert all(torch.allclose(plain[name], thrifty[name], atol=1e-7, rtol=1e-5) for name in plain)


def test_training_with_checkpointing_takes_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, weights, runs = tiny_pipeline(), [], []
    calls = counted(monkeypatch)
    for checkpointing in (False, True):
        chosen = tiny_recipe(gradient_checkpointing=checkpointing)
        state = build_training(chosen, pipeline.tokenizer, pipeline.vae, CPU)
        calls[0] = 0
        PipelineSteps(chosen, state, captioned(pipeline)).take()
        weights.append([weight.detach().clone() for weight in state.parts.parameters()])
        runs.append(calls[0])
        assert state.parts[UNET].is_gradient_checkpointing is checkpointing  # pyright: ignore[reportAttributeAccessIssue]
        assert not state.averaged[UNET].is_gradient_checkpointing  # pyright: ignore[reportAttributeAccessIssue]
    assert runs[1] == 2 * runs[0] - 1
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"batch_size": 64}, torch.OutOfMemoryError("CUDA out of memory"), "at step 3 with batch_size 64; what needs less is a smaller batch_size, such as 32, or gradient_checkpointing = true"),
        ({"batch_size": 8, "gradient_checkpointing": True}, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "such as 4$"),
        ({"batch_size": 1, "gradient_checkpointing": True}, MemoryError(), "a device with more memory, or a smaller network"),
    ],
)  # fmt: skip
def test_memory_that_runs_out_says_what_needs_less(changes: dict, error: Exception, words: str) -> None:
    with (
        pytest.raises(NasError, match=words),
        memory_advice(tiny_recipe(**changes), 3, changes["batch_size"]),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), memory_advice(tiny_recipe(), 1, 4):
        raise RuntimeError("shapes differ")
