"""Sampling pictures as a task: subnets are judged by the original at the same seeds, or by what a classifier sees.

Nothing needs data. Prompts and seeds are fixed: those that the pipeline was trained for, in turn, seeds from 0 on.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import diffusion
from diffusion.evaluation.quality import (
    CLASSIFIER,
    classifier,
    match,
    prompts_and_seeds,
    psnr,
    relative_error,
)
from diffusion.pipeline.artifact import write_diffusers, write_runner
from diffusion.pipeline.family import PipelineFamily
from diffusion.pipeline.files.memory import in_batches
from diffusion.pipeline.inputs.captions import open_described
from diffusion.pipeline.inputs.conditions import LATENTS
from diffusion.pipeline.inputs.prompts import general_prompts, prompt_inputs
from nas.elastic import Inputs, call, map_inputs
from nas.errors import NasError, UsageError
from nas.models import Evaluator, Forward, Model, Preprocessing, Quality, Split, Task, Training, load_model
from nas.space import Subnet

PSNR = Quality("psnr", "PSNR to the original", "dB", bounds=(0.0, 100.0))
LATENT = Quality("latent", "latent error", higher_is_better=False, bounds=(0.0, float("inf")))
MATCH = Quality("match", "prompt match", "%", bounds=(0.0, 100.0))
PICTURES, MATCHED = 16, 100
_BATCH = 16


def prompts_of(model: Model) -> Sequence[str]:
    """Return the prompts that a pipeline is judged on: its own, in the order of `anyfit.json`, or general ones.

    Prompts of a pipeline of classes are names or numbers of classes.
    """
    return tuple(map(str, model.info.get("prompts") or general_prompts(_family(model).conditions)))


def _family(model: Model) -> PipelineFamily:

    assert isinstance(model.family, PipelineFamily)
    return model.family


def fixed_inputs(model: Model, count: int) -> dict[str, Tensor]:
    """Return `count` inputs of a pipeline: its prompts in turn, each with the noise of its own seed, from 0 on."""
    return make_inputs(model, *prompts_and_seeds(prompts_of(model), count, 0))


def make_inputs(model: Model, prompts: Sequence[str], seeds: Sequence[int]) -> dict[str, Tensor]:
    """Return the inputs of a pipeline for pairs of a prompt and a seed; a seed's noise is its own in every batch."""
    shape = model.family.example_input(model.space.largest())[LATENTS].shape[1:]
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return {LATENTS: torch.stack(noise), **prompt_inputs(model.path, _family(model).conditions, prompts)}


