"""What a denoiser is judged on: latents that its pipeline samples itself, made noisy again; no data is needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.pipeline.elastic import ElasticPipeline
from diffusion.pipeline.inputs.captions import TEMPLATES
from diffusion.pipeline.inputs.prompts import some_classes
from diffusion.pipeline.sampling.generate import SamplingSettings, generate, takes_classes
from diffusion.pipeline.sampling.noise import Noise
from nas.elastic import Inputs, cat_inputs

Example = tuple[dict[str, Tensor], Tensor]
"""Inputs of the denoiser, a batch of one timestep, and what it should predict (batch, c, h, w)."""
ExampleSource = Callable[[ElasticPipeline, int, int], tuple[list[Example], str]]
"""Makes examples of so many latents or images by a seed, and says what they are of."""
TIMESTEPS = 12
EASY = 0.05
"""Of timesteps whose loss is below this share of the largest one's Taylor scores only get noise (see `Taylor`)."""
_SMALL = 32 * 32
"""Pixels of latents up to which a batch of several timesteps is quicker than a batch for each."""
_THINGS = (
    "a dog",
    "a city at night",
    "a woman",
    "a mountain lake",
    "a bowl of fruit",
    "a train",
    "a horse",
    "a house",
)


def prompts_of(opened: ElasticPipeline, count: int) -> list[str]:
    """Return prompts or classes in turn: those that the pipeline names, else common ones."""
    known = [str(prompt) for prompt in opened.info.get("prompts") or ()]
    if not known and takes_classes(opened.pipeline):
        known = some_classes(int(opened.denoiser.config.num_embeds_ada_norm))
    known = known or [TEMPLATES[0].format(thing) for thing in _THINGS]
    return [known[index % len(known)] for index in range(count)]


def settings_of(opened: ElasticPipeline, steps: int) -> SamplingSettings:
    """Return how the pipeline's images are made: with its own guidance."""
    return SamplingSettings(steps=steps, guidance=float(opened.info.get("guidance") or 5.0))


def own_examples(opened: ElasticPipeline, count: int, *, seed: int = 0, steps: int = 25) -> list[Example]:
    """Return examples of `count` latents that the pipeline samples in `steps` steps, from little noise to all noise.

    The conditions are those that the pipeline itself gives its denoiser.
    """
    prompts, seeds = prompts_of(opened, count), range(seed, seed + count)
    device, dtype = opened.denoiser.device, opened.denoiser.dtype
    latents = generate(opened.pipeline, prompts, seeds, settings_of(opened, steps), latents=True)
    clean = torch.from_numpy(latents).to(device, dtype)
    with recorded(opened.denoiser) as calls:
        generate(opened.pipeline, prompts, seeds, SamplingSettings(steps=1, guidance=1.0), latents=True)
    names = [*opened.family.example_input(opened.family.space.largest())]
    given = {
        name: torch.cat([call[name] for call in calls])[:count] for name in names[2:] if name in calls[0]
    }
    noise = Noise(opened.pipeline.scheduler, torch.device(device))
    generator, found = torch.Generator().manual_seed(seed), []
    for timestep in torch.linspace(0, len(noise.weights) - 1, TIMESTEPS).long().to(device):
        drawn = torch.randn(clean.shape, generator=generator).to(device, dtype)
        noisy, target = noise.at(clean, drawn, timestep.expand(count))
        inputs = {names[0]: noisy, names[1]: timestep.float().expand(count), **given}
        found.append((inputs, target))
    return found


@contextmanager
def recorded(denoiser: nn.Module) -> Iterator[list[dict[str, Tensor]]]:
    """Give a list of the tensors, by name, that calls of the denoiser are given."""
    calls: list[dict[str, Tensor]] = []
    signature = inspect.signature(denoiser.forward)

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(dict(_tensors(signature.bind(*args, **kwargs).arguments)))

    hook = denoiser.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


def _tensors(given: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in given.items():
        if isinstance(value, Mapping):  # added_cond_kwargs, kwargs
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield name, value.detach()


def joined(inputs: Sequence[dict[str, Tensor]], rows: int = 32) -> list[Inputs]:
    """Return the same inputs in fewer batches of up to `rows`; images too large to gain from it stay as they are."""
    first = inputs[0]
    sample = first[next(iter(first))]
    count = max(1, rows // len(sample)) if sample[0, 0].numel() <= _SMALL else 1
    return [cat_inputs(inputs[start : start + count]) for start in range(0, len(inputs), count)]


def prediction_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error; of a denoiser that predicts a variance too, that part does not count."""
    return (predicted[:, : target.shape[1]] - target).square().mean()
