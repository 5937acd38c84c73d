"""A module becomes a family: what is offered, how it is made again, and what is said where it cannot."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.derive import DerivedFamily, derive
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from tests.derive.nets import Net, attention, conv, image, linear, tokens, vector
from tests.derive.spaces.test_depth import Residual


class Attention(nn.Module):
    """Self-attention that reads its number of heads, as timm's."""

    def __init__(self, width: int = 16, heads: int = 4, by_stream: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.by_stream = heads, width // heads, by_stream
        self.qkv, self.proj = linear(width, 3 * width), linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend; where `by_stream` is set the width of the input is taken for that of the heads."""
        batch, count, width = x.shape
        q, k, v = (
            self.qkv(x)
            .reshape(batch, count, 3, self.num_heads, self.head_dim)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        x = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.proj(x.reshape(batch, count, width if self.by_stream else self.num_heads * self.head_dim))


class Block(nn.Module):
    """Attention and feed-forward, each added to the stream."""

    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.attn, self.norm = Attention(**options), nn.LayerNorm(16)
        self.mlp = nn.Sequential(linear(16, 32), nn.GELU(), linear(32, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run both."""
        x = x + self.attn(x)
        return x + self.mlp(self.norm(x))


def transformer(**options: bool) -> nn.Module:
    """Return two blocks with a class token of the model's own."""
    blocks = nn.Sequential(Block(**options), Block(**options))
    model = Net(
        lambda x, stem, body, head, token: head(
            body(torch.cat([token.expand(len(x), -1, -1), stem(x)], 1))[:, 0]
        ),
        *(linear(6, 16), blocks, linear(16, 3), torch.randn(1, 1, 16)),
    )
    return model.eval()


def _run(family: DerivedFamily, state: dict[str, torch.Tensor], model: nn.Module, x: torch.Tensor) -> None:
    """The largest subnet is the model; a subnet of the supernet is what is extracted."""
    supernet = Supernet(family).eval()
    supernet.network.load_state_dict(state)
    subnet = family.space.sample(np.random.default_rng(0))
    with torch.no_grad():
        assert torch.equal(supernet(x, family.space.largest()), model(x))
        assert torch.equal(supernet.extract(subnet)(x), supernet(x, subnet))


def test_a_transformer_offers_heads_widths_and_depth():
    model = transformer()
    found = derive(model, (tokens(),))
    assert found.report.built_from == "modules"
    assert found.report.note == ""
    kinds = {d.name.removeprefix("layers.1."): (d.kind, d.choices) for d in found.report.dimensions}
    assert kinds == {
        "0.kept": ("depth", (False, True)),
        "1.kept": ("depth", (False, True)),
        "0.attn.heads": ("heads", (2, 4)),
        "1.attn.heads": ("heads", (2, 4)),
        "0.mlp.0.width": ("width", (8, 16, 24, 32)),
        "1.mlp.0.width": ("width", (8, 16, 24, 32)),
    }
    _run(found.family, found.state_dict, model, torch.randn(3, 5, 6))


def test_the_width_of_the_stream_and_the_head_size_are_offered_where_asked_for():
    found = derive(transformer(), (tokens(),), elastic=("stream", "head_size"))
    kinds = {d.kind for d in found.report.dimensions}
    assert {"stream", "head_size"} <= kinds
    assert any(d.kind == "stream" and d.renormalised for d in found.report.dimensions)


def test_without_asking_they_stay_and_say_so():
    found = derive(transformer(), (tokens(),))
    reasons = {each.reason for each in found.report.fixed}
    assert any("elastic='stream'" in reason for reason in reasons)


def test_heads_that_the_code_ties_to_the_stream_are_fixed_or_the_graph_is_used():
    """BEiT's `reshape(B, N, C)`: the axes are right, and the code cannot follow them."""
    model = transformer(by_stream=True)
    found = derive(model, (tokens(),))
    if found.report.built_from == "modules":
        assert not any(d.kind == "heads" for d in found.report.dimensions)
        assert any("tied to another length by the model's code" in each.reason for each in found.report.fixed)
    else:
        assert "cannot follow" in found.report.note
    _run(found.family, found.state_dict, model, torch.randn(3, 5, 6))


def test_a_constant_in_the_forward_leaves_the_graph():
    model = Net(
        lambda x, a, b: b(a(x).view(len(x), 3, 4).flatten(1).view(-1, 12)), linear(6, 12), linear(12, 3)
    ).eval()
    found = derive(model, (vector(),), elastic="head_size")
    assert found.report.built_from == "graph"
    assert "cannot follow" in found.report.note
    _run(found.family, found.state_dict, model, torch.randn(5, 6))


@pytest.mark.parametrize("by_stream", [False, True])
def test_a_specification_makes_the_family_again_without_tracing(by_stream):
    model = transformer(by_stream=by_stream)
    found = derive(model, (tokens(),))
    text = json.dumps(found.family.options["specification"])
    template = transformer(by_stream=by_stream) if found.report.built_from == "modules" else None
    again = DerivedFamily(json.loads(text), template)
    assert again.space.digest == found.family.space.digest
    assert json.dumps(again.options["specification"]) == text
    _run(again, found.state_dict, model, torch.randn(3, 5, 6))


def test_tied_weights_stay_one_parameter():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.inner = nn.Embedding(9, 16), linear(16, 24)
            self.back, self.head = linear(24, 16), nn.Linear(16, 9, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.back(self.inner(self.embedding(x)).relu()))

    model = Tied().eval()
    x = torch.randint(9, (2, 4))
    found = derive(model, (x,))
    _run(found.family, found.state_dict, model, x)
    network: Any = Supernet(found.family).extract(found.family.space.smallest())
    assert network.model.head.weight is network.model.embedding.weight
    assert sum(p.numel() for p in network.parameters()) == 9 * 8 + 2 * (8 * 8 + 8)


def test_the_output_that_counts_is_chosen():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = linear(6, 16), linear(16, 3)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            hidden = self.a(x)
            return {"hidden": hidden, "logits": self.b(hidden)}

    found = derive(Two().eval(), (vector(),), output="logits")
    assert [d.choices for d in found.report.dimensions] == [(8, 16)]
    with pytest.raises(UsageError, match="say which output counts: one of 'hidden', 'logits'"):
        derive(Two().eval(), (vector(),))
    with pytest.raises(UsageError, match="without 'wrong'"):
        derive(Two().eval(), (vector(),), output="wrong")


def test_several_inputs_are_taken_by_name():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = linear(6, 16), linear(4, 16), linear(16, 3)

        def forward(self, pixels: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            return self.c(self.a(pixels) * self.b(context))

    found = derive(Both().eval(), (vector(), vector(4)))
    x: Any = found.family.example_input(found.family.space.largest(), 3)
    assert {name: tuple(tensor.shape) for name, tensor in x.items()} == {"pixels": (3, 6), "context": (3, 4)}
    assert Supernet(found.family)(x, found.family.space.smallest()).shape == (3, 3)


def test_costs_are_those_of_the_static_network():
    model = nn.Sequential(
        conv(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), conv(16, 8, 3), nn.Flatten(), linear(8 * 16, 5)
    )
    found = derive(model.eval(), (image(8),))
    assert found.report.macs == (
        8 * 3 * 9 * 36 + 8 * 8 * 9 * 16 + 8 * 16 * 5,
        16 * 3 * 9 * 36 + 16 * 8 * 9 * 16 + 8 * 16 * 5,
    )


def test_what_cannot_be_derived_is_refused_in_one_sentence():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) if x.sum() > 0 else x

    cases = {
        "make its forward free of branches on values": (Branch().eval(), vector()),
        r"call its eval\(\) first": (linear(6, 16), vector()),
        "give it in single precision": (linear(6, 16).double().eval(), vector().double()),
        "nothing of Linear can be made smaller": (linear(6, 16).eval(), vector()),
        "has no parameters": (nn.ReLU().eval(), vector()),
        "ScriptModule": (torch.jit.script(linear(6, 16).eval()), vector()),
    }
    for sentence, (model, x) in cases.items():
        with pytest.raises(UsageError, match=sentence):
            derive(model, (x,))
    with pytest.raises(UsageError, match="elastic is 'kernels'"):
        derive(linear(6, 16).eval(), (vector(),), elastic="kernels")
    with pytest.raises(UsageError, match="widths has 0, but shares above 0"):
        derive(nn.Linear(4, 4).eval(), (torch.zeros(1, 4),), widths=(0.5, 0))


def test_widths_are_offered_in_the_shares_that_are_asked_for() -> None:
    module = nn.Sequential(linear(8, 32), nn.ReLU(), linear(32, 4)).eval()
    for shares, lengths in {(0.5, 0.75): (16, 24, 32), (0.25, 0.5, 0.75): (8, 16, 24, 32)}.items():
        (dimension,) = derive(module, (torch.randn(2, 8),), widths=shares).family.space.dimensions
        assert dimension.choices == lengths


def test_a_specification_of_another_version_is_refused():
    found = derive(nn.Sequential(linear(6, 16), linear(16, 3)).eval(), (vector(),))
    with pytest.raises(NasError, match="version 99, but 1 is expected"):
        DerivedFamily({**found.family.specification.to_dict(), "version": 99})
    with pytest.raises(UsageError, match="no model is given"):
        DerivedFamily(found.family.specification)


def test_a_residual_block_that_is_left_out_passes_its_input():
    model = Net(lambda x, a, b, c: c(b(a(x))), linear(6, 8), Residual(), linear(8, 3)).eval()
    found = derive(model, (vector(),))
    supernet = Supernet(found.family).eval()
    supernet.network.load_state_dict(found.state_dict)
    subnet = found.family.space.subnet({"layers.1.kept": False})
    x = torch.randn(4, 6)
    with torch.no_grad():
        assert torch.equal(supernet(x, subnet), model.layers[2](model.layers[0](x)))
    assert set(supernet.extract(subnet).state_dict()) == {
        f"model.layers.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")
    }