class _Latents:
    """The final latents of the last network that was asked for: evaluators of several qualities share its samples."""

    def __init__(self) -> None:
        self._network: Callable[[], Any] = lambda: None
        self._latents: Tensor | None = None

    def of(self, forward: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Return the final latents of `inputs`, the first ones that `fixed_inputs` makes."""
        if self._network() is not forward:
            self._network, self._latents = weakref.ref(forward), None
        known, count = 0 if self._latents is None else len(self._latents), len(inputs[LATENTS])
        if known < count:
            more = _batches(forward.sample_latents, {name: x[known:] for name, x in inputs.items()})
            self._latents = more if self._latents is None else torch.cat([self._latents, more])
        assert self._latents is not None
        return self._latents[:count]


_LAST = _Latents()


class _OriginalEvaluator(Evaluator):
    """Compares with what the largest subnet makes of the same inputs."""

    def __init__(self, count: int = PICTURES) -> None:
        self.count = self.input_count = count
        self.data = f"{count} pictures of fixed prompts and seeds, beside the original's"
        self._known: tuple[dict[str, Tensor], np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        if self._known is None:
            inputs, full = fixed_inputs(model, self.count), with_weights(model)
            network = full.extract(full.space.largest())
            self._known = inputs, self._made(network, inputs)
        inputs, wanted = self._known
        return self._compare(self._made(forward, inputs), wanted)

    def _made(self, forward: Any, inputs: dict[str, Tensor]) -> np.ndarray:
        raise NotImplementedError

    def _compare(self, made: np.ndarray, wanted: np.ndarray) -> float:
        raise NotImplementedError


class PsnrEvaluator(_OriginalEvaluator):
    """The peak signal-to-noise ratio of all pictures together, in bytes; 100 dB for equal ones."""

    quality = PSNR

    def _made(self, forward: Any, inputs: dict[str, Tensor]) -> np.ndarray:
        return decoded(forward, _LAST.of(forward, inputs))

    def _compare(self, made: np.ndarray, wanted: np.ndarray) -> float:
        return min(psnr(made, wanted), PSNR.bounds[1])


class LatentEvaluator(_OriginalEvaluator):
    """The root mean square error of the final latents, relative to their size."""

    quality = LATENT

    def _made(self, forward: Any, inputs: dict[str, Tensor]) -> np.ndarray:
        return _LAST.of(forward, inputs).numpy()

    def _compare(self, made: np.ndarray, wanted: np.ndarray) -> float:
        return relative_error(made, wanted)


class MatchEvaluator(Evaluator):
    """The share of pictures in which a classifier sees what the prompt asks for."""

    quality = MATCH

    def __init__(self, count: int = MATCHED) -> None:
        self.count = self.input_count = count
        self.data = f"{count} pictures of fixed prompts and seeds, by {CLASSIFIER}"

    @torch.inference_mode()
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        asked, _ = prompts_and_seeds(prompts_of(model), self.count, 0)
        made = decoded(forward, _LAST.of(forward, fixed_inputs(model, self.count)))
        return match(made, asked, classifier()).percent


def with_weights(model: Model) -> Model:
    """Return `model`, or for an exported one the pipeline it was taken from."""
    if not next(model.supernet.parameters()).is_meta:
        return model
    return load_model(model.info.get("pipeline") or model.name)


def pictures(forward: Any, inputs: dict[str, Tensor]) -> np.ndarray:
    """Return pictures, uint8 (n, height, width, 3); raises `NasError` where one is not finite."""
    return _bytes(_batches(forward, inputs))


def decoded(forward: Any, latents: Tensor) -> np.ndarray:
    """Return the pictures, uint8 (n, height, width, 3), of final latents; errors are those of `pictures`."""
    return _bytes(torch.cat([forward.decode(part) for part in latents.split(_BATCH)]).float())


def _bytes(made: Tensor) -> np.ndarray:
    if not bool(made.isfinite().all()):
        raise NasError(
            "a picture is not finite: the weights are broken or overflow; fetch the pipeline again"
        )
    return ((made / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def latents_of(forward: Any, inputs: dict[str, Tensor]) -> np.ndarray:
    """Return the final latents, float32 (n, channels, height, width)."""
    return _batches(forward.sample_latents, inputs).numpy()


def _batches(run: Any, inputs: dict[str, Tensor]) -> Tensor:
    def make(start: int, stop: int) -> Tensor:
        part = map_inputs(lambda x: x[start:stop], inputs)
        return call(run, part) if isinstance(run, nn.Module) else run(part)

    height, width = inputs[LATENTS].shape[-2:]
    size = f"{width} × {height} latents"
    return torch.cat(in_batches(make, len(inputs[LATENTS]), _BATCH, size)).float()


def _foreign_prompt(model: Model) -> str | None:
    """Return the first of a pipeline's prompts that asks for no class of our classifier."""
    evaluator = classifier()
    return next((prompt for prompt in prompts_of(model) if evaluator.class_of(prompt) is None), None)


class Diffusion(Task):
    """Noise and prompts in, pictures out."""

    name = "diffusion"
    qualities = (PSNR, LATENT, MATCH)
    quantizer = "nas diffusion quantize"

    def trainings(self) -> Mapping[str, Training]:
        captioned = {"starts": True, "open_data": open_described}
        return {
            "train": Training.of("diffusion.training.text_to_image", **captioned),
            "distil": Training.of("diffusion.training.distil", "distil", **captioned),
        }

    def prune(self, model: Model, output: Path | None, **options: Any) -> Any:
        return diffusion.prune_pipeline(model.path, output, **options)

    def quantize(self, model: Model, subnet: Subnet, output: Path | None, **options: Any) -> Any:
        found = diffusion.quantize_pipeline(model, subnet, output, **options)
        if found.best is None:
            raise NasError(found.reason)
        return found

    def qualities_of(self, model: Model) -> tuple[Quality, ...]:
        has_match = _foreign_prompt(model) is None
        return tuple(quality for quality in self.qualities if quality != MATCH or has_match)

    def needs_data(self, quality: Quality) -> bool:
        return False

    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Any = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> Evaluator:
        if data is not None:
            raise UsageError(
                "pipelines are judged on prompts and seeds, but --data names pictures; leave it out"
            )
        if quality == MATCH:
            if not _family(model).conditions.inputs:
                raise UsageError("pictures of no prompt have none to match; choose --quality psnr")
            if (foreign := _foreign_prompt(model)) is not None:
                raise UsageError(
                    f"prompt match is judged by {CLASSIFIER}, but the prompt {foreign!r} asks for none of its "
                    "classes alone; choose --quality psnr"
                )
            return MatchEvaluator()
        return PsnrEvaluator() if quality == PSNR else LatentEvaluator()

    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Inputs, str]:
        return fixed_inputs(model, count), "prompts and seeds"

    def finish_artifact(self, model: Model, network: Any, subnet: Subnet, folder: Path) -> None:

        write_diffusers(model, network, subnet, folder)
        if (folder / f"{_family(model).whole}.onnx").is_file():
            write_runner(model, subnet, folder)

    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        return (
            f"Input: `latents`, float32 noise {' × '.join(['N', *map(str, shape)])} (any N), and where pictures are "
            "made of prompts or classes their token numbers and masks or labels, int64 (`manifest.json` names them). "
            "Output: pictures, float32, channels first, -1 … 1 and a little beyond."
        )

    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        return "diffusers:", _DIFFUSERS

    def usage(self) -> Sequence[tuple[str, str, str]] | None:
        return _USAGE


