"""What a module must be, and which of its outputs counts; each thing that it is not costs one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.errors import UsageError
from nas.models.sources import network_of

IMAGE = torch.randn(1, 3, 8, 8)


class Net(nn.Module):
    """A network whose outputs are told to it."""

    def __init__(self, outputs: Any = lambda x, features: x) -> None:
        super().__init__()
        self.conv, self.head, self.outputs = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), outputs

    def forward(self, image: Tensor, scale: Tensor | None = None) -> Any:
        features = self.conv(image).mean((2, 3)) * (1 if scale is None else scale)
        return self.outputs(self.head(features), features)


@dataclass
class Both:
    logits: Tensor
    features: Tensor


def opened(module: object, example: Any = IMAGE, output: str | int | None = None) -> Any:
    return network_of(module, example, output=output)


def refused(module: object, example: Any = IMAGE, output: str | int | None = None) -> str:
    with pytest.raises(UsageError) as error:
        opened(module, example, output)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_module_is_copied_and_in_evaluation_mode() -> None:
    module = Net().train()
    found = opened(module)
    assert module.training and not found.module.training
    assert found.name == "Net" and found.output is None
    found.module.head.weight.data.zero_()
    assert module.head.weight.abs().sum() > 0


def test_several_inputs_have_the_names_of_their_arguments() -> None:
    found = opened(Net(), (IMAGE, torch.ones(1)))
    assert isinstance(found.example, dict) and list(found.example) == ["image", "scale"]
    assert list(opened(Net(), {"scale": torch.ones(1), "image": IMAGE}).example) == ["scale", "image"]
    assert isinstance(opened(Net(), [IMAGE]).example, Tensor)


@pytest.mark.parametrize(
    ("outputs", "key"),
    [
        (lambda x, f: {"logits": x, "features": f}, "features"),
        (lambda x, f: (x, f), 1),
        (lambda x, f: [x, f], "1"),
        (lambda x, f: (x, f), -1),
        (Both, "features"),
    ],
)
def test_of_several_outputs_one_is_named(outputs: Any, key: str | int) -> None:
    assert opened(Net(outputs), output=key).output in ("features", 1)
    assert "name one with --output-key" in refused(Net(outputs))
    assert "(1, 2)" in refused(Net(outputs)) and "(1, 4)" in refused(Net(outputs))
    assert "'loss' is none of them" in refused(Net(outputs), output="loss")


def test_an_only_tensor_among_outputs_counts() -> None:
    assert opened(Net(lambda x, f: {"loss": None, "logits": x})).output == "logits"
    assert opened(Net(lambda x, f: (x,))).output == 0


def test_outputs_that_are_none() -> None:
    assert "leave --output-key out" in refused(Net(), output="logits")
    assert "gives a str without a tensor" in refused(Net(lambda x, f: "cat"))


def test_no_example() -> None:
    assert "nothing says what Net takes; give an example, such as nas.load(model, torch" in refused(
        Net(), None
    )


def test_an_example_that_does_not_fit() -> None:
    said = refused(Net(), torch.randn(1, 1, 8, 8))
    assert said.startswith("Net does not run on its example (input (1, 1, 8, 8)): ")
    assert "an example input is a str, but a tensor is expected" in refused(Net(), "picture")
    assert "3 example inputs are given, but forward names 2" in refused(Net(), (IMAGE,) * 3)


def test_a_script_module() -> None:
    said = refused(torch.jit.trace(nn.Linear(2, 2), torch.randn(1, 2)))
    assert "is a ScriptModule, whose Python code is gone; give the nn.Module" in said


def test_a_class_or_something_else() -> None:
    assert "the model is the class Net; give a network of it, such as Net(...)" in refused(Net)
    assert "the model is a dict, but a torch.nn.Module is expected" in refused({})


def test_a_quantized_module() -> None:
    from torch.ao.nn.quantized import Linear

    said = refused(nn.Sequential(Linear(2, 2)), torch.randn(1, 2))
    assert "the model is quantized already (Linear); give it as it was before" in said


def test_another_device_or_precision() -> None:
    assert "has no weights: its conv.weight is on the meta device" in refused(Net().to("meta"))
    assert "is in float16: its conv.weight; give it in single precision: model.float()" in refused(
        Net().half()
    )
    assert "is in float64" in refused(Net().double())
    assert "the example input is not on the processor" in refused(Net(), IMAGE.to("meta"))


def test_a_module_that_cannot_be_copied() -> None:
    module = Net()
    module.kept = module.conv(IMAGE)
    assert "the model cannot be copied" in refused(module)
