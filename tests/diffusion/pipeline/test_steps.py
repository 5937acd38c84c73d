from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from diffusion.pipeline.sampling.noise import Noise, draw_timesteps, epsilon_weights, loss_weights
from diffusion.training.images import Captioned, step_generator, tokenized
from diffusion.training.step import noise_of
from diffusion.training.text_to_image.networks import make_scheduler
from diffusion.training.text_to_image.recipe import PipelineRecipe, load_recipe, recipe_names
from nas.data.images import RealImages
from nas.errors import UsageError
from nas.train import schedules
from tests.diffusion.small import tiny_pipeline, tiny_recipe


def rate_of(recipe: PipelineRecipe, step: int) -> float:
    return schedules.constant_then_cosine(
        step,
        peak=recipe.lr,
        steps=recipe.steps,
        warmup=recipe.warmup_steps,
        cooldown_start=recipe.cooldown_start,
    )


def noise_with(recipe: PipelineRecipe) -> Noise:
    return noise_of(recipe, make_scheduler(recipe), torch.device("cpu"))


def test_the_last_step_is_noise_alone_and_is_learned():
    noise = noise_with(tiny_recipe())
    assert noise.signal[-1] == 0
    assert noise.level[-1] == 1
    assert noise.weights[-1] == 1
    assert noise_with(tiny_recipe(snr_offset=0.0)).weights[-1] == 0
    assert (noise_with(tiny_recipe(snr_gamma=0.0)).weights == 1).all()


def test_weights_are_min_snr_of_v():
    alphas = torch.linspace(0.001, 0.999, 50, dtype=torch.float64)
    snr = alphas / (1 - alphas)
    for offset in (0.0, 1.0):
        wanted = torch.minimum(snr + offset, torch.tensor(5.0)) / (snr + 1)
        torch.testing.assert_close(loss_weights(alphas, 5.0, offset).double(), wanted, atol=1e-6, rtol=1e-5)
    wanted = torch.minimum(snr, torch.tensor(5.0)) / snr
    torch.testing.assert_close(epsilon_weights(alphas, 5.0).double(), wanted, atol=1e-6, rtol=1e-5)


def test_noisy_latents_and_v_are_what_the_scheduler_says():
    scheduler: Any = make_scheduler(tiny_recipe())
    noise = noise_with(tiny_recipe())
    generator = torch.Generator().manual_seed(0)
    latents, drawn = (torch.randn(4, 8, 4, 4, generator=generator) for _ in range(2))
    timesteps = torch.tensor([0, 10, 500, 999])
    noisy, v = noise.at(latents, drawn, timesteps)
    torch.testing.assert_close(noisy, scheduler.add_noise(latents, drawn, timesteps), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(v, scheduler.get_velocity(latents, drawn, timesteps), atol=1e-5, rtol=1e-4)
    # One step of the sampler from the truth ends at the truth.
    scheduler.set_timesteps(1)
    back = scheduler.step(v[3:], 999, noisy[3:]).prev_sample
    torch.testing.assert_close(back, latents[3:], atol=1e-4, rtol=1e-3)


def test_timesteps_cover_all_of_the_range_in_every_batch():
    times = draw_timesteps(10, 1000, step_generator(0, 3, 1))
    assert sorted(int(each) // 100 for each in times) == list(range(10))
    assert times.tolist() != sorted(times.tolist())
    assert not torch.equal(times, draw_timesteps(10, 1000, step_generator(0, 4, 1)))
    assert torch.equal(times, draw_timesteps(10, 1000, step_generator(0, 3, 1)))


def test_the_rate_rises_stays_and_falls():
    recipe = tiny_recipe(steps=100, warmup_steps=10, cooldown=0.5, lr=1.0)
    rates = [rate_of(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:51] == [1.0] * 42
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] == pytest.approx((1 + math.cos(math.pi * 49 / 50)) / 2)
    assert rate_of(tiny_recipe(steps=100, warmup_steps=0, cooldown=1.0, lr=1.0), 50) == pytest.approx(0.5)


def test_the_average_follows_closely_at_first():
    recipe = tiny_recipe(ema_decay=0.9)
    assert schedules.ema_by_steps(recipe.ema_decay, 1) == pytest.approx(2 / 11)
    assert schedules.ema_by_steps(recipe.ema_decay, 10_000) == 0.9


def captioned() -> tuple[Captioned, list[tuple[str, ...]]]:
    pixels = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 16, 16).contiguous()
    groups = [("a dark", "a photo of a dark"), ("a bright",)]
    real = RealImages(pixels, torch.arange(40) % 2)
    return tokenized(real, groups, tiny_pipeline().tokenizer, torch.device("cpu")), groups


def test_every_image_keeps_its_caption_and_some_have_none():
    data, groups = captioned()
    tokenizer = tiny_pipeline().tokenizer
    seen: dict[int, set[str]] = {0: set(), 1: set()}
    count = 0
    for step in range(40):
        images, tokens = data.batch(0, step, 8, flip=False, drop=0.25)
        for image, ids in zip(images, tokens, strict=True):
            shade = round(float((image[0, 0, 0] + 1) * 127.5))
            text = tokenizer.decode(ids, skip_special_tokens=True).strip()
            seen[shade % 2].add(text)
            count += not text
    assert seen == {label: {*groups[label], ""} for label in (0, 1)}
    assert 40 < count < 125  # a quarter of 320


def test_a_batch_is_a_function_of_seed_and_step():
    data, _ = captioned()
    first, again, other = (data.batch(0, step, 4, flip=True, drop=0.5) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_along_are_whole(name):
    assert load_recipe(name).channels[0] > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"tokens": 2}, "tokens is 2, expected at least 3"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"drop_caption": 1.5}, "expected a share"),
        ({"patch": 3}, "patch is 3"),
        ({"patch": 4, "resolution": 18}, "a divisor of resolution"),
        ({"width": 10}, "a multiple of groups"),
        ({"levels": 4}, "cannot be halved 3 times"),
        ({"colour": 1}, "no setting 'colour'"),
    ],
)
def test_wrong_settings_are_named(changes, words):
    with pytest.raises(UsageError, match=words):
        tiny_recipe(**changes)
