"""Writing an artifact: extract, lower, check against the supernet, measure, describe; all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import __version__
from nas.compress import REPAIRED, extracted
from nas.elastic import Program, call, named_inputs
from nas.export.architectures import architecture
from nas.export.bench import Network, measure_networks
from nas.export.card import model_card
from nas.export.formats import FORMATS, Format
from nas.export.loading import build_weightless
from nas.export.manifest import (
    CARD,
    SEQUENCE,
    SUBNET,
    InputSpec,
    Latency,
    Manifest,
    QualityFigure,
    hash_files,
    write_manifest,
)
from nas.export.parity import (
    BATCH_SIZES,
    ParityRow,
    compare,
    program_references,
    require_parity,
    split_batches,
    supernet_references,
)
from nas.export.weights import load_weights
from nas.files import new_folder, write_atomic
from nas.latency.measuring.programs import write_sequence
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.models import Evaluator, Model
from nas.space import Subnet

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(kw_only=True)
class Export:
    """What to export and how.

    `calibration` are uint8 images for the BatchNorm statistics and parity (default: those shipped with the model).
    `evaluators` find qualities of the extracted network; with `runtime` and `workload` its latency is measured.
    `quality` and `latency` are figures known beforehand. `report` hears what is going on.
    """

    model: Model
    subnet: Subnet
    formats: Sequence[Format] = tuple(FORMATS.values())
    calibration: torch.Tensor | None = None
    quality: Sequence[QualityFigure] = ()
    latency: Sequence[Latency] = ()
    evaluators: Sequence[Evaluator] = ()
    runtime: Runtime | None = None
    workload: Workload | None = None
    report: Callable[[str], None] = lambda text: None

    def write(self, folder: str | Path) -> Manifest:
        """Write the artifact to `folder`, which must not exist, and return its manifest.

        Raises `UsageError` if the folder exists, `ParityError` if a file differs from the supernet, `NasError` if it
        cannot be written; in each case nothing is left behind.
        """
        with new_folder(folder) as beside:
            self.report("extracting and calibrating the subnet")
            module = extracted(self.model, self.subnet, self.calibration)
            self._write_files(module, beside)
            rows = self._check(module, beside)
            quality = [*self.quality, *(self._judged(evaluator, module) for evaluator in self.evaluators)]
            latency = [*self.latency, *self._time(module, beside)]
            manifest = self._describe(rows, quality, latency, beside)
            write_manifest(beside, manifest)
        return manifest

    def _judged(self, evaluator: Evaluator, module: nn.Module) -> QualityFigure:
        quality, value = evaluator.quality, evaluator(self.model, module, self.subnet)
        return QualityFigure(
            name=quality.name, value=value, kind="measured", data=evaluator.data, unit=quality.unit
        )

    def _write_files(self, module: nn.Module, folder: Path) -> None:
        write_atomic(folder / SUBNET, self.subnet.to_json())
        for format in self.formats:
            for name, program in self._programs(format).items():
                file = format.file_of(name)
                self.report(f"writing {file}")
                example = program.example(self.subnet, 1)
                format.write(program.view(module).eval(), example, folder / file, self._facts())
        if self._is_split and any(format.name == "onnx" for format in self.formats):
            passes = self.model.family.passes(self.subnet)
            write_sequence(
                folder / SEQUENCE, passes, {p.program: folder / f"{p.program}.onnx" for p in passes}
            )
        self.model.task.finish_artifact(self.model, module, self.subnet, folder)

    @property
    def _is_split(self) -> bool:
        """Whether an output takes several programs."""
        return [*self.model.family.programs] != [""]

    def _programs(self, format: Format) -> dict[str, Program]:
        """Return what a format has a file for: the whole network, or each program that the subnet runs."""
        family = self.model.family
        if format.is_whole or not self._is_split:
            return {"": Program(lambda network: network, family.example_input, ())}
        used = dict.fromkeys(step.program for step in family.passes(self.subnet))
        return {name: family.programs[name] for name in used}

    def _facts(self) -> dict[str, str]:
        """Text that travels inside each file, for whoever finds it alone."""
        import json

        return {
            "anyfit": __version__,
            "model": self.model.name,
            "family": self.model.family.name,
            "subnet": json.dumps(dict(self.subnet)),
            "classes": json.dumps([*self.model.classes]),
            "mean": json.dumps([*self.model.mean]),
            "std": json.dumps([*self.model.std]),
        }

    def _check(self, module: nn.Module, folder: Path) -> list[ParityRow]:
        buffers = {name: buffer for name, buffer in module.named_buffers() if buffer.is_floating_point()}
        if self._is_split:
            rows = self._check_programs(folder, buffers)
            require_parity(rows)
            return rows
        inputs, images = self._inputs()
        references = supernet_references(
            self.model.supernet, self.subnet, {**buffers, **self._repaired(module)}, split_batches(inputs)
        )
        rows = []
        for format in self.formats:
            self.report(f"checking {format.file} against the supernet")
            forward = format.open(folder / format.file, self._build)
            rows.append(compare(format.name, forward, references, tolerance=format.tolerance, images=images))
        require_parity(rows)
        return rows

    def _build(self) -> nn.Module:
        return build_weightless(self.model.family, self.subnet)

    def _repaired(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """Return the weights that were fitted, where a model has its subnets repaired; the others are slices."""
        if not self.model.info.get(REPAIRED):
            return {}
        slices = self.model.supernet.slices(self.subnet)
        return {name: own for name, own in module.named_parameters() if not own.equal(slices[name])}

    def _check_programs(self, folder: Path, buffers: Mapping[str, torch.Tensor]) -> list[ParityRow]:
        """Compare every program of every format with the same program on the supernet's slices."""
        family, rows = self.model.family, []
        used = dict.fromkeys(step.program for step in family.passes(self.subnet))
        for name in used:
            program = family.programs[name]
            batches = split_batches(program.example(self.subnet, sum(BATCH_SIZES)))
            references = program_references(self.model.supernet, self.subnet, buffers, program, batches)
            for format in self.formats:
                self.report(f"checking {name} of {format.name} against the supernet")
                if format.is_whole:
                    view = program.view(load_weights(self._build(), folder / format.file))
                    forward = partial(call, view.eval())
                else:
                    forward = format.open(folder / format.file_of(name), self._build)
                title = f"{format.name} {name}"
                rows.append(compare(title, forward, references, tolerance=format.tolerance, images="noise"))
        return rows

    def _time(self, module: nn.Module, folder: Path) -> list[Latency]:
        if self.runtime is None or self.workload is None:
            return []
        self.report(f"measuring the latency under {self.runtime.name}, {self.workload}")
        network = Network(module, self.model.family, self.subnet, folder)
        return [*measure_networks({"": network}, self.runtime, self.workload).values()]

    def _inputs(self) -> tuple[Any, str]:
        """Return inputs of the subnet for the check, and what they are."""
        return self.model.task.inputs(self.model, self.subnet, sum(BATCH_SIZES), self.calibration)

    def _input_spec(self) -> InputSpec:
        import torch

        example = self.model.family.example_input(self.subnet)
        shapes = {name: tuple(x.shape[1:]) for name, x in named_inputs(example).items()}
        named = {}
        if not isinstance(example, torch.Tensor):
            named = {
                name: {"shape": list(shapes[name]), "dtype": str(x.dtype).removeprefix("torch.")}
                for name, x in example.items()
            }
        first = next(iter(shapes.values()))
        spec = InputSpec(shape=first, mean=tuple(self.model.mean), std=tuple(self.model.std), named=named)
        return replace(spec, **(self.model.info.get("preprocessing") or {}))

    def _describe(
        self,
        rows: Sequence[ParityRow],
        quality: Sequence[QualityFigure],
        latency: Sequence[Latency],
        folder: Path,
    ) -> Manifest:
        model, counts = self.model, self.model.supernet.count(self.subnet)
        sizes = {name: facts["bytes"] for name, facts in hash_files(folder).items()}
        values: dict[str, Any] = {
            "model": model.name,
            "family": model.family.name,
            "options": dict(model.family.options),
            "space_digest": model.space.digest,
            "subnet": self.subnet.to_dict(),
            "input": self._input_spec(),
            "classes": tuple(model.classes),
            "macs": counts.macs,
            "params": counts.params,
            "size_bytes": counts.size_bytes,
            "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "anyfit": __version__,
            "quality": tuple(quality),
            "latency": tuple(latency),
            "parity": tuple(row.to_dict() for row in rows),
            "info": model.info,
        }
        parts = architecture(model.supernet, self.subnet).rows()
        card = model_card(Manifest(**values), parts, sizes, model.task)
        write_atomic(folder / CARD, card)
        return Manifest(**values, files=hash_files(folder))
