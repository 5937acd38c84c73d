"""Any network becomes a supernet: saved, loaded without tracing, searched like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nas
from nas import api
from nas.data.dataset import Data
from nas.elastic import call, l1_importance
from nas.errors import NasError, UsageError
from nas.latency.profiles.profile import latency_features
from nas.models import load_model, read_model_config
from tests.conformance.trainers import few_digits, shades

SIZE = 32


class Small(nn.Module):
    """Two convolutions with BatchNorm, and a hidden layer."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width)
        self.hidden, self.head = nn.Linear(2 * width, 24), nn.Linear(24, 10)

    def forward(self, image: Tensor) -> Any:
        x = torch.relu(self.norm1(self.conv1(image)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return self.head(torch.relu(self.hidden(x.mean((2, 3)))))


def image(batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


def trained(module: nn.Module, example: Tensor) -> nn.Module:
    """Return a network whose statistics are not those of a fresh one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(5):
            module.train()(torch.randn(16, *example.shape[1:]))
        for name, parameter in module.named_parameters():
            if name.endswith("norm.weight") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> api.Adoption:
    torch.manual_seed(0)
    module = trained(Small(), image())
    return api.adopt_module(module, image(), output=tmp_path_factory.mktemp("adopted") / "small")


def refuse_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("traced again")

    monkeypatch.setattr(torch.export, "export", refuse)


def test_the_largest_subnet_is_the_network(adopted: api.Adoption) -> None:
    model = adopted.model()
    largest, x = model.space.largest(), image(4)
    with torch.no_grad():
        truth = adopted.network.module(x)
        torch.testing.assert_close(model.supernet(x, largest), truth, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.extract(largest)(x), truth, atol=1e-5, rtol=1e-5)
        smallest = model.extract(model.space.smallest())
    assert isinstance(smallest.get_submodule("model.conv1"), nn.Conv2d)
    assert sum(p.numel() for p in smallest.parameters()) < sum(
        p.numel() for p in adopted.network.module.parameters()
    )


def test_a_folder_holds_no_pickle_and_loads_without_tracing(
    adopted: api.Adoption, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {file.name for file in adopted.path.iterdir()} == {
        "supernet.json", "model.safetensors", "calibration.npz", "adoption.json"
    }  # fmt: skip
    refuse_tracing(monkeypatch)
    model, x = load_model(adopted.path), image(2)
    with torch.no_grad():
        given = model.supernet(x, model.space.largest())
    torch.testing.assert_close(given, adopted.network.module(x), atol=1e-5, rtol=1e-5)
    assert model.info["data"] == "adopted" and model.task.name == "classification"
    assert model.classes == [str(index) for index in range(10)]


def test_what_was_found_is_told(adopted: api.Adoption) -> None:
    rows = [row[0] for row in adopted.table().rows]
    assert any("conv1" in name for name in rows) and any("hidden" in name for name in rows)
    assert any("output" in row[2] for row in adopted.fixed().rows)
    value = json.loads(json.dumps(adopted.to_dict()))
    assert value["macs"][0] < value["macs"][1] and value["proof"]["error"] < 1e-9
    assert any("proved" in remark for remark in adopted.remarks())
    assert [row[0] for row in adopted.costs().rows] == ["MACs", "parameters"]


def test_entries_are_sorted_by_importance(adopted: api.Adoption) -> None:
    supernet = adopted.model().supernet
    scores = l1_importance(supernet.family, supernet.network)
    assert scores and all((score.diff() <= 1e-4).all() for score in scores.values())


def test_qualities_without_labels(adopted: api.Adoption) -> None:
    model = adopted.model()
    assert [quality.name for quality in model.task.qualities_of(model)] == ["top1", "divergence", "agreement"]
    full, small = (model.evaluate(named) for named in ("largest", "smallest"))
    assert full.name == "divergence" and abs(full.value) < 1e-6 < small.value
    assert "calibration images" in full.data
    assert model.evaluate("largest", quality="agreement").value == 100


def test_in_memory_it_is_adopted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = trained(Small(8), image())
    model = nas.load(module, image())
    assert isinstance(model, nas.Model) and model.place == model.name
    refuse_tracing(monkeypatch)
    again = nas.load(module, image())
    assert again.path == model.path
    with torch.no_grad():
        module.head.bias.add_(1.0)
    with pytest.raises(UsageError, match="traced again"):
        nas.load(module, image())


def test_a_module_of_another_process_says_what_to_do(
    adopted: api.Adoption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.models.sources.opening._REMEMBERED", {})
    with pytest.raises(NasError, match="adopted from a module of another process; put the function"):
        load_model(adopted.path)


def test_a_name_is_adopted_by_itself_and_cached(
    nas_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom tests.models.test_adopt import Small\nexample_input = torch.zeros(1, 3, 32, 32)\n"
        "classes = 'abcdefghij'\nmean, std = [0.5] * 3, [0.5] * 3\n"
        "def make_model():\n    torch.manual_seed(3)\n    return Small(8)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    done = nas_run(
        "search",
        "--model",
        "mine.py:make_model",
        "--macs",
        "100K",
        "--trials",
        "12",
        "--run-dir",
        "run",
        "--json",
    )
    assert done.code == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["answer"]["quality"]["name"] == "divergence" and value["answer"]["macs"] <= 100_000
    refuse_tracing(monkeypatch)
    model = nas.load("mine.py:make_model")
    assert isinstance(model, nas.Model) and model.classes == [*"abcdefghij"] and model.mean == (0.5,) * 3
    assert nas_run("show", "run").code == 0
    done = nas_run("export", "run", "--format", "onnx", "--output", "small", "--no-measure")
    assert done.code == 0, done.stderr
    network: Any = nas.load("small")
    assert call(network, image()).shape == (1, 10)


def test_the_command(nas_run: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "resnet"
    done = nas_run(
        "adopt",
        "timm:test_resnet",
        "--weights",
        "random",
        "--input",
        "1x3x64x64",
        "--output",
        output,
        "--threads",
        1,
    )
    assert done.code == 0, done.stderr
    assert "latency, " in done.stdout and "MACs" in done.stdout and "fixed" in done.stdout
    assert f"nas search --model {output}" in done.stdout
    assert nas_run("show", output).code == 0
    assert read_model_config(output)["family"] == "derived"
    again = nas_run("adopt", "timm:test_resnet", "--weights", "random", "--output", output)
    assert again.code == 2 and "already exists" in again.stderr


class Filtering(Small):
    """Large kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.Conv2d(16, 32, 5, 2, 2, bias=False)


def test_kernels_resolutions_and_bits_go_all_the_way(
    nas_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom tests.models.test_adopt import Filtering, image, trained\n"
        "example_input = torch.zeros(1, 3, 32, 32)\ndef make_model():\n    return trained(Filtering(), image())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    offers = ["--elastic", "kernel", "--elastic", "bits", "--resolutions", "24,32,40"]
    done = nas_run("adopt", "mine.py:make_model", *offers, "--output", "large", "--no-measure", "--json")
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {each["kind"] for each in told["dimensions"]} == {"width", "kernel", "resolution", "bits"}

    refuse_tracing(monkeypatch)
    model: Any = nas.load("large")
    space, native = model.space, model.family.native
    assert native == space.subnet({**space.largest(), "resolution": 32}) and model.image_size == (40, 40)
    assert model.evaluate(native, quality="agreement").value == 100
    assert model.evaluate(native).value < 1e-6 < model.evaluate("smallest").value
    known, again = (dict(net.named_buffers()) for net in (model.supernet.network, model.extract(native)))
    assert all(torch.equal(again[name], buffer) for name, buffer in known.items() if "running" in name)

    codes = space.sample_codes(np.random.default_rng(0), 20)
    assert np.array_equal(latency_features(model)(codes)[:, -3], model.supernet.counts(codes)["macs"])

    done = nas_run(
        "search", "--model", "large", "--macs", "300K", "--trials", "12", "--run-dir", "run", "--json"
    )
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)["answer"]
    assert 0 < answer["macs"] <= 300_000
    assert nas_run("export", "run", "--format", "onnx", "--output", "small", "--no-measure").code == 0
    network: Any = nas.load("small")
    size = answer["subnet"]["choices"]["resolution"]
    assert call(network, torch.zeros(2, 3, size, size)).shape == (2, 10)
    refused = nas_run("adopt", "mine.py:make_model", "--resolutions", "24,x", "--output", "other")
    assert refused.code == 2 and "no list of numbers such as 128,160,192,224" in refused.stderr


# --- what is refused, and what stays fixed -----------------------------------------------------------------------------


class Branching(Small):
    def forward(self, image: Tensor) -> Any:
        x = super().forward(image)
        return x if x.sum() > 0 else -x


class Recurrent(nn.Module):
    """An LSTM between two layers of which one can be made smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.back = nn.Linear(8, 16), nn.Linear(16, 8)
        self.lstm, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.back(torch.relu(self.hidden(x))))[0][:, -1])


def test_branches_on_values(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="Branching cannot be exported .*; make its forward free of branches on values"
    ) as error:
        api.adopt_module(Branching(), image(), output=tmp_path / "m")
    assert "\n" not in str(error.value) and not (tmp_path / "m").exists()


def test_an_lstm_stays_as_it_is(tmp_path: Path) -> None:
    made = api.adopt_module(Recurrent(), torch.randn(1, 6, 8), output=tmp_path / "m")
    assert any("lstm" in name for name in made.report.without_rule)
    assert any("without a rule" in remark and "lstm" in remark for remark in made.remarks())
    assert [row[0] for row in made.table().rows] and all("hidden" in row[4] for row in made.table().rows)
    assert made.model().task.name == "network"


def test_nothing_elastic_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing of Linear can be made smaller"):
        api.adopt_module(nn.Linear(4, 4), torch.randn(1, 4), output=tmp_path / "m")


def test_of_several_outputs_one_counts(tmp_path: Path) -> None:
    class Features(Small):
        def forward(self, image: Tensor) -> Any:
            return {"features": torch.relu(self.conv1(image)), "logits": super().forward(image)}

    with pytest.raises(UsageError, match="has the outputs features .*, logits .*name one with --output-key"):
        api.adopt_module(Features(), image(), output=tmp_path / "m")
    model = api.adopt_module(Features(), image(), output_key="logits", output=tmp_path / "m").model()
    assert model.supernet(image(), model.space.smallest()).shape == (1, 10)


def test_several_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(6, 16), nn.Linear(4, 16), nn.Linear(16, 3)

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.head(torch.relu(self.a(first) + self.b(second)))

    inputs = {"first": torch.randn(2, 6), "second": torch.randn(2, 4)}
    made = api.adopt_module(Two(), inputs, output=tmp_path / "m")
    model = made.model()
    assert model.supernet(inputs, model.space.smallest()).shape == (2, 3)
    swapped = {"second": inputs["second"]}
    with pytest.raises(UsageError, match="does not run on its example"):
        api.adopt_module(Two(), swapped, output=tmp_path / "n")


# --- training beside the network --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "judge"), [(few_digits(80), "labels"), (shades(30), "the teacher")])
def test_subnets_are_trained_beside_the_network(
    adopted: api.Adoption, tmp_path: Path, data: Data, judge: str
) -> None:
    changes = {"epochs": 3, "batch_size": 16, "calibration_images": 32, "warmup_epochs": 0, "lr": 0.05}
    found = api.train_model("distil", data, tmp_path / "run", start=adopted.path, changes=changes, threads=1)
    assert found.info["judged by"] == judge and found.info["start"] == adopted.model().name
    model, before = found.model(), adopted.model()
    assert model.classes == before.classes and model.mean == before.mean and model.calibration is not None
    assert [quality.name for quality in model.task.qualities_of(model)] == ["top1"]
    x, smallest = image(16), model.space.smallest()
    with torch.no_grad():
        truth = adopted.network.module(x).softmax(1)
        errors = [
            float(-(truth * each.supernet(x, smallest).log_softmax(1)).sum(1).mean())
            for each in (before, model)
        ]
    assert errors[1] != errors[0]
    losses = [float(row["loss"]) for row in found.log]
    assert losses[-1] < losses[0]


def test_a_training_beside_a_network_needs_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="begins with a model; name it with --start"):
        api.train_model("distil", few_digits(80), tmp_path / "run")


def test_images_of_the_users_are_kept_for_statistics(adopted: api.Adoption, tmp_path: Path) -> None:
    made = api.adopt_network(adopted.network, tmp_path / "m", data=shades(40), importance="output")
    model = made.model()
    images, smallest = model.calibration_images(), model.space.smallest()
    assert images is not None and images.shape[1:] == (3, 16, 16)
    full = model.evaluate("largest")
    assert full.name == "agreement" and full.value == 100
    slices, extracted = model.supernet.slices(smallest), dict(model.extract(smallest).named_parameters())
    changed = {name for name, own in extracted.items() if not torch.equal(own, slices[name])}
    assert changed <= {
        f"model.{layer}.{name}" for layer in ("conv2", "hidden", "head") for name in ("weight", "bias")
    }
    assert {"model.hidden.weight", "model.head.weight"} <= changed
    model.export("smallest", tmp_path / "small", ["safetensors"], measured=False)
    with torch.no_grad():
        small: Any = nas.load(tmp_path / "small")
        given = small(image())
        torch.testing.assert_close(given, model.extract(smallest)(image()), atol=1e-5, rtol=1e-5)