def test_attention_by_hand_needs_no_numbers():
    model = Net(attention, linear(6, 72), linear(24, 6)).eval()
    with pytest.raises(UsageError, match="nothing of"):
        derive(Net(lambda x, a: a(x).softmax(-1), linear(6, 16)).eval(), (vector(),))
    found = derive(model, (tokens(),), elastic="head_size")
    assert {d.kind for d in found.report.dimensions} <= {"heads", "head_size"}


def test_halves_that_the_code_cuts_in_the_middle_are_one_dimension():
    """ShuffleNet's `chunk(2)`: both halves may be of any length, but only together in the model's own code."""
    model = Net(
        lambda x, a, b, c, d: d(torch.cat([b(a(x).chunk(2, 1)[0]), c(a(x).chunk(2, 1)[1])], 1)),
        *(linear(6, 32), linear(16, 8), linear(16, 8), linear(16, 3)),
    ).eval()
    found = derive(model, (vector(),))
    assert found.report.built_from == "modules"
    assert [(d.length, d.choices) for d in found.report.dimensions] == [(16, (8, 16))]
    _run(found.family, found.state_dict, model, torch.randn(5, 6))


def test_a_block_that_returns_more_than_a_tensor_is_left_out_with_what_holds_it():
    """As BERT's attention, which returns its weights too."""

    class Pair(Residual):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x), x

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Pair()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)[0]

    model = Net(lambda x, a, b, c: c(b(a(x))), linear(6, 8), Holder(), linear(8, 3)).eval()
    found = derive(model, (vector(),))
    assert [d.name for d in found.report.dimensions if d.kind == "depth"] == ["layers.1.kept"]
    _run(found.family, found.state_dict, model, torch.randn(5, 6))


