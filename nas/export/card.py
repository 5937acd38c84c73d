"""The model card of an artifact: figures with their origin, and how to load every file in three lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.export.manifest import Latency, Manifest, QualityFigure
from nas.latency.units import format_bytes, format_count, format_ms
from nas.models import Task


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def model_card(
    manifest: Manifest, parts: Sequence[Mapping[str, str]], files: Mapping[str, int], task: Task
) -> str:
    """Return the README.md of an artifact.

    `parts` are the rows of the architecture table (column to text), `files` maps a name to its size in bytes.
    """
    spec = manifest.input
    sections = [
        f"# {manifest.model}: a subnet of {_millions(manifest)}",
        _summary(manifest),
        "## Figures\n\n" + table(("what", "value", "how it was found"), _figures(manifest, files)),
        "## Input and output\n\n" + task.interface(spec.shape, spec.preprocessing, [*manifest.classes]),
        "## Use it\n\n" + _usage(task, manifest, files),
        "## Architecture\n\n" + _architecture(manifest, parts),
        "## Checked against the supernet\n\n" + _parity(manifest),
        "## Origin\n\n" + _origin(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _millions(manifest: Manifest) -> str:
    return f"{format_count(manifest.macs)} MACs and {format_count(manifest.params)} parameters"


def _summary(manifest: Manifest) -> str:
    return (
        f"Taken from the supernet `{manifest.model}` (family `{manifest.family}`) by anyfit {manifest.anyfit} on "
        f"{manifest.created}. The files need no training data and no supernet; `manifest.json` holds their SHA-256."
    )


def quality_row(found: QualityFigure) -> tuple[str, str, str]:
    """Return what, value and origin of a quality."""
    return found.name, found.text, f"{found.kind}, {found.data}"


def latency_text(latency: Latency) -> tuple[str, str, str]:
    """Return what, value and origin of a latency."""
    threads = f"{latency.threads} thread{'s' if latency.threads > 1 else ''}"
    p90 = f", p90 {format_ms(latency.p90_ms)}" if latency.p90_ms is not None else ""
    where = (
        f"{latency.runtime}, batch {latency.batch_size}, {threads}, {latency.precision}, on {latency.machine}"
    )
    kind = f"{latency.kind} on a restless machine" if latency.is_restless else latency.kind
    if latency.raw_ms is not None:
        kind += f", at the machine's calm pace ({format_ms(latency.raw_ms)} by the clock)"
    return "latency", f"{format_ms(latency.median_ms)} (median{p90})", f"{kind}; {where}"


def _figures(manifest: Manifest, files: Mapping[str, int]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [quality_row(item) for item in manifest.quality]
    rows += [latency_text(item) for item in manifest.latency]
    rows.append(("MACs", format_count(manifest.macs), "multiply-accumulates of one input, counted"))
    rows.append(("parameters", format_count(manifest.params), "counted"))
    rows += [
        ("file size", format_bytes(size), f"`{name}`")
        for name, size in files.items()
        if name != "subnet.json"
    ]
    return rows


def _usage(task: Task, manifest: Manifest, files: Mapping[str, int]) -> str:
    spec = manifest.input
    snippets = [_code(*task.example_code(spec.shape, spec.preprocessing, [*manifest.classes]))]
    snippets += [_code(title, code) for name, title, code in task.usage() or USAGE if name in files]
    return "\n\n".join(snippets)


def _code(title: str, code: str) -> str:
    return f"{title}\n\n```python\n{code.strip()}\n```"


USAGE = (
    (
        "model.safetensors",
        "torch, with anyfit installed (an ordinary `nn.Module` in eval mode; hashes checked, nothing unpickled):",
        """
import nas, torch
model = nas.load(".")
output = model(torch.from_numpy(x))
""",
    ),
    (
        "model.safetensors",
        "the weights alone, by name:",
        """
from safetensors.torch import load_file
weights = load_file("model.safetensors")
print({name: tuple(tensor.shape) for name, tensor in weights.items()})
""",
    ),
    (
        "model.onnx",
        "ONNX Runtime:",
        """
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
output = session.run(None, {session.get_inputs()[0].name: x})[0]
""",
    ),
    (
        "model.pt2",
        "torch without anyfit (a `torch.export` program, CPU):",
        """
import torch
model = torch.export.load("model.pt2").module()  # BatchNorm is fixed: the program is in evaluation mode
output = model(torch.from_numpy(x))
""",
    ),
)


def _architecture(manifest: Manifest, parts: Sequence[Mapping[str, str]]) -> str:
    columns = [*dict.fromkeys(column for part in parts for column in part)]
    rows = [[part.get(column, "") for column in columns] for part in parts]
    return table(columns, rows) + "\n\nEvery choice is in `subnet.json`."


def _parity(manifest: Manifest) -> str:
    rows = [
        (
            row["format"],
            f"{row['max_relative_delta']:.1e}",
            f"{row['tolerance']:.0e}",
            f"{', '.join(map(str, row['batch_sizes']))} of {row['images']}",
        )
        for row in manifest.parity
    ]
    return table(("file", "max difference, relative", "tolerance", "batches"), rows)


def _origin(manifest: Manifest) -> str:
    rows = [("supernet", f"{manifest.model} ({manifest.family}, space {manifest.space_digest[:12]})")]
    rows += [(key.replace("_", " "), _value(value)) for key, value in manifest.info.items()]
    return table(("what", "value"), rows)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
