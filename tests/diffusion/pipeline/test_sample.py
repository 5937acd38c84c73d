from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion.pipeline.sampling.generate import SamplingSettings, generate, is_conditional, seed_latents
from nas.errors import UsageError
from tests.diffusion.small import tiny_pipeline

PROMPTS = ["a photo of a dark", "a photo of a bright", "a dark"]


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def test_an_image_depends_on_its_prompt_and_seed_alone(pipeline):
    together = generate(pipeline, PROMPTS, [3, 4, 5], SamplingSettings(steps=2), batch=2)
    assert together.shape == (3, 16, 16, 3)
    assert together.dtype == np.uint8
    for index, (prompt, seed) in enumerate(zip(PROMPTS, [3, 4, 5], strict=True)):
        alone = generate(pipeline, [prompt], [seed], SamplingSettings(steps=2))[0]
        # Batches of other sizes take other kernels: a pixel may round the other way.
        assert np.abs(alone.astype(int) - together[index]).max() <= 1
    assert (together[0] != together[1]).any()


def test_latents_are_what_the_autoencoder_decodes(pipeline):
    latents = generate(pipeline, PROMPTS, [0, 1, 2], SamplingSettings(steps=2), latents=True)
    with torch.no_grad():
        decoded = pipeline.vae.decode(torch.from_numpy(latents)).sample
    wanted = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert (generate(pipeline, PROMPTS, [0, 1, 2], SamplingSettings(steps=2)) == wanted.numpy()).all()


def test_guidance_negative_prompts_and_steps_matter(pipeline):
    def latents(**options):
        return generate(pipeline, PROMPTS[:1], [0], SamplingSettings(**{"steps": 3, **options}), latents=True)

    plain = latents(guidance=1.0)
    for options in (
        {"guidance": 6.0},
        {"negative": "a bright", "guidance": 6.0},
        {"steps": 2},
        {"rescale": 0.7},
    ):
        assert np.abs(latents(**options) - plain).max() > 1e-4, options
    assert np.abs(latents(guidance=6.0) - latents(negative="a bright", guidance=6.0)).max() > 1e-5


def test_progress_is_told_after_each_batch(pipeline):
    conditioning = []
    generate(
        pipeline,
        PROMPTS,
        [0, 1, 2],
        SamplingSettings(steps=1),
        batch=2,
        advance=lambda *at: conditioning.append(at),
    )
    assert conditioning == [(2, 3), (3, 3)]


def test_wrong_settings_are_refused(pipeline):
    with pytest.raises(UsageError, match="steps is 0, expected at least 1"):
        SamplingSettings(steps=0)
    with pytest.raises(UsageError, match="guidance is nan"):
        SamplingSettings(guidance=float("nan"))
    with pytest.raises(UsageError, match="trained with 1000; take fewer"):
        generate(pipeline, PROMPTS[:1], [0], SamplingSettings(steps=1001))
    with pytest.raises(UsageError, match="1 prompts and 2 seeds"):
        generate(pipeline, PROMPTS[:1], [0, 1])
    with pytest.raises(UsageError, match="tokens, at most 12"):
        generate(pipeline, ["dark " * 30], [0], SamplingSettings(steps=1))
    with pytest.raises(UsageError, match="tokens, at most 12"):
        generate(pipeline, PROMPTS[:1], [0], SamplingSettings(steps=1, negative="dark " * 30))


def test_an_unconditional_pipeline_makes_images_by_seed(tmp_path):
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    from diffusion.pipeline.files.folder import load_pipeline

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=16, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    pipeline = load_pipeline(tmp_path / "ddpm")
    assert not is_conditional(pipeline)
    both = generate(pipeline, ["", ""], [0, 1], SamplingSettings(steps=3))
    assert both.shape == (2, 16, 16, 3)
    assert (both[0] != both[1]).any()
    assert (
        np.abs(generate(pipeline, [""], [1], SamplingSettings(steps=3))[0].astype(int) - both[1]).max() <= 1
    )


def test_noise_has_the_shape_that_the_unet_takes(pipeline):
    noise = seed_latents(pipeline, [7, 8])
    assert noise.shape == (2, 8, 4, 4)
    assert torch.equal(noise[1], seed_latents(pipeline, [8])[0])
