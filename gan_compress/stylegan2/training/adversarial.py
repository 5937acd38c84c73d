"""One adversarial step: generator against discriminator, and the distances of subnets to the full generator.

All randomness of a step comes from a generator seeded by (seed, step), so a resumed run needs no stored states.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from gan_compress.stylegan2.discriminator import Discriminator, group_size
from gan_compress.stylegan2.networks import Generator, noise_sizes
from gan_compress.stylegan2.training.augment import diff_augment
from gan_compress.stylegan2.training.distance import Features, feature_distance, shrunk
from gan_compress.stylegan2.training.losses import discriminator_loss, generator_loss, gradient_penalty
from gan_compress.stylegan2.training.recipe import GeneratorRecipe
from gan_compress.stylegan2.training.state import GeneratorState
from gan_compress.stylegan2.training.subnets import described, drawn_resolution, sandwich, widest
from nas.data.images import RealImages
from nas.elastic import Supernet
from nas.seeds import Draws, step_generator, subnet_rng
from nas.space import Subnet
from nas.train.objective import Losses, update
from nas.train.processes import Processes

_ADVERSARIAL = 10


@dataclass(frozen=True)
class AdversarialStep:
    """What every step needs; `features` compares images in the place of the frozen discriminator's own features."""

    recipe: GeneratorRecipe
    state: GeneratorState
    real: RealImages | None
    autocast: Callable[[], AbstractContextManager[object]]
    features: Features | None = None
    processes: Processes | None = None

    def step(self) -> Losses:
        """Accumulate the gradients of one step and take it; returns what it lost, detached."""
        recipe, state = self.recipe, self.state
        rng, draws = subnet_rng(recipe.seed, state.step), self._draws()
        subnets = self._subnets(rng)
        turn = int(rng.integers(len(subnets)))
        losses: Losses = {}
        if state.discriminator is not None:
            losses |= self._discriminator_step(subnets[turn], draws)
        losses |= self._generator_step(subnets, turn, draws)
        return losses

    # --- draws --------------------------------------------------------------------------------------------------------

    @cached_property
    def _group(self) -> Processes:
        return self.processes or Processes(0, 1, self.state.device)

    def _draws(self) -> Draws:
        size = self.recipe.batch_size
        generator = step_generator(self.recipe.seed, _ADVERSARIAL, self.state.step, self.state.device)
        return Draws(generator, size, self._group.shard(size))

    def _subnets(self, rng: np.random.Generator) -> list[Subnet]:
        """Return the step's subnets: the full generator, at one resolution, or the sandwich."""
        family, recipe = self.state.family, self.recipe
        if recipe.stage == "base":
            return [family.space.largest()]
        if recipe.stage == "multires":
            return [widest(family, drawn_resolution(recipe, family, self.state.step, rng))]
        return sandwich(family, rng, recipe.random_subnets, recipe.uniform_share)

    def _latents(self, draws: Draws) -> Tensor:
        """Return the own rows of a batch of latents with class shares.

        The classes are drawn like the data's, one for each group in which the discriminator looks for sameness:
        between groups of mixed classes it would not see that all images of one class are the same.
        """
        family, count, generator = self.state.family, draws.batch_size, draws.generator
        z_bs = draws.randn(family.style)
        if not family.classes:
            return z_bs
        group, device = group_size(count), self.state.device
        if self.real is not None:
            known = self.real.labels
            labels = known[torch.randint(len(known), (count // group,), generator=generator, device=device)]
        else:
            labels = torch.randint(family.classes, (count // group,), generator=generator, device=device)
        labels = labels.repeat_interleave(group)[draws.shard]
        shares = nn.functional.one_hot(labels, family.classes).to(z_bs.dtype)
        return torch.cat([z_bs, shares], 1)

    def _real(self, z_bi: Tensor, draws: Draws) -> Tensor:
        """Return as many real images, of the same classes as the latents."""
        recipe, family, real = self.recipe, self.state.family, self.real
        assert real is not None
        if family.classes:
            return real.of_classes(z_bi[:, family.style :].argmax(1), draws, flip=recipe.flip)
        return real.batch(recipe.seed, self.state.step, draws, flip=recipe.flip)

    def _noise(self, draws: Draws) -> dict[str, Tensor]:
        """Return random noise pictures in the place of the generator's fixed ones."""
        sizes = noise_sizes(self.state.family.resolution)
        return {f"noises.noise_{index}": draws.randn(1, size, size) for index, size in enumerate(sizes)}

    # --- losses -------------------------------------------------------------------------------------------------------

    def _discriminator_step(self, subnet: Subnet, draws: Draws) -> Losses:
        recipe, state = self.recipe, self.state
        discriminator, optimizer = state.discriminator, state.discriminator_optimizer
        assert discriminator is not None
        assert optimizer is not None
        z_bi = self._latents(draws)
        images = self._real(z_bi, draws)
        with torch.no_grad(), self.autocast():
            fake = self._make(z_bi, subnet, draws)
        images = shrunk(images, fake.shape[-1])
        shares, condition = self._shares(z_bi), self._condition(subnet)
        penalised = max(recipe.r1, recipe.r2) > 0 and state.step % recipe.r1_every == 0
        fake = fake.float()
        for each in (images, fake):
            each.requires_grad_(penalised)
        discriminator.requires_grad_(True)
        with self.autocast() if not penalised else torch.autocast(images.device.type, enabled=False):
            real_b = discriminator(diff_augment(images, recipe.augment, draws), shares, condition).float()
            fake_b = discriminator(diff_augment(fake, recipe.augment, draws), shares, condition).float()
        loss = discriminator_loss(real_b, fake_b, paired=recipe.paired)
        losses = {
            "discriminator": loss.detach(), "real": real_b.detach().mean(), "fake": fake_b.detach().mean(),
        }  # fmt: skip
        if penalised:
            for name, weight, scores, each in (
                ("r1", recipe.r1, real_b, images),
                ("r2", recipe.r2, fake_b, fake),
            ):
                if weight > 0:
                    penalty = gradient_penalty(scores, each)
                    losses[name] = penalty.detach()
                    loss = loss + penalty * (weight / 2 * recipe.r1_every)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        update(optimizer, discriminator.parameters(), self._group)
        discriminator.requires_grad_(False)
        return losses

    def _generator_step(self, subnets: list[Subnet], turn: int, draws: Draws) -> Losses:
        """Move every subnet towards the teacher, and the one whose `turn` it is into the discriminator's favour."""
        recipe, state = self.recipe, self.state
        z_bi = self._latents(draws)
        noise = self._noise(draws)
        state.optimizer.zero_grad(set_to_none=True)
        target = None
        if state.teacher is not None:
            with torch.no_grad(), self.autocast():
                target = self._teach(z_bi, noise)
        losses: Losses = {}
        for place, subnet in enumerate(subnets):
            with self.autocast():
                images = self._make(z_bi, subnet, draws, noise)
            loss = torch.zeros((), device=images.device)
            if place == turn and state.discriminator is not None:
                loss = self._adversarial_loss(images, z_bi, subnet, draws)
                losses["generator"] = loss.detach()
                loss = loss * (recipe.adversarial_weight if state.teacher is not None else 1.0)
            if target is not None:
                wanted = shrunk(target, images.shape[-1])
                pixel = (images.float() - wanted).square().mean()
                feature = self._feature_distance(images.float(), wanted)
                for name, value in (("pixel", pixel), ("feature", feature)):
                    losses[name] = losses.get(name, 0) + value.detach() / len(subnets)
                loss = loss + recipe.pixel_weight * pixel + recipe.feature_weight * feature
            loss.backward()
        update(state.optimizer, state.supernet.parameters(), self._group)
        return losses

    def _adversarial_loss(self, images: Tensor, z_bi: Tensor, subnet: Subnet, draws: Draws) -> Tensor:
        discriminator = self.state.discriminator
        assert discriminator is not None
        with self.autocast():
            shares, condition = self._shares(z_bi), self._condition(subnet)
            scores = discriminator(
                diff_augment(images.float(), self.recipe.augment, draws), shares, condition
            )
            if not self.recipe.paired:
                return generator_loss(scores.float())
            real = shrunk(self._real(z_bi, draws), images.shape[-1])
            with torch.no_grad():
                beside = discriminator(diff_augment(real, self.recipe.augment, draws), shares, condition)
        return generator_loss(scores.float(), beside.float())

    def _shares(self, z_bi: Tensor) -> Tensor | None:
        family = self.state.family
        return z_bi[:, family.style :] if family.classes else None

    def _condition(self, subnet: Subnet) -> Tensor | None:
        """Return the subnet's description; the stages without subnets leave it out."""
        if not self.recipe.has_teacher:
            return None
        return described(self.state.family, subnet).to(self.state.device)

    # --- images -------------------------------------------------------------------------------------------------------

    def _make(
        self, z_bi: Tensor, subnet: Subnet, draws: Draws, noise: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Return images of `subnet` with random noise, sometimes of two styles."""
        count = len(noise_sizes(self.state.family.resolution_of(subnet)))
        pictures = dict(list((noise or self._noise(draws)).items())[:count])
        if self.recipe.mixing and not self.recipe.has_teacher:
            generator = draws.generator
            chance = torch.rand((), generator=generator, device=z_bi.device)
            second = draws.randn(self.state.family.style)
            if chance < self.recipe.mixing:
                other = torch.cat([second, z_bi[:, second.shape[1] :]], 1)
                border = int(torch.randint(1, count + 1, (), generator=generator, device=z_bi.device))
                return mixed(self.state.supernet, subnet, z_bi, other, border, pictures)
        return self.state.supernet(z_bi, subnet, overrides=pictures)

    def _teach(self, z_bi: Tensor, noise: dict[str, Tensor]) -> Tensor:
        teacher = self.state.teacher
        assert teacher is not None
        return teacher.synthesize(teacher.map(z_bi), list(noise.values())).float()  # pyright: ignore[reportCallIssue]

    def _feature_distance(self, images: Tensor, wanted: Tensor) -> Tensor:
        if not self.recipe.feature_weight:
            return torch.zeros((), device=images.device)
        by: Discriminator | Features | None = self.features or self.state.feature_discriminator
        return feature_distance(by, images, wanted, self.state.family.resolution)


def mixed(
    supernet: Supernet,
    subnet: Subnet,
    first_bi: Tensor,
    second_bi: Tensor,
    border: int,
    noise: dict[str, Tensor],
) -> Tensor:
    """Return images of two latents each, the second's style from layer `border` on."""
    with supernet.bound(subnet, noise) as network:
        assert isinstance(network, Generator)
        first, second = network.map(first_bi), network.map(second_bi)
        styles = [first if layer < border else second for layer in range(network.layers)]
        return network.synthesize(torch.stack(styles, 1))
