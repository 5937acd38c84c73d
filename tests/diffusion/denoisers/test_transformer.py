"""The transformer family against diffusers' own modules, and as models of diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

from diffusion.denoisers.native_config import native_config
from diffusion.denoisers.subnets import to_diffusers
from diffusion.denoisers.transformer import DiffusionTransformer, diffusion_transformer
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.models import load_published
from nas.space import Subnet
from tests.conformance.diffusion import DIT, PIXART
from tests.conformance.families import randomise

CONFIGS = {"dit": (DIT, DiTTransformer2DModel), "pixart": (PIXART, PixArtTransformer2DModel)}
WITHOUT_SIZES = {**PIXART, "use_additional_conditions": False, "caption_channels": None}


def _stock(config: dict[str, Any], kind: Any) -> Any:
    torch.manual_seed(0)
    model = kind.from_config(config)
    randomise(model)
    return model.eval()


def _run(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    given: dict[str, Any] = dict(inputs)
    if "encoder_hidden_states" in given:
        given["added_cond_kwargs"] = {key: given.pop(key, None) for key in ("resolution", "aspect_ratio")}
    with torch.no_grad():
        return model(**given).sample


def _supernet(family: DiffusionTransformer, stock: Any) -> Supernet:
    supernet = Supernet(family).eval()
    load_published(supernet, stock.state_dict())
    return supernet


@pytest.mark.parametrize("config", [DIT, PIXART, WITHOUT_SIZES], ids=["dit", "pixart", "pixart-plain"])
def test_the_largest_network_is_the_stock_module_to_the_bit(config: dict[str, Any]) -> None:
    kind = DiTTransformer2DModel if config is DIT else PixArtTransformer2DModel
    family, stock = diffusion_transformer(config, tokens=5), _stock(config, kind)
    supernet, largest = _supernet(family, stock), family.space.largest()
    inputs = family.example_input(largest, 2)
    with torch.no_grad():
        assert torch.equal(supernet(inputs, largest), _run(stock, inputs))


@pytest.mark.parametrize("name", CONFIGS)
def test_sliced_equals_masked(name: str) -> None:
    config, kind = CONFIGS[name]
    family = diffusion_transformer(config, tokens=5, self_attention=(0.5, 1), feed_forward=(0.5, 1))
    supernet, subnet = _supernet(family, _stock(config, kind)), family.uniform(0.5)
    subnet = family.space.subnet({**subnet, "transformer_blocks.1.kept": False})
    masked = _stock(config, kind)
    heads, size, wide = config["num_attention_heads"], config["attention_head_dim"], None
    with torch.no_grad():
        for index, block in enumerate(masked.transformer_blocks):
            for attention in (block.attn1, block.attn2):
                if attention is not None:
                    which = "attn1" if attention is block.attn1 else "attn2"
                    kept = subnet.get(f"transformer_blocks.{index}.{which}.heads", heads)
                    attention.to_out[0].weight[:, kept * size :] = 0
            wide = subnet.get(f"transformer_blocks.{index}.ff.width", 0)
            block.ff.net[2].weight[:, wide:] = 0
        # A block that is left out adds nothing.
        block = masked.transformer_blocks[1]
        for layer in (
            block.attn1.to_out[0],
            block.ff.net[2],
            *([block.attn2.to_out[0]] if block.attn2 else []),
        ):
            layer.weight.zero_()
            layer.bias.zero_()
    inputs = family.example_input(subnet, 2)
    expected = _run(masked, inputs)
    with torch.no_grad():
        given = supernet(inputs, subnet)
    assert (given - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))
    assert not torch.allclose(given, _run(_stock(config, kind), inputs), rtol=1e-3)


def _roundtrip(family: DiffusionTransformer, supernet: Supernet, subnet: Subnet, folder: Path) -> Any:
    model = to_diffusers(family, subnet, supernet.extract(subnet))
    model.save_pretrained(folder)
    loaded = type(model).from_pretrained(folder)
    inputs = family.example_input(subnet, 2)
    with torch.no_grad():
        expected = supernet(inputs, subnet)
    np.testing.assert_allclose(
        _run(loaded, inputs), expected, rtol=0, atol=1e-6 * float(expected.abs().max())
    )
    return loaded


@pytest.mark.parametrize("name", CONFIGS)
def test_subnets_are_models_of_diffusers(name: str, tmp_path: Path) -> None:
    config, kind = CONFIGS[name]
    family = diffusion_transformer(config, tokens=5, sampling={"steps": [4, 8]})
    supernet = _supernet(family, _stock(config, kind))
    shallow = family.uniform(1, **{"transformer_blocks.1.kept": False})
    loaded = _roundtrip(family, supernet, shallow, tmp_path / "shallow")
    assert type(loaded) is kind
    assert loaded.config["num_layers"] == 2
    for number, subnet in enumerate((family.space.smallest(), family.space.sample(np.random.default_rng(0)))):
        assert native_config(family, subnet) is None
        loaded = _roundtrip(family, supernet, subnet, tmp_path / str(number))
        assert type(loaded).__name__ == f"Subnet{kind.__name__}"
        choices = json.loads((tmp_path / str(number) / "config.json").read_text())["subnet"]["choices"]
        assert choices == dict(subnet)


def test_the_first_block_stays_and_unknown_networks_are_refused() -> None:
    family = diffusion_transformer(DIT)
    assert "transformer_blocks.0.kept" not in family.space
    assert family.space["transformer_blocks.1.kept"].choices == (False, True)
    with pytest.raises(UsageError, match="UNet2DModel"):
        diffusion_transformer({"_class_name": "UNet2DModel"})
    with pytest.raises(UsageError, match="self_attention"):
        diffusion_transformer(DIT, self_attention=(0,))