_DIFFUSERS = """
import json
import diffusion  # only where model_index.json names a class of it: sizes that no stock configuration says
from diffusers import DiffusionPipeline
pipeline, manifest = DiffusionPipeline.from_pretrained("."), json.load(open("manifest.json"))
own = {"num_inference_steps": manifest["subnet"]["choices"].get("steps", manifest["options"]["steps"][-1])}
own |= {"guidance_scale": manifest["options"]["scale"]} if "scale" in manifest["options"] else {}
picture = pipeline("a photo of a ship", **own).images[0]  # or class_labels=[207], or only the steps
# guidance in a share of the steps, and features that are used again, are the runner's alone
"""
_USAGE = (
    (
        "run_onnx.py",
        "ONNX Runtime, without torch (or from a shell: `python run_onnx.py PROMPT --seed 1`):",
        """
from run_onnx import Pipeline
pictures = Pipeline(".")(["a photo of a ship"], seeds=[1])  # uint8, (1, height, width, 3); "" where it takes no prompt
""",
    ),
    (
        "model.safetensors",
        "torch, with anyfit installed (noise and prompts to pictures, all steps included; nothing unpickled):",
        """
import nas, torch
from nas.export import read_manifest
named = read_manifest(".").input.named  # what it takes: shape of one, and type
inputs = {name: torch.ones(1, *x["shape"], dtype=getattr(torch, x["dtype"])) for name, x in named.items()}
picture = nas.load(".")(**inputs)
""",
    ),
)
