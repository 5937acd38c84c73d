"""Quantizing a pipeline's denoiser: every choice measured beside floats, in bytes, milliseconds and decibels.

Weights of 8 and 4 bits are dimensions of the pipeline's space, tried for each kind of layer and for all; under ONNX
Runtime its static int8 (activations too) and its dynamic int8 (matrix products) are tried beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.evaluation.quality import psnr
from diffusion.evaluation.task import MATCH, PSNR, fixed_inputs, pictures
from diffusion.pipeline.family import PipelineFamily
from nas.compress import SCOPES, Purpose, quantize_onnx, quantize_onnx_dynamically
from nas.elastic import FULL, call
from nas.errors import UsageError
from nas.latency.measuring.measure import Measurement, TurnPlan, measure
from nas.latency.measuring.programs import lower_program, write_sequence
from nas.latency.measuring.reference import open_references
from nas.latency.runtimes import Runtime, get_runtime, onnx_bytes
from nas.latency.workload import Workload
from nas.models import Model
from nas.search.testbed.measured_table import onnx_forward
from nas.space import Subnet

LEAST_PSNR = 25.0
"""Below so many dB to the original's pictures nothing is recommended."""
FLOAT, DYNAMIC = "fp32", "dynamic int8"
_PICTURES, _CALIBRATION, _BATCHES = 16, 4, 10
_SECONDS = 8.0  # that measuring a scheme may take; each has three bursts at least

Report = Callable[[str], None]


@dataclass(frozen=True)
class QuantizationScheme:
    """How a denoiser is held: the subnet with its bits, and what ONNX Runtime makes of the files, if anything.

    `scope` is one of `nas.compress.SCOPES`, or "dynamic" for int8 matrix products without calibration.
    """

    name: str
    subnet: Subnet
    scope: str = ""


@dataclass(frozen=True)
class TriedScheme:
    """A scheme and what it is worth: bytes of all program files, ms an image, PSNR to floats in dB, prompt match in %.

    `speedup` is the time of floats under the same runtime over its own.
    """

    scheme: QuantizationScheme
    files: Mapping[str, Path]
    size_bytes: int
    measured: Measurement
    speedup: float
    psnr_db: float
    match: float | None

    @property
    def score(self) -> float:
        """What `nas.compress.recommend` ranks it by: the PSNR in dB."""
        return self.psnr_db

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "name": self.scheme.name,
            "bits": bits_of(self.scheme.subnet),
            "scope": self.scheme.scope or None,
            "bytes": self.size_bytes,
            "image_ms": self.measured.median_ms,
            "speedup": self.speedup,
            "psnr": self.psnr_db,
            "match": self.match,
        }


def bits_of(subnet: Subnet) -> dict[str, int]:
    """Return the bits that a subnet gives each kind of layer."""
    return {name: int(choice) for name, choice in subnet.items() if name.endswith(".bits")}


def schemes(model: Model, subnet: Subnet, runtime: str) -> list[QuantizationScheme]:
    """Return what is tried for a subnet of a pipeline, floats first; raises `UsageError` where no bits are offered."""
    kinds = [*bits_of(subnet)]
    if not kinds:
        raise UsageError(
            f'{model.name} offers no bits; leave out "bits" in the "unet" of its anyfit.json\'s space'
        )

    def with_bits(chosen: Sequence[str], bits: int) -> Subnet:
        own = {name: bits if name in chosen else FULL for name in kinds}
        return model.space.subnet({**model.space.largest(), **subnet, **own})

    floats = with_bits((), FULL)
    found = [QuantizationScheme(FLOAT, floats)]
    for bits in (8, 4):
        found.append(QuantizationScheme(f"int{bits} weights, all", with_bits(kinds, bits)))
        for kind in kinds if len(kinds) > 1 else ():
            name = kind.removesuffix(".bits").replace("_", "-")
            found.append(QuantizationScheme(f"int{bits} weights, {name}", with_bits([kind], bits)))
    if runtime == "onnxruntime":
        found.append(QuantizationScheme(DYNAMIC, floats, "dynamic"))
    if get_runtime(runtime).reads_onnx:
        found += [QuantizationScheme(f"static int8, {scope}", floats, scope) for scope in SCOPES]
    return found


