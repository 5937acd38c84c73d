"""A pipeline as a family: the largest subnet is the pipeline itself, the outer layers are those of the whole UNet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.denoisers.deepcache import Denoiser, ShallowDenoiser
from diffusion.evaluation.task import fixed_inputs
from diffusion.pipeline.family import PipelineFamily
from nas.elastic import call
from nas.errors import UsageError
from nas.families import get_family
from nas.models import Model, load_model
from tests.diffusion.kinds import SDXL_UNET, UNCONDITIONAL
from tests.diffusion.tiny import TEXT, options


@pytest.fixture(scope="module")
def model(pipeline: Path) -> Model:
    return load_model(pipeline)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    "scheduler", ["DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_the_largest_subnet_samples_what_diffusers_samples(pipeline: Path, scheduler: str) -> None:
    import diffusers
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    stock: Any = StableDiffusionPipeline.from_pretrained(pipeline, safety_checker=None, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    stock.scheduler = getattr(diffusers, scheduler).from_config(stock.scheduler.config)
    loaded = load_model(pipeline)
    changed = {**loaded.config["options"], "schedulers": [scheduler]}
    supernet = loaded.supernet
    family = get_family("diffusion", **changed)
    assert isinstance(family, PipelineFamily)
    inputs = fixed_inputs(loaded, 3)
    prompts = ["a photo of a red apple on a wooden table", "a small house by a lake in the mountains"]
    prompts.append("a portrait of an old man with a hat")
    wanted = stock(
        prompts, num_inference_steps=4, guidance_scale=2.0, latents=inputs["latents"], output_type="pt"
    ).images
    subnet = family.space.largest()
    network = supernet.extract(supernet.space.largest())
    made = {name: program.view(network) for name, program in family.programs.items()}
    forward = family.compose({name: (lambda x, own=own: call(own, x)) for name, own in made.items()}, subnet)
    torch.testing.assert_close((forward(inputs) / 2 + 0.5).clamp(0, 1), wanted, rtol=0, atol=1e-6)


def test_reused_features_of_the_same_step_change_nothing(model: Model) -> None:
    """With features that were just made, the outer layers give what the whole UNet gives."""
    family, network = model.family, model.supernet.extract(model.space.smallest())
    assert isinstance(family, PipelineFamily)
    unet = network.get_submodule("unet")
    inputs = family.denoiser.example_input(family.denoiser.space.largest(), 3)
    prediction, deep = Denoiser(unet)(**inputs).tensor_split([4], dim=1)
    assert torch.equal(prediction, unet(**inputs))
    assert torch.equal(ShallowDenoiser(unet)(deep=deep, **inputs), prediction)
    assert not torch.equal(ShallowDenoiser(unet)(deep=deep + 1, **inputs), prediction)


def test_what_costs_less_is_counted_less(model: Model) -> None:
    largest = model.space.largest()
    full = model.supernet.count(largest)
    for changed in ({"steps": 2}, {"guided": 0.5}, {"guided": 0.0}, {"reuse": 2}):
        less = model.supernet.count(model.space.subnet({**largest, **changed}))
        assert less.macs < full.macs and less.params == full.params


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": [0, 4]}, "steps"),
        ({"guided": [0.5, 2.0]}, "guided"),
        ({"vae": {"_class_name": "VQModel"}}, "VQModel"),
        ({"text_encoder": {"architectures": ["T5EncoderModel"]}}, "T5EncoderModel"),
        ({"schedulers": ["NoSuchScheduler"]}, "NoSuchScheduler"),
        (
            {"unet": {"config": {"_class_name": "UNet2DModel"}}},
            "that of a StableDiffusionPipeline is a UNet2DCond",
        ),
        ({"unet": {"config": SDXL_UNET}}, "takes text_embeds, unlike"),
        ({"text_encoder": {**TEXT, "hidden_size": 20}}, "of 16 features, but the text encoders make 20"),
        ({"vae": None}, "but vae is missing"),
        ({"transformer": {}}, "transformer is given too"),
        ({"kind": "FluxPipeline"}, "FluxPipeline is not supported as a whole pipeline; give one of Stable"),
        (
            {"kind": "DDPMPipeline", "unet": {"config": UNCONDITIONAL}, "vae": None, "text_encoder": None},
            "nothing guides",
        ),
    ],
)
def test_what_is_not_supported_is_one_sentence(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        family = get_family("diffusion", **options(**changed))
        family.build(family.space.largest())
        family.passes(family.space.largest())
    assert "\n" not in str(caught.value)
