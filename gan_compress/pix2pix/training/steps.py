"""One training step: the discriminator on pairs, then every subnet of the step in one update.

All randomness of a step comes from generators seeded by (seed, step), so a resumed run needs no stored states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gan_compress.pix2pix.discriminator import discriminator_loss, generator_loss
from gan_compress.pix2pix.pairs import SAME
from gan_compress.pix2pix.training.recipe import TranslationRecipe
from gan_compress.pix2pix.training.state import TranslationState
from gan_compress.pix2pix.training.student import running
from nas.data.images import RealImages
from nas.seeds import Draws, step_generator, subnet_rng
from nas.space import Subnet
from nas.train.objective import Losses, update
from nas.train.processes import Processes
from nas.train.sampling import sandwich

_FLIPS = 20


@dataclass(frozen=True)
class TranslationSteps:
    """What every step needs; `degrade` makes inputs of true pictures."""

    recipe: TranslationRecipe
    state: TranslationState
    real: RealImages
    degrade: Callable[[Tensor], Tensor]
    processes: Processes | None = None

    def step(self) -> Losses:
        """Accumulate the gradients of one step and take it; returns what it lost, detached."""
        recipe, state = self.recipe, self.state
        generator = step_generator(recipe.seed, _FLIPS, state.step, state.device)
        draws = Draws(generator, recipe.batch_size, self._group.shard(recipe.batch_size))
        truth = self.real.batch(recipe.seed, state.step, draws, flip=recipe.flip)
        given = self.degrade(truth)
        if state.teacher is None:
            return self._teacher_step(given, truth)
        return self._compress_step(given, truth, state.teacher.with_features)

    @cached_property
    def _group(self) -> Processes:
        return self.processes or Processes(0, 1, self.state.device)

    def _teacher_step(self, given: Tensor, truth: Tensor) -> Losses:
        state = self.state
        made = state.supernet(given, state.supernet.space.largest())
        losses = self._discriminator_step(given, made.detach(), truth)
        state.optimizer.zero_grad(set_to_none=True)
        pixel = (made - truth).abs().mean()
        adversarial = generator_loss(self.recipe.gan_mode, state.discriminator(given, made))
        (self.recipe.pixel_weight * pixel + self.recipe.adversarial_weight * adversarial).backward()
        update(state.optimizer, state.supernet.parameters(), self._group)
        return losses | {"generator": adversarial.detach(), "pixel": pixel.detach()}

    def _compress_step(
        self, given: Tensor, truth: Tensor, teach: Callable[..., tuple[Tensor, list[Tensor]]]
    ) -> Losses:
        """Train the largest, the smallest and random subnets; the discriminator sees one of them in turn."""
        recipe, state = self.recipe, self.state
        subnets, turn = self._subnets()
        places = getattr(state.supernet.family, "places", ())
        with torch.no_grad():
            taught, features = teach(given, places)
            with running(state.supernet, subnets[turn]) as student:
                made = student(given)
        if recipe.pairs == SAME:
            truth = taught
        losses = self._discriminator_step(given, made, truth)
        wanted = taught if recipe.wanted == "teacher" else truth
        state.optimizer.zero_grad(set_to_none=True)
        for subnet in subnets:
            with running(state.supernet, subnet) as student:
                made, own = student.with_features(given)
            parts = {
                "pixel": (made - wanted).abs().mean(),
                "feature": torch.stack([(a - b).square().mean() for a, b in zip(own, features, strict=True)]).sum(),
                "generator": generator_loss(recipe.gan_mode, state.discriminator(given, made)),
            }  # fmt: skip
            total = (
                recipe.pixel_weight * parts["pixel"]
                + recipe.feature_weight * parts["feature"]
                + recipe.adversarial_weight * parts["generator"]
            )
            total.backward()
            for name, value in parts.items():
                losses[name] = losses.get(name, 0) + value.detach() / len(subnets)
        update(state.optimizer, state.supernet.parameters(), self._group)
        return losses

    def _subnets(self) -> tuple[list[Subnet], int]:
        """Return the step's subnets (the sandwich) and which of them the discriminator learns from."""
        space, rng = self.state.supernet.space, subnet_rng(self.recipe.seed, self.state.step)
        subnets = sandwich(space, rng, self.recipe.random_subnets)
        return subnets, int(rng.integers(len(subnets)))

    def _discriminator_step(self, given: Tensor, made: Tensor, truth: Tensor) -> Losses:
        """Update the discriminator, which then stays fixed while the generator learns from it."""
        discriminator, optimizer = self.state.discriminator, self.state.discriminator_optimizer
        discriminator.requires_grad_(True)
        real, fake = discriminator(given, truth), discriminator(given, made)
        loss = discriminator_loss(self.recipe.gan_mode, real, fake)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        update(optimizer, discriminator.parameters(), self._group)
        discriminator.requires_grad_(False)
        return {"discriminator": loss.detach(), "real": real.detach().mean(), "fake": fake.detach().mean()}