class QuantizationTrial:
    """Tries schemes of one pipeline under one runtime; files are written into `folder` and stay there."""

    def __init__(
        self,
        model: Model,
        runtime: Runtime,
        workload: Workload,
        folder: Path,
        *,
        with_match: bool = False,
        report: Report = lambda text: None,
    ) -> None:
        self._model, self._runtime, self._workload, self._folder = model, runtime, workload, folder
        self._evaluator = model.task.evaluator(model, MATCH) if with_match else None
        self._inputs = fixed_inputs(model, _PICTURES)
        self._report = report
        self._known: dict[Subnet, dict[str, list[dict[str, np.ndarray]]]] = {}

    def run(self, schemes: Sequence[QuantizationScheme]) -> list[TriedScheme]:
        """Try all; the first is what the others are compared with. Raises `NasError` where one does not run."""

        family, sequences, files = self._model.family, {}, {}
        for number, scheme in enumerate(schemes):
            self._report(f"writing {scheme.name}")
            files[number] = self._write(scheme)
            path = self._folder / str(number)
            sequences[number] = write_sequence(path, family.passes(scheme.subnet), files[number])
        self._report(
            f"measuring an image of each of {len(schemes)} under {self._runtime.name}, {self._workload}"
        )
        plan = TurnPlan(min_bursts=5, max_bursts=15, budget_s=_SECONDS * len(schemes))
        references = open_references(family, self._runtime, self._workload)
        measured = measure(sequences, self._runtime, self._workload, references=references, plan=plan)
        wanted, found = self._pictures(schemes[0], files[0]), []
        for number, scheme in enumerate(schemes):
            self._report(f"making pictures with {scheme.name}")
            made = wanted if number == 0 else self._pictures(scheme, files[number])
            found.append(
                TriedScheme(
                    scheme=scheme,
                    files=files[number],
                    size_bytes=sum(map(_bytes, {*files[number].values()})),
                    measured=measured[number],
                    speedup=measured[0].median_ms / measured[number].median_ms,
                    psnr_db=min(psnr(made, wanted), PSNR.bounds[1]),
                    match=self._match(scheme, files[number]),
                )
            )
        return found

    # --- files --------------------------------------------------------------------------------------------------------

    def _write(self, scheme: QuantizationScheme) -> dict[str, Path]:
        """Write the programs of a scheme; return their files by name."""

        family, network = self._model.family, self._model.extract(scheme.subnet)
        names = dict.fromkeys(step.program for step in family.passes(scheme.subnet))
        files = {
            name: lower_program(network, family, name, scheme.subnet, self._runtime, self._folder)
            for name in names
        }
        if not scheme.scope:
            return files
        assert isinstance(family, PipelineFamily)
        denoisers = [name for name in (family.whole, family.shallow) if name in files]
        own = {name: self._folder / f"{scheme.scope}-{name}.onnx" for name in denoisers}
        for name, target in own.items():
            self._quantize(scheme, name, files[name], target)
        return {**files, **own}

    def _quantize(self, scheme: QuantizationScheme, name: str, source: Path, target: Path) -> None:

        if scheme.scope == "dynamic":
            quantize_onnx_dynamically(source, target)
            return
        quantize_onnx(source, target, self._recorded(scheme.subnet)[name], scheme.scope)

    def _recorded(self, subnet: Subnet) -> dict[str, list[dict[str, np.ndarray]]]:
        """Return inputs of the denoiser's programs, of all over the schedule, as sampling feeds them."""
        if subnet not in self._known:
            self._known[subnet] = self._record(subnet)
        return self._known[subnet]

    @torch.inference_mode()
    def _record(self, subnet: Subnet) -> dict[str, list[dict[str, np.ndarray]]]:
        family, network = self._model.family, self._model.extract(subnet)
        fed: dict[str, list[dict[str, np.ndarray]]] = {}

        def recorder(name: str) -> Callable[[Any], Tensor]:
            view = family.programs[name].view(network).eval()

            def run(x: Any) -> Tensor:
                if isinstance(x, Mapping):
                    arrays = {key: np.ascontiguousarray(tensor.numpy()) for key, tensor in x.items()}
                    fed.setdefault(name, []).append(arrays)
                return call(view, x)

            return run

        names = {step.program for step in family.passes(subnet)}
        sample: Any = family.compose({name: recorder(name) for name in names}, subnet)
        sample.sample_latents(fixed_inputs(self._model, _CALIBRATION))
        return {name: runs[:: -(-len(runs) // _BATCHES)] for name, runs in fed.items()}

    # --- quality ------------------------------------------------------------------------------------------------------

    def _forward(self, scheme: QuantizationScheme, files: Mapping[str, Path]) -> Any:
        """Return what makes pictures as the runtime does; where its files are torch's, the network itself."""
        if not self._runtime.reads_onnx:
            return self._model.extract(scheme.subnet)
        threads, name_of = torch.get_num_threads(), self._runtime.name
        opened = {name: onnx_forward(file, threads, runtime=name_of) for name, file in files.items()}
        return self._model.family.compose(opened, scheme.subnet)

    @torch.inference_mode()
    def _pictures(self, scheme: QuantizationScheme, files: Mapping[str, Path]) -> np.ndarray:
        return pictures(self._forward(scheme, files), self._inputs)

    def _match(self, scheme: QuantizationScheme, files: Mapping[str, Path]) -> float | None:
        if self._evaluator is None:
            return None
        return self._evaluator(self._model, self._forward(scheme, files), scheme.subnet)


def _bytes(path: Path) -> int:

    weights = path.with_suffix(".safetensors")
    return onnx_bytes(path) + (weights.stat().st_size if weights.exists() else 0)


def refusal(tried: Sequence[TriedScheme], purpose: Purpose, worth: float, least_psnr: float) -> str:
    """Say in a sentence why nothing is recommended."""
    fine = [each for each in tried[1:] if each.psnr_db >= least_psnr]
    if not fine:
        return f"no choice keeps {least_psnr:g} dB to the original's pictures; nothing was written, use fp32"
    if purpose == "size":
        return "no choice is smaller than fp32; nothing was written, use fp32"
    best = max(fine, key=lambda each: each.speedup)
    return (
        f"nothing is {worth:g} times as fast as fp32 here (the fastest, {best.scheme.name}, is {best.speedup:.2f}×); "
        "nothing was written, use fp32, or take the smallest file with --for size"
    )
