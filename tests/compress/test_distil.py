"""Errors of a student beside its teacher."""

from __future__ import annotations

import pytest
import torch

from nas.compress.distil import feature_error, feature_sizes, features_of, output_error
from nas.elastic import call
from tests.compress.kinds import KINDS, examples

PLACES = {"classifier": ("stages.1.1", "stages.2.1"), "denoiser": ("down_blocks.0", "up_blocks.1")}


@pytest.mark.parametrize("kind", [*KINDS])
def test_features_of_a_subnet_are_compared_with_the_full_networks(kind: str) -> None:
    supernet = KINDS[kind]().eval()
    inputs, _ = examples(supernet, 1)[0]
    teacher = supernet.extract(supernet.space.largest()).eval()
    student = supernet.extract(supernet.family.uniform(0.5)).eval()
    found = {}
    for name, network in (("teacher", teacher), ("student", student)):
        modules = {place: network.get_submodule(place) for place in PLACES[kind]}
        with torch.no_grad(), features_of(modules) as features:
            call(network, inputs)
        assert not any(module._forward_hooks for module in modules.values())
        found[name] = features
    truth, made = found["teacher"], found["student"]
    assert [*truth] == [*PLACES[kind]] == [*made]
    assert feature_error(truth, truth) == 0
    assert feature_error(made, truth) > 1e-6
    doubled = {name: 2 * tensor for name, tensor in truth.items()}
    assert float(feature_error(doubled, truth)) == pytest.approx(1, rel=1e-4)
    # What one of them lacks does not count, and sizes may be those of a larger batch.
    first = PLACES[kind][0]
    alone = feature_error({first: made[first]}, truth)
    larger = {name: 4 * size for name, size in feature_sizes(truth).items()}
    assert float(feature_error({first: made[first]}, truth, larger)) == pytest.approx(float(alone) / 4)


@pytest.mark.parametrize("shape", [(4, 5), (4, 2, 3, 3)])
def test_examples_count_by_their_weight(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    made, wanted = torch.randn(2, *shape, generator=generator)
    each = torch.stack([(a - b).square().mean() for a, b in zip(made, wanted, strict=True)])
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0])
    torch.testing.assert_close(output_error(made, wanted, weights), (weights * each).mean())
