"""A denoiser of several inputs through every runtime and file format, and as a readable table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from diffusion.denoisers.unet import DiffusionUNet, diffusion_unet
from nas.elastic import Supernet, call
from nas.export.architectures import architecture
from nas.export.formats import FORMATS
from nas.export.loading import build_weightless
from nas.export.parity import compare, split_batches, supernet_references
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from tests.conformance.diffusion import SD2, SDXL
from tests.conformance.families import randomise


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    supernet = Supernet(diffusion_unet(SDXL, tokens=5)).eval()
    randomise(supernet)
    return supernet


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("which", ["smallest", "random"])
def test_files_compute_what_the_supernet_computes(
    supernet: Supernet, name: str, which: str, tmp_path: Path
) -> None:
    """The smallest network has no transformer left: a file takes the text all the same."""
    family, space = supernet.family, supernet.space
    subnet = space.smallest() if which == "smallest" else space.sample(np.random.default_rng(0))
    format, module = FORMATS[name], supernet.extract(subnet)
    format.write(module, family.example_input(subnet), tmp_path / format.file, {})
    forward = format.open(tmp_path / format.file, lambda: build_weightless(family, subnet))
    references = supernet_references(supernet, subnet, {}, split_batches(family.example_input(subnet, 5)))
    row = compare(name, forward, references, tolerance=format.tolerance, images="noise")
    assert row.ok, row
    assert row.batch_sizes == (1, 3, 8, 8, 3, 1)


@pytest.mark.parametrize(("name", "bits"), [("onnx", 8), ("onnx", 4), ("safetensors", 4), ("pt2", 4)])
def test_files_hold_few_bits(name: str, bits: int, tmp_path: Path) -> None:
    """Each is about as small as the subnet is counted."""
    family = diffusion_unet(SD2, tokens=5, bits=(4, 8, 32))
    assert isinstance(family, DiffusionUNet)
    supernet = Supernet(family).eval()
    randomise(supernet)
    subnet = family.uniform(1, bits=bits)
    format, module, path = FORMATS[name], supernet.extract(subnet), tmp_path / FORMATS[name].file
    format.write(module, family.example_input(subnet), path, {})
    forward = format.open(path, lambda: build_weightless(family, subnet))
    references = supernet_references(supernet, subnet, {}, split_batches(family.example_input(subnet, 5)))
    assert compare(name, forward, references, tolerance=format.tolerance, images="noise").ok
    if name == "safetensors":
        held = sum(tensor.nbytes for tensor in load_file(path).values())
        assert held == supernet.count(subnet).size_bytes
    if name == "onnx":
        held = sum(len(t.raw_data) for t in onnx.load(str(path)).graph.initializer if t.data_type != 7)
        size = supernet.count(subnet).size_bytes
        assert 0.95 * size < held < 1.1 * size
        assert size < 0.45 * supernet.count(family.uniform(1)).size_bytes


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
@pytest.mark.parametrize("with_recipe", [True, False])
def test_runtimes_run_a_program_of_several_inputs(
    supernet: Supernet, name: str, with_recipe: bool, tmp_path: Path
) -> None:
    runtime, family, subnet = get_runtime(name), supernet.family, supernet.space.smallest()
    recipe = {"family": family.name, "options": dict(family.options), "subnet": subnet.to_dict()}
    module, example = supernet.extract(subnet), family.example_input(subnet)
    program = runtime.lower(module, example, tmp_path / "program", recipe if with_recipe else None)
    batch = (
        2 if with_recipe or name == "onnxruntime" else 1
    )  # a program exported for timing has a fixed batch
    run = runtime.load(program, Workload(batch_size=batch, threads=torch.get_num_threads()))
    output = run()
    output = output[0] if isinstance(output, list) else output
    assert tuple(output.shape) == (batch, 4, 8, 8)  # type: ignore[attr-defined]


def test_a_class_label_is_a_whole_number_in_every_runtime(tmp_path: Path) -> None:
    family = diffusion_unet(SD2, tokens=5)
    assert isinstance(family, DiffusionUNet)
    supernet, subnet = Supernet(family).eval(), family.space.smallest()
    recipe = {"family": family.name, "options": dict(family.options), "subnet": subnet.to_dict()}
    for name in ("onnxruntime", "torch"):
        runtime = get_runtime(name)
        program = runtime.lower(
            supernet.extract(subnet), family.example_input(subnet), tmp_path / name, recipe
        )
        runtime.load(program, Workload(batch_size=1, threads=1))()


def test_the_table_names_blocks_and_general_choices() -> None:
    family = diffusion_unet(SDXL, tokens=5, sampling={"steps": [4, 8]})
    with torch.device("meta"):
        supernet = Supernet(family)
    subnet = family.uniform(0.5)
    table = architecture(supernet, subnet)
    names = [group.name for group in table.groups]
    assert {"conv_in", "down_blocks.1", "mid_block", "up_blocks.0", "conv_out"} <= set(names)
    assert table.general["steps"] == 8
    assert sum(group.macs for group in table.groups) == supernet.count(subnet).macs
    deep = next(group for group in table.groups if group.name == "down_blocks.1")
    assert deep.choices["groups"] == [2]
    assert call(Supernet(family).eval().extract(subnet), family.example_input(subnet)).shape == (1, 4, 8, 8)
