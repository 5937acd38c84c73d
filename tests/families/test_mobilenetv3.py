"""The once-for-all MobileNetV3 spaces: names, sizes, widths, shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families.blocks import MBConv, SqueezeExcite
from nas.families.mobilenetv3 import MobileNetV3, mbv3_small_image, ofa_mbv3


def _static(family: MobileNetV3, **changes: int) -> nn.Module:
    subnet = family.space.subnet({**family.space.largest(), **changes})
    with torch.device("meta"):
        return family.build(subnet).eval()


def test_the_published_space() -> None:
    space = ofa_mbv3().space
    assert space.names[:4] == ("resolution", "stage1.depth", "stage1.block1.kernel", "stage1.block1.expand")
    assert len(space.dimensions) == 1 + 5 + 2 * 20
    assert space["resolution"].choices == tuple(range(128, 225, 4))
    for s in range(1, 6):
        assert space[f"stage{s}.depth"].choices == (2, 3, 4)
        assert space[f"stage{s}.block2.kernel"].choices == (3, 5, 7)
        assert space[f"stage{s}.block2.expand"].choices == (3, 4, 6)
        assert space[f"stage{s}.block2.kernel"].active_if is None
        assert space[f"stage{s}.block3.kernel"].active_if == (f"stage{s}.depth", (3, 4))
        assert space[f"stage{s}.block4.expand"].active_if == (f"stage{s}.depth", (4,))
    # Published: about 2 × 10^19 subnets at each resolution.
    assert space.size == 25 * (9**2 + 9**3 + 9**4) ** 5


@pytest.mark.parametrize(
    ("family", "digest"),
    [(ofa_mbv3(), "5e0b5d7b64a2a78a"), (mbv3_small_image(), "652f60aab3f3a7f5")],
    ids=lambda value: str(value)[:4],
)
def test_shipped_spaces_keep_their_digest(family: MobileNetV3, digest: str) -> None:
    """Models, profiles, tables and runs on users' disks carry it: another value refuses them all."""
    assert family.space.digest == digest


def test_classes_and_width_do_not_change_the_space() -> None:
    assert ofa_mbv3(width=1.2, classes=5).space.digest == ofa_mbv3().space.digest


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (1.0, [16, 16, 24, 40, 80, 112, 160, 960, 1280]),
        (1.2, [24, 24, 32, 48, 96, 136, 192, 1152, 1536]),
    ],
)
def test_published_widths(width: float, widths: list[int]) -> None:
    shape = ofa_mbv3(width=width).shape
    stages = [stage.width for stage in shape.stages]
    assert [shape.stem, shape.first, *stages, *shape.head] == widths


def test_a_width_that_was_not_published_is_refused() -> None:
    with pytest.raises(UsageError, match=r"width is 1\.1, but .* published for 1\.0 and 1\.2"):
        ofa_mbv3(width=1.1)


def test_blocks_are_those_of_mobilenetv3() -> None:
    network = _static(ofa_mbv3())
    blocks = {name: m for name, m in network.named_modules() if isinstance(m, MBConv)}
    assert len(blocks) == 1 + 20
    for s, (gated, act, stride) in enumerate(
        [
            (False, nn.ReLU, 2),
            (True, nn.ReLU, 2),
            (False, nn.Hardswish, 2),
            (True, nn.Hardswish, 1),
            (True, nn.Hardswish, 2),
        ],
        1,
    ):
        for b in range(1, 5):
            block = blocks[f"stages.{s}.{b}"]
            assert isinstance(block.squeeze, SqueezeExcite) == gated
            assert isinstance(block.depthwise.get_submodule("act"), act)
            conv = block.depthwise.get_submodule("conv")
            assert isinstance(conv, nn.Conv2d)
            assert conv.stride == ((stride, stride) if b == 1 else (1, 1))
            assert block.residual == (b > 1)


def test_choices_decide_kernel_expansion_and_depth() -> None:
    network = _static(
        ofa_mbv3(),
        **{"stage2.depth": 3, "stage2.block2.kernel": 5, "stage2.block2.expand": 3, "resolution": 128},
    )
    block = network.get_submodule("stages.2.2")
    assert isinstance(block, MBConv)
    assert isinstance(block.squeeze, SqueezeExcite)
    assert block.depthwise.get_parameter("conv.weight").shape == (120, 1, 5, 5)
    assert block.squeeze.reduce.weight.shape == (32, 120, 1, 1)
    assert [name for name, _ in network.get_submodule("stages.2").named_children()] == ["1", "2", "3"]


@pytest.mark.parametrize("size", [24, 28, 32])
def test_small_images_give_one_row_of_logits_each(size: int) -> None:
    family = mbv3_small_image(classes=4, channels=1)
    subnet = family.space.subnet({**family.space.smallest(), "resolution": size})
    x = family.example_input(subnet, 3)
    assert x.shape == (3, 1, size, size)
    assert family.build(subnet)(x).shape == (3, 4)


def test_images_are_resized_to_the_resolution_smoothly() -> None:
    family = mbv3_small_image()
    small = family.space.smallest()
    x = torch.rand(2, 3, 48, 48)
    prepared = family.prepare(x, small)
    assert prepared.shape == (2, 3, 24, 24)
    # Halving a checkerboard: with antialiasing grey, without it black or white.
    board = (torch.arange(48)[:, None] + torch.arange(48)) % 2
    grey = family.prepare(board.float().expand(1, 3, 48, 48), small)
    assert (grey - 0.5).abs().max() < 0.05
    same = torch.rand(2, 3, 24, 24)
    assert family.prepare(same, small) is same


def test_smallest_and_largest_are_far_apart() -> None:
    """Promised of the shipped model: at least 8 × in MACs."""
    supernet = Supernet(mbv3_small_image())
    space = supernet.space
    assert supernet.count(space.largest()).macs >= 8 * supernet.count(space.smallest()).macs


def test_first_weights_keep_the_signal() -> None:
    torch.manual_seed(0)
    supernet = Supernet(mbv3_small_image()).train().requires_grad_(False)
    for subnet in (supernet.space.smallest(), supernet.space.largest()):
        logits = supernet(supernet.family.example_input(subnet, 16), subnet)
        assert logits.isfinite().all()
        assert 1e-4 < float(logits.std()) < 10
