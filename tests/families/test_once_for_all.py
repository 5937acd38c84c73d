"""The spaces of the other published once-for-all supernets: names, sizes, widths, costs."""

from __future__ import annotations

import pytest
import timm
import torch

from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.families.proxyless import ofa_proxyless
from nas.families.resnet50 import ResNet50
from nas.latency.macs import macs_by_operator


def test_proxyless_has_six_stages_of_which_the_last_is_one_block() -> None:
    family = ofa_proxyless()
    space, shape = family.space, family.shape
    assert space.size == 25 * (9**2 + 9**3 + 9**4) ** 5 * 9
    assert "stage6.block1.kernel" in space and "stage6.depth" not in space
    widths = [shape.stem, shape.first, *(stage.width for stage in shape.stages), *shape.head]
    assert widths == [40, 24, 32, 56, 104, 128, 248, 416, 1664]
    with torch.device("meta"):
        norms = [m for m in family.build(space.largest()).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}


def test_resnet50_has_elastic_widths_expansions_and_depths() -> None:
    space = ResNet50().space
    expands = [3**2 + 3**3 + 3**4] * 3 + [3**4 + 3**5 + 3**6]
    stages = 1
    for count in expands:
        stages *= 3 * count
    # The stem's inner width is the same for two of the three multipliers.
    assert space.size == 25 * 2 * 2 * 3 * stages
    assert space["stem.inner"].choices == (0.8, 1.0)
    assert space["stage3.depth"].choices == (4, 5, 6)
    assert space["stage3.block5.expand"].active_if == ("stage3.depth", (5, 6))
    assert space["stage3.block4.expand"].active_if is None


def test_a_subnet_of_resnet50_is_resnet50d() -> None:
    """Its depths, widths and ratios give timm's tensors and MACs; the stem's addition costs none."""
    supernet = Supernet(ResNet50()).eval()
    family = supernet.family
    subnet = family.published_subnet(d=[2, 1, 2, 2, 1], e=[0.25] * 18, w=[2] * 6, resolution=224)
    theirs = timm.create_model("resnet50d").eval()
    shapes = [sorted(tuple(p.shape) for p in net.parameters()) for net in (supernet.skeleton(subnet), theirs)]
    assert shapes[0] == shapes[1]
    operators = macs_by_operator(theirs, family.example_input(subnet))
    assert supernet.count(subnet).macs == operators["conv"] + operators["linear"]


@pytest.mark.parametrize(
    ("name", "smallest", "largest"), [("ofa-proxyless", 266, 1005), ("ofa-resnet50", 962, 7492)]
)
def test_costs_are_those_of_the_guide(name: str, smallest: int, largest: int) -> None:
    """Million MACs at 224 pixels, as docs/guides/classifiers.md gives them."""
    supernet = Supernet(get_family(name)).eval()
    small = supernet.space.subnet({**supernet.space.smallest(), "resolution": 224})
    macs = [round(supernet.count(subnet).macs / 1e6) for subnet in (small, supernet.space.largest())]
    assert macs == [smallest, largest]


@pytest.mark.parametrize("name", ["ofa-proxyless", "ofa-resnet50"])
@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_a_width_that_is_none_is_refused(name: str, width: float) -> None:
    with pytest.raises(UsageError, match=f"width is {width}, but must be more than 0"):
        get_family(name, width=width)
