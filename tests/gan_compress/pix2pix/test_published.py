"""Published generators load by name, and compute what the reference implementation computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_compress.pix2pix.family import GanCompression, gan_compression
from gan_compress.pix2pix.published import load_generator, options_of
from nas.elastic import Supernet
from nas.errors import NasError
from nas.models import load_model
from tests.gan_compress.pix2pix.reference import formula_pictures, formula_weights

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text())


def save(path: Path, state: dict) -> Path:
    torch.save(state, path)
    return path


def state_of(**options) -> dict[str, torch.Tensor]:
    family = gan_compression(**{"ngf": 8, "blocks": 3, "resolution": 16, **options})
    return Supernet(family).network.state_dict()


@pytest.mark.parametrize("case", list(REFERENCE["cases"]))
@torch.no_grad()
def test_outputs_are_those_of_the_reference_implementation(case: str, tmp_path: Path) -> None:
    known = REFERENCE["cases"][case]
    shapes = {name: tuple(shape) for name, shape in known["shapes"].items()}
    supernet = load_generator(save(tmp_path / "net.pth", formula_weights(shapes)), resolution=16)
    family = supernet.family
    assert isinstance(family, GanCompression)
    largest, configuration = family.space.largest(), known["configuration"]
    subnet = family.subnet(configuration) if configuration else largest
    # In double precision: instance norms over few pixels raise float32's rounding to 1e-3, another on each processor.
    made = supernet.double()(formula_pictures(2, 16).double(), subnet).flatten()[:: REFERENCE["every"]]
    np.testing.assert_allclose(made, known["values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separable": False, "dropout": True},
        {"separable": False, "dropout": False},
        {"dropout": False},
        {"norm": "batch"},
        {"norm": "batch", "separable": False, "dropout": False, "blocks": 6},
        {"channels": "4_5_6_7_8_4_5_6", "blocks": 9},
        {"inputs": 1, "outputs": 2},
    ],
)
def test_the_layout_is_found_in_the_shapes(options: dict) -> None:
    told = options_of({f"module.{name}": tensor for name, tensor in state_of(**options).items()})
    expected = {"ngf": 8, "blocks": 3, "separable": True, "dropout": True, "inputs": 3, "outputs": 3}
    expected |= {"norm": "instance", "channels": ""}
    assert told == {**expected, **options}


def test_statistics_of_early_instance_norms_are_left_out(tmp_path: Path) -> None:
    state = state_of(separable=False)
    extra = {"model.2.running_mean": torch.zeros(8), "model.2.num_batches_tracked": torch.tensor(3)}
    supernet = load_generator(save(tmp_path / "early.pth", {**state, **extra}), 16)
    assert supernet.network.state_dict().keys() == state.keys()


def test_a_subnetwork_becomes_the_largest_of_its_own_space(tmp_path: Path) -> None:
    whole = Supernet(gan_compression(ngf=16, blocks=3, resolution=16)).eval()
    family = whole.family
    assert isinstance(family, GanCompression)
    subnet = family.subnet("8_12_8_6_10_16_4_8")
    network = whole.extract(subnet)
    loaded = load_generator(save(tmp_path / "sub.pth", network.state_dict()), 16)
    assert loaded.family.options["channels"] == "8_12_8_6_10_16_4_8"
    x = family.example_input(subnet, 2)
    with torch.no_grad():
        assert torch.equal(loaded(x, loaded.space.largest()), network(x))


def test_other_layouts_are_refused_naming_few_keys(tmp_path: Path) -> None:
    unet = {f"model.model.{k}.weight": torch.zeros(4, 4, 4, 4) for k in range(20)}
    with pytest.raises(
        NasError, match=r"model\.model\.0\.weight, .* and 18 more tensors.*model\.1\.weight.*give"
    ):
        load_generator(save(tmp_path / "unet.pth", unet))
    shallow = {name: t for name, t in state_of().items() if "conv_block" not in name}
    with pytest.raises(NasError, match="ResNet generator"):
        load_generator(save(tmp_path / "shallow.pth", shallow))
    state = state_of()
    odd = {**state, "model.4.weight": torch.zeros(15, 8, 3, 3)}
    with pytest.raises(NasError, match=r"model\.4\.weight has 15 channels, but a multiple of 2"):
        load_generator(save(tmp_path / "odd.pth", odd))
    lacking = {name: tensor for name, tensor in state.items() if not name.startswith("model.11.conv_block.6")}
    with pytest.raises(NasError, match=r"lacks model\.11\.conv_block\.6\.conv\.0\.weight and 3 more tensors"):
        load_generator(save(tmp_path / "lacking.pth", lacking))
    with pytest.raises(NasError, match=r"model\.99\.weight, which this network has not"):
        load_generator(save(tmp_path / "more.pth", {**state, "model.99.weight": torch.zeros(1)}))


def test_nas_import_makes_a_model_of_any_layout(tmp_path: Path, nas_run: Callable) -> None:
    state = state_of(separable=False, dropout=False)
    file = save(tmp_path / "latest_net_G.pth", state)
    outcome = nas_run(
        "import",
        file,
        "--family",
        "gan-compression",
        "--option",
        "resolution=16",
        "--output",
        tmp_path / "own",
        "--json",
    )
    assert outcome.code == 0, outcome.stderr
    model = load_model(tmp_path / "own")
    assert model.mean == (0.5, 0.5, 0.5) and model.classes == [] and model.task.name == "translation"
    assert model.family.options["resolution"] == 16 and model.family.options["separable"] is False
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in model.supernet.network.state_dict().items()
    )
    wrong = nas_run(
        "import", save(tmp_path / "wrong.pth", {"a.weight": torch.zeros(2)}), "--family", "gan-compression",
        "--output", tmp_path / "no",
    )  # fmt: skip
    assert wrong.code == 1 and "a.weight" in wrong.stderr and len(wrong.stderr.strip().splitlines()) == 1
