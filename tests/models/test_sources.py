"""Networks of timm, torchvision and transformers by name, without a network; what there is not costs one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nas.elastic import call
from nas.errors import NasError, UsageError
from nas.models import network_place
from nas.models.sources import Request, open_network, template

UNTRAINED = Request(weights="random")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let hubs be out of reach, and nothing of theirs be cached, on every machine."""
    import socket

    def unknown(*_: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr("nas.models.sources.hub.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def opened(text: str, request: Request | None = None) -> Any:
    return open_network(text, request)


def anew(recipe: Any) -> Any:
    with torch.device("meta"):
        return template(recipe)


def refused(text: str, request: Request = UNTRAINED, kind: type[NasError] = UsageError) -> str:
    with pytest.raises(kind) as error:
        open_network(text, request)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_names_a_network() -> None:
    assert all(
        map(
            network_place,
            ("timm:resnet18", "torchvision:vgg11", "transformers:a/b", "my/net.py:make", "net.py"),
        )
    )
    assert not any(map(network_place, ("mbv3-cifar10", "diffusion:folder", "runs/one", "timm")))
    assert "'resnet18' names no network; give timm:NAME, torchvision:NAME" in refused("resnet18")


def test_asking_imports_no_torch() -> None:
    code = "import sys; import nas.models.sources; from nas import models; models.network_place('timm:a'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- timm -------------------------------------------------------------------------------------------------------------


def test_timm_tells_all_of_a_network() -> None:
    found = opened("timm:mobilenetv3_small_050.lamb_in1k", UNTRAINED)
    assert found.preprocessing is not None and found.preprocessing.size == (224, 224)
    assert found.preprocessing.interpolation == "bicubic" and found.preprocessing.crop == 0.875
    assert found.preprocessing.mean == (0.485, 0.456, 0.406) and found.licence == "apache-2.0"
    assert len(found.classes) == 1000 and found.classes[0].startswith("tench")
    assert call(found.module, found.example).shape == (1, 1000) and found.weights == "random"
    assert found.name == "mobilenetv3_small_050.lamb_in1k"


def test_random_weights_are_always_the_same_and_disturb_no_other_numbers() -> None:
    torch.manual_seed(3)
    first = opened("timm:test_resnet", UNTRAINED).module.state_dict()
    after = torch.rand(1)
    second = opened("timm:test_resnet", UNTRAINED).module.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


def test_timm_with_a_file_and_a_shape(tmp_path: Path) -> None:
    given = opened("timm:test_resnet", UNTRAINED).module
    with torch.no_grad():
        given.fc.bias.fill_(7.0)
    save_file(given.state_dict(), tmp_path / "w.safetensors")
    request = Request(weights=str(tmp_path / "w.safetensors"), inputs={"": "1x3x64x96"})
    found = opened("timm:test_resnet", request)
    assert found.module.fc.bias[0] == 7 and found.weights.endswith("w.safetensors, by name")
    assert found.example.shape == (1, 3, 64, 96)


def test_a_module_is_made_anew_from_its_recipe() -> None:
    found = opened("timm:test_resnet", UNTRAINED)
    twin = anew(found.recipe)
    assert {k: v.shape for k, v in twin.state_dict().items()} == {
        k: v.shape for k, v in found.module.state_dict().items()
    }
    assert twin.fc.weight.is_meta and not twin.training


def test_a_name_or_tag_that_timm_has_not() -> None:
    assert "has no model 'resnet81'; did you mean resnet" in refused("timm:resnet81")
    assert "has no model '§'; `timm.list_models()` shows all" in refused("timm:§")
    assert "timm has no weights 'b1_in1k' of resnet18; choose from a1_in1k, a2_in1k" in refused(
        "timm:resnet18.b1_in1k"
    )


@pytest.mark.parametrize("place", ["timm:test_resnet", "torchvision:shufflenet_v2_x0_5"])
def test_without_a_network_a_sentence_says_what_to_give(place: str) -> None:
    said = refused(place, Request(), NasError)
    assert f"the weights of {place} cannot be fetched (" in said
    assert said.endswith("--weights FILE`, or --weights random where only latency counts")


def test_a_shape_that_is_none() -> None:
    assert "'3,x' is no shape of an input; give one such as 1x3x224x224" in refused(
        "timm:test_resnet", Request("random", {"": "3,x"})
    )
    assert "one of them without a name" in refused(
        "timm:test_resnet", Request("random", {"": "1x3", "a": "1x3"})
    )


# --- torchvision ------------------------------------------------------------------------------------------------------


def test_torchvision_tells_all_of_a_network() -> None:
    found = opened("torchvision:shufflenet_v2_x0_5", UNTRAINED)
    assert found.preprocessing is not None and found.preprocessing.size == (224, 224)
    assert found.preprocessing.crop == 224 / 256 and found.preprocessing.interpolation == "bilinear"
    assert len(found.classes) == 1000 and found.classes[0] == "tench"
    assert call(found.module, found.example).shape == (1, 1000)
    assert anew(found.recipe).fc.weight.is_meta


def test_of_a_segmentation_network_the_output_is_named() -> None:
    request = Request("random", {"": "1x3x64x64"}, "out")
    assert opened("torchvision:lraspp_mobilenet_v3_large", request).output == "out"


def test_a_name_or_weights_that_torchvision_has_not() -> None:
    assert "has no model 'resnet19'; did you mean resnet18" in refused("torchvision:resnet19")
    assert "of resnet18; choose from IMAGENET1K_V1" in refused("torchvision:resnet18.V9")


# --- transformers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_folder_of_transformers(bert: Path) -> None:
    found = opened(f"transformers:{bert}")
    assert isinstance(found.example, dict) and found.example["input_ids"].shape == (1, 24)
    assert found.output == "logits" and found.classes == ("bad", "good") and found.weights == "published"
    assert call(found.module, found.example).logits.shape == (1, 2)
    twin = anew(found.recipe)
    assert twin.state_dict().keys() == found.module.state_dict().keys()


def test_a_folder_that_is_none_and_code_that_is_not_run(bert: Path, tmp_path: Path) -> None:
    assert "it has no config.json; give a folder that `save_pretrained` wrote" in refused(
        f"transformers:{tmp_path}"
    )
    text = (bert / "config.json").read_text().replace("BertForSequenceClassification", "HomeMade")
    (tmp_path / "config.json").write_text(text)
    assert "is a HomeMade, which transformers" in refused(f"transformers:{tmp_path}")
    assert "cannot be fetched" in refused("transformers:nobody/nothing", Request(), NasError)


# --- a file -----------------------------------------------------------------------------------------------------------

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.fc = nn.Linear(6, width)
    def forward(self, x):
        return self.fc(x)

class Wide(Net):
    def __init__(self, width, depth):
        super().__init__(width)

def make_model():
    return Net(5)

def broken():
    raise KeyError("no")

ready = Net(3)
words = "a network"
example_input = torch.ones(2, 6)
classes = ["a", "b", "c"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize(("name", "width"), [("make_model", 5), ("ready", 3), ("Net", 4)])
def test_a_function_an_instance_or_a_class_of_a_file(file: Path, name: str, width: int) -> None:
    found = opened(f"{file}:{name}")
    assert call(found.module, found.example).shape == (2, width)
    assert found.name == f"mine-{name}" and found.classes == ("a", "b", "c")
    assert anew(found.recipe).fc.weight.shape == (width, 6)
    assert opened(f"{file}:{name}", Request(inputs={"": "3x6"})).example.shape == (3, 6)


def test_a_file_that_has_changed_is_not_run_again(file: Path) -> None:
    recipe = opened(f"{file}:ready").recipe
    file.write_text(FILE + "raise SystemExit('was run')")
    with pytest.raises(NasError, match="has changed since its model was adopted; adopt it again"):
        template(recipe)


def test_what_a_file_may_lack(file: Path, tmp_path: Path) -> None:
    assert "mine.py:Wide is a class that needs width, depth; write a function without" in refused(
        f"{file}:Wide"
    )
    assert "mine.py has no make_modle; did you mean make_model?" in refused(f"{file}:make_modle")
    assert "mine.py:broken makes no network (KeyError: 'no')" in refused(f"{file}:broken")
    assert "mine.py:words gives a str, but a torch.nn.Module is expected" in refused(f"{file}:words")
    assert "says no function or network of the file; give" in refused(str(file))
    assert "there is no file" in refused(f"{tmp_path}/none.py:make_model")
    file.write_text(FILE.replace("example_input =", "other ="))
    assert "nothing says what" in refused(f"{file}:make_model") and "give --input 1x3x224x224" in refused(
        f"{file}:make_model"
    )
    file.write_text("import nothing_like_this\n")
    assert "cannot be imported (ModuleNotFoundError: No module named 'nothing_like_this')" in refused(
        f"{file}:make_model"
    )
    file.write_text("def broken(:\n")
    assert "cannot be imported (SyntaxError: " in refused(f"{file}:make_model")


def test_a_file_finds_its_neighbours(file: Path) -> None:
    (file.parent / "beside.py").write_text("from torch import nn\nnet = nn.Linear(2, 2)\n")
    file.write_text("from beside import net\n")
    before = [*sys.path]
    assert opened(f"{file}:net", Request(inputs={"": "1x2"})).module.weight.shape == (2, 2)
    assert sys.path == before
