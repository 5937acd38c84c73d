"""The model card: what it states is true, and its code runs as it stands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.export import Export, InputSpec, Latency, QualityFigure, parse_formats, read_manifest
from nas.export.card import model_card, table
from nas.models import Model
from nas.tasks.classification import Classification


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def test_the_code_of_every_runtime_runs_and_agrees(
    artifact: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    names = [tmp_path / f"{number}.png" for number in range(2)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(name)
    monkeypatch.chdir(artifact)
    x = model.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = model.extract(model.space.smallest())(x)
    prepare, *runtimes = code_blocks((artifact / "README.md").read_text())
    scope: dict[str, Any] = {"names": names}
    exec(prepare, scope)
    agreeing = 0
    for code in runtimes:
        assert len(code.strip().splitlines()) == 3
        scope.pop("output", None)
        exec(code, scope)
        if "output" in scope:
            found = torch.as_tensor(scope["output"]).detach()
            assert (found - expected).abs().max() <= 1e-4 * expected.abs().max(), code
            agreeing += 1
    assert (agreeing, len(runtimes)) == (3, 4)


def test_figures_stand_with_their_origin(model: Model, tmp_path: Path) -> None:
    measured = Latency(
        kind="measured",
        median_ms=1.25,
        p90_ms=1.5,
        runtime="onnxruntime 9.9",
        machine="a machine, 4 cores",
        batch_size=8,
        threads=2,
    )
    export = Export(
        model=model,
        subnet=model.space.largest(),
        formats=parse_formats("safetensors"),
        quality=[QualityFigure(name="top1", value=91.234, kind="measured", data="1000 images of some|where")],
        latency=[measured],
    )
    export.write(tmp_path / "x")
    card = (tmp_path / "x" / "README.md").read_text()
    for words in (
        "91.23%",
        "measured, 1000 images of some\\|where",
        "1.25 ms (median, p90 1.5 ms)",
        "onnxruntime 9.9, batch 8, 2 threads, fp32, on a machine, 4 cores",
        "float32, N × 3 × 32 × 32",
        "[0.49, 0.48, 0.45]",
        "a, b, c",
        "Apache-2.0",
        "smallest_top1 33",
    ):
        assert words in card
    assert "onnxruntime.InferenceSession" not in card


def test_architecture_names_every_part(artifact: Path, model: Model) -> None:
    section = (artifact / "README.md").read_text().partition("## Architecture")[2].partition("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    parts = [part for part in model.family.parts if part.is_active(model.space.smallest())]
    groups = {part.name.rpartition(".")[0] or part.name for part in parts}
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} == groups


def test_a_network_without_images_gets_a_noise_input(artifact: Path) -> None:
    many = tuple(f"class {number}" for number in range(21))
    manifest = replace(read_manifest(artifact), input=InputSpec(shape=(16,)), classes=many)
    card = model_card(manifest, [{"part": "all"}], {"model.onnx": 5}, Classification())
    scope: dict[str, Any] = {}
    exec(code_blocks(card)[0], scope)
    assert scope["x"].shape == (1, 16)
    assert "names in `manifest.json`" in card
    assert "do not normalise" not in card


def test_markdown_tables() -> None:
    assert table(("a", "b"), [("1", "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"
