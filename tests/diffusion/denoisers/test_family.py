"""What all families of denoisers share."""

from __future__ import annotations

import pytest

from nas.errors import UsageError
from nas.families import get_family
from tests.conformance.diffusion import DIT, PIXART, SD1, SD2, SDXL, UNCONDITIONAL

UNETS = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL, "unconditional": UNCONDITIONAL}
TRANSFORMERS = {"dit": DIT, "pixart": PIXART}


@pytest.mark.parametrize("name", [*UNETS, *TRANSFORMERS])
def test_groups_heads_and_widths_are_what_a_share_is_of(name: str) -> None:
    kind = "diffusion-unet" if name in UNETS else "diffusion-transformer"
    family = get_family(kind, config={**UNETS, **TRANSFORMERS}[name], bits=(4, 8, 32))
    words = {
        each.name for each in family.space.dimensions if each.name.endswith(("groups", "heads", "width"))
    }
    assert words and family.axis_dimensions == words
    largest, narrowest = family.space.largest(), family.uniform(0)
    assert all(narrowest[word] == family.space[word].choices[0] for word in words & {*narrowest})
    assert all(narrowest[other] == largest[other] for other in {*narrowest} - words)
    assert {"largest", "half", "smallest"} <= family.named().keys()


@pytest.mark.parametrize(("kind", "config"), [("diffusion-unet", SD1), ("diffusion-transformer", DIT)])
def test_bits_are_those_that_weights_can_have(kind: str, config: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"bits is \[3\], but must be some of 4, 8, 32"):
        get_family(kind, config=config, bits=[3])
