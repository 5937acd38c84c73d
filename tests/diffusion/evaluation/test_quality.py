from __future__ import annotations

import math

import numpy as np
import pytest

from diffusion.evaluation.quality import (
    classifier,
    compare,
    evaluate_match,
    interval,
    match,
    prompts_and_seeds,
    psnr,
    relative_error,
    ssim,
)
from diffusion.pipeline.sampling.generate import SamplingSettings
from nas.errors import UsageError
from tests.diffusion.small import tiny_pipeline


def test_the_interval_is_wilsons():
    # Its ends solve (p - share)² = z² p (1 - p) / n.
    for share, end in [(0.8, end / 100) for end in interval(8, 10)]:
        assert (end - share) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / 10)
    assert interval(8, 10) == pytest.approx((49.0162, 94.3318), abs=1e-3)
    assert interval(0, 10) == pytest.approx((0.0, 27.7533), abs=1e-3)
    assert interval(10, 10)[1] == pytest.approx(100)
    with pytest.raises(UsageError, match="at least one image"):
        interval(0, 0)


def test_distances_of_known_pictures():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 246, (3, 16, 16, 3)).astype(np.uint8)
    assert psnr(first, first) == math.inf
    assert psnr(first, first + 10) == pytest.approx(20 * math.log10(25.5))
    assert ssim(first, first) == pytest.approx(1.0)
    noisy = np.clip(first.astype(int) + rng.integers(-60, 60, first.shape), 0, 255).astype(np.uint8)
    assert 0 < ssim(first, noisy) < 0.95
    assert ssim(first, 255 - first) < 0
    assert relative_error(np.full(4, 3.0), np.full(4, 2.0)) == pytest.approx(0.5)
    with pytest.raises(UsageError, match="too small for SSIM"):
        ssim(first[:, :10], first[:, :10])


def test_ssim_of_flat_pictures_is_the_formulas():
    black, grey = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 100, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(black, grey) == pytest.approx(c1 / (100**2 + c1))


def test_a_prompt_asks_for_the_one_class_it_names():
    evaluator = classifier()
    assert evaluator.classes[evaluator.class_of("A photo of a SHIP") or -1] == "ship"
    assert evaluator.class_of("a photo of a house") is None
    assert evaluator.class_of("a dog beside a cat") is None
    assert evaluator.class_of("a scared person") is None


def test_match_counts_what_the_classifier_sees():
    evaluator = classifier()
    model = evaluator._model
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    seen = [evaluator.classes[label] for label in evaluator.labels(pictures)]
    other = [next(name for name in evaluator.classes if name != each) for each in seen]
    asked = [f"a photo of a {name}" for name in [*seen[:4], *other[4:]]]
    found = match(pictures, asked, evaluator)
    assert found.percent == pytest.approx(100 * 4 / 6)
    assert found.low < found.percent < found.high
    assert (found.classifier, found.images) == (model.name, 6)
    assert sum(found.by_prompt[p] * asked.count(p) for p in found.by_prompt) == pytest.approx(400)
    with pytest.raises(UsageError, match="does not name exactly one class"):
        match(pictures, ["a house"] * 6, evaluator)
    with pytest.raises(
        UsageError, match="does not name exactly one class"
    ):  # before it asks for the pipeline
        evaluate_match(None, ["a house"], evaluator=evaluator)


def test_pipelines_are_compared_seed_by_seed():
    pipeline, other = tiny_pipeline(), tiny_pipeline(seed=1)
    prompts, seeds = prompts_and_seeds(["a dark", "a bright"], 3, seed=5)
    assert (prompts, seeds) == (["a dark", "a bright", "a dark"], [5, 6, 7])
    same = compare(pipeline, pipeline, prompts, seeds, SamplingSettings(steps=2))
    assert (same.psnr_db, same.latent) == (math.inf, 0.0)
    assert same.ssim == pytest.approx(1)
    found = compare(pipeline, other, prompts, seeds, SamplingSettings(steps=2))
    assert found.psnr_db < 40
    assert found.ssim is not None and found.ssim < 0.999
    assert found.latent is not None
    assert found.latent > 0.01
