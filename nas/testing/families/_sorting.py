"""Sorting channels changes no output of the full network, and puts the important ones first."""

from __future__ import annotations

import numpy as np
import torch

from nas.elastic import Axis, Cat, Elastic, Indices, Repeat, Supernet, l1_importance


def _names(axis: Axis) -> set[str]:
    if isinstance(axis, Elastic):
        return {axis.name}
    if isinstance(axis, Cat):
        return {name for part in axis.parts for name in _names(part)}
    if isinstance(axis, Repeat):
        return _names(axis.outer) | (_names(axis.inner) if isinstance(axis.inner, Axis) else set())
    return _names(axis.of) if isinstance(axis, Indices) else set()


class Sorting:
    """Sorting channels changes no output of the full network, and puts the important ones first."""

    @torch.no_grad()
    def test_sorting_leaves_the_largest_networks_output_unchanged(self, fresh: Supernet) -> None:
        largest = fresh.space.largest()
        x = fresh.family.example_input(largest, 3)
        expected = fresh(x, largest)
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        fresh.sort_channels()
        np.testing.assert_allclose(
            fresh(x, largest), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
        )
        is_elastic = any(
            _names(a) for p in fresh.family.parts for layout in p.layouts.values() for a in layout.axes
        )
        moved = any(not torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
        assert moved == is_elastic

    @torch.no_grad()
    def test_sorting_orders_every_elastic_axis_by_importance(self, fresh: Supernet) -> None:
        axes = {
            n
            for p in fresh.family.parts
            for layout in p.layouts.values()
            for a in layout.axes
            for n in _names(a)
        }
        fresh.sort_channels()
        importance = l1_importance(fresh.family, fresh.network)
        assert set(importance) == axes
        for name, scores in importance.items():
            assert (scores.diff() <= 1e-9 * scores.max()).all(), f"{name} is not in order"

    @torch.no_grad()
    def test_sorting_by_given_scores_follows_them(self, fresh: Supernet) -> None:
        """Reversing every axis twice gives each tensor back; once, it leaves the output alone."""
        largest = fresh.space.largest()
        x = fresh.family.example_input(largest, 3)
        expected = fresh(x, largest)
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        importance = l1_importance(fresh.family, fresh.network)
        ascending = {name: torch.arange(float(len(scores))) for name, scores in importance.items()}
        fresh.sort_channels(ascending)
        np.testing.assert_allclose(
            fresh(x, largest), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
        )
        reversed_once = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        assert not importance or any(not torch.equal(reversed_once[name], before[name]) for name in before)
        fresh.sort_channels(ascending)
        assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
