"""A subnet of the supernet, its extracted network and its exported file give the same output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.elastic import BITS, Inputs, Supernet, batch_of, call, named_inputs, packed
from nas.latency.runtimes.onnx import to_onnx
from nas.testing.families._case import Extracted, some_subnets


def _equal(first: Inputs, second: Inputs) -> bool:
    pairs = named_inputs(first), named_inputs(second)
    return pairs[0].keys() == pairs[1].keys() and all(
        torch.equal(x, pairs[1][n]) for n, x in pairs[0].items()
    )


def _shapes(x: Inputs) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in named_inputs(x).items()}


class Outputs:
    """A subnet of the supernet, its extracted network and its exported file give the same output."""

    @torch.no_grad()
    def test_extracted_network_equals_supernet_bit_for_bit(
        self, supernet: Supernet, extracted: Extracted
    ) -> None:
        for subnet in some_subnets(supernet.family):
            x = supernet.family.example_input(subnet, 2)
            expected = supernet(x, subnet)
            assert expected.isfinite().all()
            assert torch.equal(call(extracted(subnet), x), expected), subnet

    @torch.no_grad()
    def test_packed_network_equals_supernet_bit_for_bit(
        self, supernet: Supernet, extracted: Extracted
    ) -> None:
        """Weights of few bits as files hold them; without any, packing gives the network itself."""
        for subnet in some_subnets(supernet.family, 1):
            x, network = supernet.family.example_input(subnet, 2), extracted(subnet)
            small = packed(network)
            assert torch.equal(call(small, x), supernet(x, subnet)), subnet
            has_bits = any(name.endswith(".bits") and choice in BITS for name, choice in subnet.items())
            assert (small is not network) == has_bits

    @torch.no_grad()
    def test_subnets_differ_from_the_largest(self, supernet: Supernet) -> None:
        """Otherwise the test above would hold for a mechanism that always ran the largest network."""
        space = supernet.space
        x = supernet.family.example_input(space.largest(), 2)
        small = supernet(supernet.family.prepare(x, space.smallest()), space.smallest())
        large = supernet(x, space.largest())
        assert small.shape != large.shape or not torch.allclose(small, large)

    @torch.no_grad()
    def test_training_mode_agrees_too(self, fresh: Supernet) -> None:
        """BatchNorm on batch statistics, dropout drawn from one seed."""
        fresh.train()
        for subnet in some_subnets(fresh.family, 1):
            x, static = fresh.family.example_input(subnet, 4), fresh.extract(subnet).train()
            torch.manual_seed(1)
            expected = call(static, x)
            torch.manual_seed(1)
            assert torch.equal(fresh(x, subnet), expected), subnet

    @torch.no_grad()
    def test_state_dict_of_an_extracted_network_reloads_into_a_built_one(
        self, supernet: Supernet, extracted: Extracted
    ) -> None:
        subnet = some_subnets(supernet.family, 1)[-1]
        rebuilt = supernet.family.build(subnet).eval()
        rebuilt.load_state_dict(extracted(subnet).state_dict())
        x = supernet.family.example_input(subnet, 2)
        assert torch.equal(call(rebuilt, x), supernet(x, subnet))

    @torch.no_grad()
    def test_onnx_file_equals_supernet(
        self, supernet: Supernet, extracted: Extracted, tmp_path: Path
    ) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        subnet = some_subnets(supernet.family, 1)[-1]
        to_onnx(extracted(subnet), supernet.family.example_input(subnet), tmp_path / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(tmp_path / "model.onnx"), options, ["CPUExecutionProvider"]
        )
        for batch_size in (1, 3):
            x = supernet.family.example_input(subnet, batch_size)
            expected = supernet(x, subnet).numpy()
            feed = {
                name: tensor.numpy() for name, tensor in named_inputs(x, session.get_inputs()[0].name).items()
            }
            assert {value.name for value in session.get_inputs()} == feed.keys()
            (given,) = session.run(None, feed)
            assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()

    @torch.no_grad()
    def test_prepare_gives_inputs_that_the_subnet_takes(self, supernet: Supernet) -> None:
        family = supernet.family
        x = family.example_input(family.space.largest(), 2)
        assert _equal(family.prepare(x, family.space.largest()), x)
        for subnet in some_subnets(family):
            prepared = family.prepare(x, subnet)
            assert _shapes(prepared) == _shapes(family.example_input(subnet, 2))
            assert len(supernet(prepared, subnet)) == 2

    def test_example_input_is_deterministic(self, supernet: Supernet) -> None:
        subnet = supernet.space.smallest()
        first, second = (supernet.family.example_input(subnet, 2) for _ in range(2))
        assert _equal(first, second)
        assert all(tensor.device.type == "cpu" for tensor in named_inputs(first).values())
        assert batch_of(first) == 2