def test_modules_of_one_class_are_told_alike():
    """Each has a number that may be the length of two axes: tried one by one that would be 64 combinations."""

    class Narrowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width, self.layers = 16, nn.ModuleList([linear(8, 16), linear(16, 16), linear(16, 8)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second, third = self.layers
            return third(second(first(x).relu()).sigmoid().narrow(-1, 0, self.width))

    model = Net(lambda x, *layers: nn.Sequential(*layers)(x), *(Narrowed() for _ in range(6))).eval()
    found = derive(model, (vector(8),))
    assert found.report.built_from == "modules"
    assert len(found.report.dimensions) == 12
    _run(found.family, found.state_dict, model, torch.randn(5, 8))


def test_a_model_that_computes_something_else_while_it_is_exported_is_refused():
    model = Net(
        lambda x, a, b: b(a(x)) * (1 if torch.compiler.is_exporting() else 2), linear(6, 16), linear(16, 3)
    )
    with pytest.raises(UsageError, match="computes something else when it is exported"):
        derive(model.eval(), (vector(),))


def test_a_module_inside_of_two_others_counts_once():
    """CoaT's position encoding, which all blocks of a stage have."""

    class Holder(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.own = inner, linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.own(self.inner(x).relu())

    inner = linear(16, 16)
    model = nn.Sequential(linear(6, 16), Holder(inner), Holder(inner), linear(16, 3)).eval()
    before = inner.weight.clone()
    found = derive(model, (vector(),))
    assert torch.equal(inner.weight, before)
    assert found.report.built_from == "modules"
    assert found.report.params[1] == sum(p.numel() for p in model.parameters())
    _run(found.family, found.state_dict, model, torch.randn(5, 6))
    state = Supernet(found.family).network.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


def test_what_code_has_computed_of_its_weights_is_computed_anew():
    """As biases by position in LeViT, which are kept in evaluation mode."""

    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias, self.cache = nn.Parameter(torch.randn(1, 16)), {}
            self.constants = {"scale": torch.tensor(2.0)}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x * self.constants["scale"]
            if "cpu" not in self.cache:
                self.cache["cpu"] = self.bias.exp()
            return x + self.cache["cpu"]

    model = Net(lambda x, a, b, c: c(b(a(x))), linear(6, 16), Cached(), linear(16, 3)).eval()
    with torch.no_grad():
        model(vector())
    found = derive(model, (vector(),))
    assert found.report.built_from == "modules"
    assert "layers.1.bias[1]" in found.report.dimensions[0].where
    _run(found.family, found.state_dict, model, torch.randn(5, 6))
