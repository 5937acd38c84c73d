"""Counts of operations, against networks of which they are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas.zoo import create_timm, operation_counts


def test_convolutions_and_products_are_told_apart() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.Flatten(), nn.Linear(16 * 64, 10),
        )  # fmt: skip

    found = operation_counts(build, (3, 8, 8))
    assert found["macs_dense"] == 64 * 8 * 27
    assert found["macs_depthwise"] == 64 * 8 * 9
    assert found["macs_pointwise"] == 64 * 16 * 8
    assert found["macs_grouped"] == 64 * 16 * 4 * 9
    assert found["macs_linear"] == found["out_linear"] * 16 * 64 == 10 * 16 * 64
    assert found["cheap"] == 8 * 64 and found["out_depthwise"] == 8 * 64
    assert (found["ops_conv"], found["ops_matmul"], found["ops_other"]) == (4, 1, 1)
    assert found["unaligned"] == 0
    odd = operation_counts(lambda: nn.Conv2d(8, 9, 1), (8, 2, 2))
    assert odd["unaligned"] == odd["macs_pointwise"] == 4 * 9 * 8
    assert found["params"] == sum(parameter.numel() for parameter in build().parameters())


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2).reshape(1, 1, 16, -1)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_is_two_products_and_a_softmax() -> None:
    found = operation_counts(Attention, (12, 4, 4))
    assert found["macs_attention"] == 2 * 16 * 16 * 12
    assert found["costly"] >= 16 * 16 and found["macs_linear"] == 0


@pytest.mark.parametrize(
    ("name", "size", "million"), [("resnet18.a1_in1k", 224, 1814), ("test_vit.r160_in1k", 160, 37.6)]
)
def test_the_macs_of_known_models(name: str, size: int, million: float) -> None:
    found = operation_counts(lambda: create_timm(name, size), (3, size, size))
    macs = sum(count for kind, count in found.items() if kind.startswith("macs_"))
    assert macs == pytest.approx(million * 1e6, rel=0.02)


def test_branches_of_training_are_merged() -> None:
    found = operation_counts(lambda: create_timm("repvgg_a0.rvgg_in1k", 224), (3, 224, 224))
    assert found["ops_conv"] == 22
