"""What an exported pipeline holds beside its weights: a folder that diffusers loads, and a runner for ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusion.pipeline import forget_places
from diffusion.pipeline_family import SCHEDULER, STEPS, DiffusionPipeline, Pipeline
from diffusion.subnets import to_diffusers
from nas._files import read_json, write_json

if TYPE_CHECKING:
    from nas.families import Model
    from nas.space import Subnet

RUNNER, SAMPLING = "run_onnx.py", "sampling.json"


def write_diffusers(model: Model, network: Pipeline, subnet: Subnet, folder: Path) -> None:
    """Write the parts of a pipeline as diffusers saves them: `DiffusionPipeline.from_pretrained(folder)` loads it.

    The UNet has the stock format where a stock configuration can say it, else the subclass that carries the subnet:
    then `import diffusion` comes before. Text encoder, autoencoder and tokenizer are those of the original.
    """
    family = model.family
    assert isinstance(family, DiffusionPipeline)
    own = family.unet.space.subnet({name: subnet[name] for name in family.unet.space.names if name in subnet})
    unet: Any = to_diffusers(family.unet, own, network.unet)
    unet.save_pretrained(folder / "unet", safe_serialization=True)
    for part in ("text_encoder", "vae", "tokenizer"):
        shutil.copytree(model.path / part, folder / part)
    family.scheduler(subnet).save_pretrained(folder / "scheduler")
    index = read_json(model.path / "model_index.json")
    module = "diffusion" if type(unet).__name__.startswith("Subnet") else "diffusers"
    index |= {
        "unet": [module, type(unet).__name__],
        "scheduler": ["diffusers", family.chosen(subnet)[SCHEDULER]],
    }
    write_json(folder / "model_index.json", index)
    forget_places(folder)


def write_runner(model: Model, subnet: Subnet, folder: Path) -> None:
    """Write `run_onnx.py` and what it must know of the sampling."""
    from transformers import CLIPTokenizer

    import diffusion.onnx_runner as runner

    tokenizer = CLIPTokenizer.from_pretrained(model.path / "tokenizer", local_files_only=True)
    tokenizer.save_pretrained(folder / "tokenizer")
    shutil.copyfile(str(runner.__file__), folder / RUNNER)
    value = {
        **sampling_facts(model.family, subnet),
        "tokens": tokenizer.model_max_length,
        "pad": tokenizer.pad_token_id,
    }
    write_json(folder / SAMPLING, value)


def sampling_facts(family: Any, subnet: Subnet) -> dict[str, Any]:
    """Return what a runner must know: programs, steps, and how latents are mixed of noise and predictions."""
    assert isinstance(family, DiffusionPipeline)
    scheduler, plan = family.scheduler(subnet), family.plan(subnet)
    count = len(plan)
    # One entry for the noise and one for each prediction: what the scheduler makes of them are their weights.
    x = torch.zeros(1, count + 1, 1, 1, dtype=torch.float64)
    x[0, 0] = float(scheduler.init_noise_sigma)
    mix, steps = [x.flatten().tolist()], []
    for index, (step, time) in enumerate(zip(plan, scheduler.timesteps, strict=True)):
        scaled = scheduler.scale_model_input(torch.ones(1, dtype=torch.float64), time)
        steps.append(
            {
                "timestep": float(time),
                "scale": float(scaled),
                "whole": step.is_whole,
                "guided": step.is_guided,
            }
        )
        prediction = torch.zeros_like(x)
        prediction[0, index + 1] = 1
        x = scheduler.step(prediction, time, x, return_dict=False)[0]
        mix.append(x.flatten().tolist())
    latents = family.example_input(subnet)["latents"].shape[1:]
    return {
        "format": "anyfit-sampling",
        "version": 1,
        "programs": list(dict.fromkeys(step.program for step in family.passes(subnet))),
        "guidance": family.sampling.scale,
        "num_inference_steps": family.chosen(subnet)[STEPS],
        "latents": list(latents),
        "steps": steps,
        "mix": mix,
    }
