"""What an exported pipeline holds beside its weights: a folder that diffusers loads, and a runner for ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from diffusion.denoisers.subnets import to_diffusers
from diffusion.pipeline.family import SCHEDULER, STEPS, PipelineFamily
from diffusion.pipeline.files.folder import read_index, write_index
from diffusion.pipeline.inputs.conditions import LATENTS, Label, negative
from diffusion.pipeline.inputs.prompts import load_tokenizer, read_labels
from diffusion.pipeline.sampling import onnx_runner as runner
from diffusion.pipeline.sampling.programs import ProgramPipeline
from diffusion.pipeline.sampling.scheduler_weights import mixing
from nas.files import write_json
from nas.models import Model
from nas.space import Subnet

RUNNER, SAMPLING = "run_onnx.py", "sampling.json"


def write_diffusers(model: Model, network: ProgramPipeline, subnet: Subnet, folder: Path) -> None:
    """Write the parts of a pipeline as diffusers saves them: `DiffusionPipeline.from_pretrained(folder)` loads it.

    The denoiser has the stock format where a stock configuration can say it, else the subclass that carries the subnet:
    then `import diffusion` comes before. The other parts are those of the original; a safety checker is left out.
    """
    family = model.family
    assert isinstance(family, PipelineFamily)
    part, space = family.kind.denoiser, family.denoiser.space
    own = space.subnet({name: subnet[name] for name in space.names if name in subnet})
    denoiser: Any = to_diffusers(family.denoiser, own, network.get_submodule(part))
    denoiser.save_pretrained(folder / part, safe_serialization=True)
    others = [name for name in family.kind.parts if name not in (part, "scheduler")]
    for name in others:
        shutil.copytree(model.path / name, folder / name)
    family.scheduler(subnet).save_pretrained(folder / "scheduler")
    scheduler = family.chosen(subnet)[SCHEDULER]
    module = "diffusion" if type(denoiser).__name__.startswith("Subnet") else "diffusers"
    index = {
        name: [None, None] if isinstance(value, list) and name not in others else value
        for name, value in read_index(model.path).items()
    }
    index |= {part: [module, type(denoiser).__name__], "scheduler": ["diffusers", scheduler]}
    if family.kind.name == "DDPMPipeline" and scheduler == "DDIMScheduler":
        index["_class_name"] = "DDIMPipeline"
    write_index(folder, index)


def write_runner(model: Model, subnet: Subnet, folder: Path) -> None:
    """Write `run_onnx.py` and what it must know of the sampling."""
    family = model.family
    assert isinstance(family, PipelineFamily)
    facts, inputs = sampling_facts(family, subnet), {}
    for name, value in family.conditions.inputs.items():
        if isinstance(value, Label):
            inputs[name] = {"classes": value.classes, "labels": read_labels(model.path)}
            continue
        tokenizer = load_tokenizer(model.path, value.tokenizer)
        tokenizer.save_pretrained(folder / value.tokenizer)
        inputs[name] = {**vars(value), "pad": tokenizer.pad_token_id, "negative": negative(name)}
    shutil.copyfile(str(runner.__file__), folder / RUNNER)
    write_json(folder / SAMPLING, {**facts, "inputs": inputs, "negatives": family.conditions.negatives})


def sampling_facts(family: PipelineFamily, subnet: Subnet) -> dict[str, Any]:
    """Return what a runner must know: programs, conditions, and how latents are mixed of noise and predictions.

    Raises `UsageError` for a scheduler that cannot be told so.
    """
    scheduler = family.scheduler(subnet)
    told = mixing(scheduler, family.chosen(subnet)[STEPS])
    steps = [
        {**own, "whole": step.is_whole, "guided": step.is_guided}
        for step, own in zip(family.plan(subnet), told.pop("steps"), strict=True)
    ]
    return {
        "format": "anyfit-sampling",
        "version": 2,
        "programs": list(dict.fromkeys(step.program for step in family.passes(subnet))),
        "denoiser": {
            "whole": family.whole,
            "shallow": family.shallow,
            "sample": family.sample_name,
            "outputs": family.outputs,
        },
        "decoder": family.decoder,
        **family.conditions.to_dict(),
        "guidance": family.sampling.scale,
        "num_inference_steps": family.chosen(subnet)[STEPS],
        "latents": list(family.example_input(subnet)[LATENTS].shape[1:]),
        "steps": steps,
        **told,
    }
