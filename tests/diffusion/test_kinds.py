"""Every kind of pipeline samples what plain diffusers samples: the same noise, prompts, steps and guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.pipeline_family import DiffusionPipeline
from diffusion.task import fixed_inputs, prompts_of
from nas.elastic import call
from nas.families import load_model
from tests.diffusion.kinds import MAKERS, plain, write_kind


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    return {name: write_kind(name, root / name) for name in MAKERS}


def open_plain(folder: Path) -> Any:
    """Load a folder with diffusers alone; a scheduler that adds noise at every step gives way to its relative."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline as Stock

    stock: Any = Stock.from_pretrained(folder, local_files_only=True)
    if isinstance(stock.scheduler, DDPMScheduler):
        stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config)
    return stock


@torch.no_grad()
@pytest.mark.parametrize("name", MAKERS)
def test_the_largest_subnet_samples_what_diffusers_samples(folders: dict[str, Path], name: str) -> None:
    model = load_model(folders[name])
    family, largest = model.family, model.space.largest()
    assert isinstance(family, DiffusionPipeline)
    inputs = fixed_inputs(model, 3)
    made = call(model.extract(largest), inputs)
    assert largest["steps"] == 4
    scale = family.sampling.scale
    wanted = plain(open_plain(folders[name]), inputs, list(prompts_of(model)[:3]), 4, scale)
    torch.testing.assert_close((made / 2 + 0.5).clamp(0, 1), wanted, rtol=0, atol=1e-5)
    # What a picture is made of matters: with the others' prompts or classes it is another picture.
    for key in inputs.keys() - {"prompt_mask", "negative_mask"}:
        other = inputs[key.replace("negative", "prompt")].roll(1, 0)
        turned = call(model.extract(largest), {**inputs, key: other})
        assert float((turned - made).abs().max()) > 1e-4, key
