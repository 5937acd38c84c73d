"""One step of elastic training: the sandwich of subnets, each beside the frozen original."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.distil.recipe import Recipe
from diffusion.distil.state import State
from diffusion.train.images import Captioned, step_generator
from diffusion.train.noise import Noise, draw_timesteps
from diffusion.train.state import ema_beta, rate
from diffusion.train.steps import NOISE, takes_bf16
from nas.space import Subnet
from nas.train._random import subnet_rng
from nas.train.loop import Losses


@contextmanager
def stage_features(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that a call of the UNet fills with the features (batch, c, h, w) after each of its stages.

    Stages keep their width in every subnet, so features of two subnets have one shape; one that is left out is missing.
    """
    found: dict[str, Tensor] = {}
    stages: dict[str, Any] = {"mid_block": getattr(network, "mid_block", None)}
    for side in ("down_blocks", "up_blocks"):
        stages |= {f"{side}.{name}": stage for name, stage in getattr(network, side).named_children()}

    def keep(name: str):
        def hook(_module: nn.Module, _given: object, output: Any) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [stage.register_forward_hook(keep(name)) for name, stage in stages.items() if stage is not None]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def feature_error(features: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """Return the squared error of features relative to their size, as a mean over the stages that both have."""
    shared = [name for name in truth if name in features]
    errors = [
        (features[name] - truth[name]).square().mean() / truth[name].square().mean().clamp_min(1e-8)
        for name in shared
    ]
    return torch.stack(errors).mean()


class Steps:
    """The training steps of a state."""

    def __init__(
        self, recipe: Recipe, state: State, teacher: nn.Module, pipeline: Any, data: Captioned
    ) -> None:
        self._recipe, self._state, self._teacher, self._data = recipe, state, teacher, data
        self._vae = pipeline.vae
        self._noise = Noise(pipeline.scheduler, recipe, state.device)
        self._bf16 = takes_bf16(recipe, state.device)
        self._text = pipeline.text_encoder

    def subnets(self) -> list[Subnet]:
        """Return the subnets of the step to come: the largest, the narrowest, and some at random.

        The smallest of all has no cross-attention left in it, so no words reach it: it would teach the others nothing.
        """
        recipe, family = self._recipe, self._state.family
        rng = subnet_rng(recipe.seed, self._state.step)
        found = [family.space.largest(), family.uniform(0)]
        for _ in range(recipe.random_subnets):
            if rng.random() < recipe.uniform_share:
                found.append(family.uniform(float(rng.uniform(0.2, 1))))
            else:
                found.append(family.space.sample(rng))
        return found

    def take(self) -> Losses:
        """Take one step and count it."""
        recipe, state = self._recipe, self._state
        for group in state.optimizer.param_groups:
            group["lr"] = rate(recipe, state.step)
        state.optimizer.zero_grad(set_to_none=True)
        losses = self._backward()
        if recipe.grad_clip:
            nn.utils.clip_grad_norm_(state.supernet.parameters(), recipe.grad_clip)
        state.optimizer.step()
        state.step += 1
        state.average(ema_beta(recipe, state.step))
        return losses

    def _backward(self) -> Losses:
        """Add the gradients of all subnets; returns what is told of the step."""
        recipe, state = self._recipe, self._state
        inputs, target, weights = self._inputs(state.step)
        with torch.no_grad(), stage_features(self._teacher) as truth, self._autocast():
            wanted = self._teacher(**inputs).float()
        subnets, told = self.subnets(), {}
        for place, subnet in enumerate(subnets):
            with (
                state.supernet.bound(subnet) as network,
                stage_features(network) as features,
                self._autocast(),
            ):
                predicted = network(**inputs).float()
            task, output = (
                (weights * (predicted - each).square().mean((1, 2, 3))).mean() for each in (target, wanted)
            )
            feature = feature_error(features, truth)
            loss = recipe.task_weight * task + recipe.output_weight * output + recipe.feature_weight * feature
            (loss / len(subnets)).backward()
            told = _told(told, place, loss, output, feature, len(subnets))
        return told

    def importance_examples(self, count: int = 12) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield inputs and targets of training images, a batch of one timestep each, from little noise to all noise."""
        for step, timestep in enumerate(torch.linspace(0, len(self._noise.weights) - 1, count).long()):
            inputs, target, _ = self._inputs(step, timestep)
            yield inputs, target

    def _inputs(self, step: int, timestep: Tensor | None = None) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the UNet's inputs, the target from the data, and the weights of the errors (batch,)."""
        recipe, noise = self._recipe, self._noise
        size, device = recipe.batch_size, self._state.device
        images, tokens = self._data.batch(recipe.seed, step, size, flip=recipe.flip, drop=recipe.drop_caption)
        generator = step_generator(recipe.seed, step, NOISE)
        with torch.no_grad():
            latents = self._vae.encode(images).latent_dist.mode() * self._vae.config.scaling_factor
            words = self._text(tokens)[0]
        timesteps = draw_timesteps(size, len(noise.weights), generator).to(device)
        if timestep is not None:
            timesteps = timestep.to(device).expand(size)
        drawn = torch.randn(latents.shape, generator=generator).to(device)
        noisy, target = noise.at(latents, drawn, timesteps)
        inputs = {
            "sample": noisy.contiguous(memory_format=torch.channels_last),
            "timestep": timesteps.float(),
            "encoder_hidden_states": words,
        }
        return inputs, target, noise.weights[timesteps]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._state.device.type, dtype=torch.bfloat16, enabled=self._bf16)


def _told(told: Losses, place: int, loss: Tensor, output: Tensor, feature: Tensor, count: int) -> Losses:
    """Add a subnet's losses: means over all, and the output's error of the largest and the narrowest alone."""
    for name, value in (("loss", loss), ("output", output), ("feature", feature)):
        told[name] = told.get(name, torch.zeros((), device=value.device)) + value.detach() / count
    if place < 2:
        told[("largest", "narrowest")[place]] = output.detach()
    return told
