"""The UNet family against diffusers' own modules, and its space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from diffusion.denoisers.unet import DiffusionUNet, diffusion_unet
from nas.elastic import Supernet, call
from nas.elastic._layout import cut
from nas.errors import UsageError
from nas.space import Subnet
from tests.conformance.diffusion import SD1, SD2, SDXL, UNCONDITIONAL
from tests.conformance.families import randomise

CONFIGS = {"sd1": SD1, "sd2": SD2, "sdxl": SDXL, "unconditional": UNCONDITIONAL}
SD15: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
}


def _stock(config: dict[str, Any]) -> UNet2DConditionModel | UNet2DModel:
    kind = UNet2DConditionModel if config["_class_name"] == "UNet2DConditionModel" else UNet2DModel
    torch.manual_seed(0)
    model: Any = kind.from_config(config)
    randomise(model)
    return model.eval()


def _run(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    given = dict(inputs)
    if "text_embeds" in given:
        given["added_cond_kwargs"] = {key: given.pop(key) for key in ("text_embeds", "time_ids")}  # type: ignore[assignment]
    with torch.no_grad():
        return model(**given).sample


@pytest.mark.parametrize("name", CONFIGS)
def test_the_largest_network_is_the_stock_module_to_the_bit(name: str) -> None:
    family, stock = diffusion_unet(CONFIGS[name], tokens=5), _stock(CONFIGS[name])
    supernet = Supernet(family).eval()
    supernet.network.load_state_dict(stock.state_dict())
    inputs = family.example_input(family.space.largest(), 2)
    with torch.no_grad():
        assert torch.equal(supernet(inputs, family.space.largest()), _run(stock, inputs))


def _mask(supernet: Supernet, stock: Any, subnet: Subnet) -> None:
    """Silence in the full module what the subnet cuts: columns that read a cut channel, outputs of branches left out."""
    full = supernet.space.largest()
    with torch.no_grad():
        for part in supernet.family.parts:
            for name, layout in part.layouts.items():
                if not part.is_active(subnet) or not name.startswith(("conv2", "to_out", "net.2")):
                    continue
                weight = stock.get_parameter(f"{part.name}.{name}")
                keep = torch.zeros(weight.shape[1], dtype=torch.bool)
                keep[
                    cut(
                        torch.arange(len(keep)), tuple((0, s) for a, s in layout.cuts(subnet, full) if a == 1)
                    )
                ] = True
                weight[:, ~keep] = 0
                if not keep.any():
                    stock.get_parameter(f"{part.name}.{name.rpartition('.')[0]}.bias").zero_()


@pytest.mark.parametrize("name", CONFIGS)
def test_sliced_equals_masked(name: str) -> None:
    """Norm groups, heads and widths that are cut do what they do with their outgoing weights set to zero."""
    family = diffusion_unet(CONFIGS[name], tokens=5, removable=False, depth=(1,), self_attention=(0.5, 1))
    supernet, stock = Supernet(family).eval(), _stock(CONFIGS[name])
    supernet.network.load_state_dict(stock.state_dict())
    rng = np.random.default_rng(0)
    for subnet in (family.space.smallest(), family.space.sample(rng)):
        masked = _stock(CONFIGS[name])
        _mask(supernet, masked, subnet)
        inputs = family.example_input(subnet, 2)
        expected = _run(masked, inputs)
        with torch.no_grad():
            given = supernet(inputs, subnet)
        assert (given - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))
        assert not torch.allclose(given, _run(stock, inputs), rtol=1e-3)


def test_a_left_out_residual_branch_keeps_its_shortcut() -> None:
    family = diffusion_unet(SD1, tokens=5, resnet=(0, 1), removable=False)
    supernet, masked = Supernet(family).eval(), _stock(SD1)
    supernet.network.load_state_dict(masked.state_dict())
    paths = ["down_blocks.1.resnets.0", "up_blocks.2.resnets.1", "mid_block.resnets.1"]
    subnet = family.uniform(1, **{f"{path}.groups": 0 for path in paths})
    with torch.no_grad():
        for path in paths:
            masked.get_submodule(path).conv2.weight.zero_()  # pyright: ignore
            masked.get_submodule(path).conv2.bias.zero_()  # pyright: ignore
    inputs = family.example_input(subnet, 2)
    with torch.no_grad():
        given = supernet(inputs, subnet)
    assert (given - _run(masked, inputs)).abs().max() <= 1e-6
    assert "down_blocks.1.resnets.0.conv_shortcut.weight" in supernet.slices(subnet)
    assert "down_blocks.1.resnets.0.conv1.weight" not in supernet.slices(subnet)
    assert "down_blocks.0.resnets.0.groups" not in family.space  # the time enters by the first block


def test_stable_diffusion_15_costs_what_is_known_of_it() -> None:
    """Millions of parameters and GMACs of one pass; those of BK-SDM are of its authors' own configurations."""
    family = diffusion_unet(SD15)
    with torch.device("meta"):
        supernet = Supernet(family)
    found = {}
    for name, subnet in family.named().items():
        counts = supernet.count(subnet)
        found[name] = (round(counts.params / 1e6, 1), round(counts.macs / 1e9, 1))
    assert found == {
        "largest": (859.5, 401.6),
        "half": (481.2, 230.2),
        "smallest": (71.7, 60.7),
        "bk-sdm-base": (579.4, 261.5),
        "bk-sdm-small": (482.3, 255.4),
        "bk-sdm-tiny": (323.4, 242.8),
    }


def test_sampling_dimensions_touch_no_network() -> None:
    family = diffusion_unet(SD2, tokens=5, sampling={"steps": [4, 8, 25], "guidance": ["half", "full"]})
    assert family.pass_dimensions == ("steps", "guidance")
    assert family.space["steps"].choices == (4, 8, 25)
    few, many = (family.uniform(0.5, steps=steps) for steps in (4, 25))
    assert few != many
    supernet = Supernet(family).eval()
    assert supernet.count(few) == supernet.count(many)
    inputs = family.example_input(few)
    with torch.no_grad():
        assert torch.equal(supernet(inputs, few), supernet(inputs, many))
        assert torch.equal(call(supernet.extract(many), inputs), supernet(inputs, few))


def test_options_give_the_family_back() -> None:
    import json

    family = diffusion_unet(SD1, resnet=(0, 0.5, 1), sampling={"steps": [4, 8]}, tokens=5)
    options = json.loads(json.dumps(family.options))
    again = diffusion_unet(**options)
    assert isinstance(again, DiffusionUNet)
    assert again.space.digest == family.space.digest
    assert again.options == family.options


@pytest.mark.parametrize(
    ("config", "options", "word"),
    [
        ({"_class_name": "AutoencoderKL"}, {}, "AutoencoderKL"),
        ({**SD1, "down_block_types": ["KDownBlock2D"] * 3}, {}, "KDownBlock2D"),
        ({**SD1, "addition_embed_type": "image"}, {}, "addition_embed_type"),
        ({**SD1, "block_out_channels": [16, 32]}, {}, "config.json"),
        (SD1, {"resnet": (0,)}, "resnet"),
        (SD1, {"self_attention": (0.5, 2)}, "self_attention"),
        (SD1, {"tokens": 0}, "tokens"),
    ],
)
def test_other_networks_and_options_are_refused_in_a_sentence(
    config: dict[str, Any], options: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        diffusion_unet(config, **options)
    assert "\n" not in str(caught.value)
