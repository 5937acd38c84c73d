"""Numbers of modules that are lengths are read off a run in which they know where they come from."""

from __future__ import annotations

import torch
from torch import nn

from nas.derive.networks.numbers import candidates
from nas.elastic import Axis, Elastic, Fixed, Repeat
from tests.derive.nets import Net, conv, find, image, linear, tokens, vector


def _found(
    model: nn.Module, x: torch.Tensor, kinds: tuple[str, ...] = ()
) -> dict[tuple[str, int | None], list[Axis]]:
    network, labels, dimensions = find(model, x, kinds=kinds)
    found = candidates(labels, dimensions.axis, network)
    return {(attribute, place): axes for (_, attribute, place), axes in found.items()}


class Viewed(nn.Module):
    """Reads its sizes from attributes, one of them a tuple, beside numbers that are no sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.shape, self.unread, self.times = 4, (4, 5), 7, 5
        self.up, self.down = linear(6, 20), linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take apart and lay out again."""
        x = self.up(x).reshape(-1, self.heads, 5)
        for _ in range(self.times - 3):
            x = x.relu()
        return self.down(x.view(-1, *self.shape).flatten(1))


def test_a_number_is_bound_to_the_axis_in_whose_size_it_arrives():
    found = _found(Viewed(), vector())
    heads, size = Elastic("up.width"), Elastic("up.width_2")
    assert found["heads", None] == [heads]
    assert found["shape", 0] == [heads]
    assert found["shape", 1] == [size]
    assert ("unread", None) not in found


def test_a_number_that_arrives_nowhere_may_still_be_a_length_or_not():
    found = _found(Viewed(), vector())
    assert found["times", None] == [Elastic("up.width_2")]


def test_pieces_of_a_split_are_bound():
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sizes, self.up, self.down = [5, 7], linear(6, 12), linear(7, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = self.up(x).split(self.sizes, -1)
            return self.down(second) * first.mean(-1, keepdim=True)

    found = _found(Split(), vector())
    assert [type(found["sizes", i][0]) for i in (0, 1)] == [Elastic, Elastic]
    assert found["sizes", 0] != found["sizes", 1]


def test_groups_of_a_function_are_bound():
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.groups, self.stem, self.head = 4, conv(3, 12), conv(12, 2)
            self.kernel = nn.Parameter(torch.randn(12, 3, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(nn.functional.conv2d(self.stem(x), self.kernel, groups=self.groups))

    assert found_lengths(_found(Grouped(), image())["groups", None]) == [4]


def found_lengths(axes: list[Axis]) -> list[int]:
    """Return how long axes of one dimension of four units are."""
    return [axis.length(dict.fromkeys(axis.dimensions, 4)) for axis in axes]


def test_the_batch_is_no_number():
    class Batched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two, self.up, self.down = 2, linear(6, 12), linear(12, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(self.up(x).reshape(self.two, -1))

    assert ("two", None) not in _found(Batched(), vector())


def test_layers_of_torch_are_left_to_their_tensors():
    model = Net(lambda x, a, n, b: b(n(a(x))), linear(6, 12), nn.LayerNorm(12), linear(12, 3))
    assert not {"in_features", "normalized_shape"} & {attribute for attribute, _ in _found(model, tokens())}


def test_candidates_hold_an_elastic_axis():
    for axes in _found(Viewed(), vector()).values():
        assert any(axis.dimensions for axis in axes)
        assert all(isinstance(axis, Elastic | Repeat | Fixed) for axis in axes)
