"""Token merging: what is merged, that nothing else changes, and that every program and file carries it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from diffusion.denoisers.merging import MergedAttention, choices_for, match_tokens
from diffusion.denoisers.native_config import native_config
from diffusion.denoisers.subnets import SubnetUNet2DConditionModel, to_diffusers
from diffusion.denoisers.unet import diffusion_unet
from diffusion.pipeline.family import PipelineFamily
from nas.elastic import Supernet, call
from nas.errors import UsageError
from nas.families import get_family
from nas.latency.runtimes.onnx import to_onnx
from tests.conformance.diffusion import SD2, SDXL, UNCONDITIONAL
from tests.diffusion.tiny import UNET, options


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_equal_tokens_are_merged_without_a_loss() -> None:
    """Of an image of 2 × 2 equal tokens three of four are merged, and attention is what it was."""
    torch.manual_seed(0)
    attention: Any = Attention(8, heads=2, dim_head=4)
    x = noise(2, 8, 4, 6).repeat_interleave(2, 2).repeat_interleave(2, 3).flatten(2).transpose(1, 2)
    wanted = attention(x)
    matching = match_tokens(x, 0.75, aspect=8 / 12)
    assert matching.kept == 24 and torch.allclose(matching.spread(matching.merge(x)), x, atol=1e-6)
    attention.set_processor(MergedAttention(attention.processor, 0.75, aspect=8 / 12))
    torch.testing.assert_close(attention(x), wanted)


def test_the_most_alike_are_averaged_and_the_others_stay() -> None:
    x = noise(1, 16, 8)
    x[0, 5] = x[0, 2] * 1.5  # of one direction: cosine similarity 1
    x[0, 15] = x[0, 10]
    matching = match_tokens(x, 0.125)
    assert matching.kept == 14
    merged = matching.spread(matching.merge(x))
    torch.testing.assert_close(merged[0, 5], (x[0, 5] + x[0, 2]) / 2)
    changed = (merged != x).any(-1)[0].nonzero().flatten().tolist()
    assert set(changed) <= {2, 5, 10, 15} and {2, 5} <= {*changed}


def test_a_batch_is_merged_row_by_row() -> None:
    x = noise(3, 35, 8)  # no image of equal sides: a row of tokens
    whole = match_tokens(x, 0.5)
    for row in range(3):
        alone = match_tokens(x[row : row + 1], 0.5)
        assert torch.equal(alone.places[0], whole.places[row])
        assert torch.equal(alone.merge(x[row : row + 1])[0], whole.merge(x)[row])


def test_only_the_outer_self_attentions_merge_and_no_weight_is_touched() -> None:
    family = diffusion_unet(SD2, tokens=5, merge=(0.5, 0.0))
    full = family.space.largest()
    merged = family.space.subnet({**full, "merge": 0.5})
    plain, network = family.build(full), family.build(merged)
    assert full["merge"] == 0.0 and plain.state_dict().keys() == network.state_dict().keys()
    paths = {
        n for n, m in network.named_modules() if isinstance(getattr(m, "processor", None), MergedAttention)
    }
    assert paths and all(path.startswith(("down_blocks.0.", "up_blocks.1.")) for path in paths)
    assert all(path.endswith("attn1") for path in paths)
    supernet = Supernet(family).eval()
    inputs = family.example_input(merged, 2)
    assert not torch.equal(supernet(inputs, merged), supernet(inputs, full))
    assert supernet.count(merged).macs < supernet.count(full).macs
    assert supernet.count(merged).params == supernet.count(full).params


def test_a_program_in_onnx_merges_as_torch_does(tmp_path: Path) -> None:
    import onnxruntime

    config = {**UNET, "sample_size": 16}
    family = diffusion_unet(config, tokens=8, merge=(0.5, 0.0))
    subnet = family.space.subnet({**family.space.largest(), "merge": 0.5})
    network = Supernet(family).eval().extract(subnet).eval()
    to_onnx(network, family.example_input(subnet), tmp_path / "unet.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "unet.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        inputs = family.example_input(subnet, batch)
        wanted = call(network, inputs).numpy()
        (given,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
        assert np.abs(np.asarray(given) - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_diffusers_loads_it_with_the_subclass(tmp_path: Path) -> None:
    family = diffusion_unet(UNET, tokens=8, merge=(0.5, 0.0))
    subnet = family.space.subnet({**family.space.largest(), "merge": 0.5})
    assert native_config(family, family.space.largest()) is not None and native_config(family, subnet) is None
    network = Supernet(family).eval().extract(subnet)
    saved: Any = to_diffusers(family, subnet, network)
    saved.save_pretrained(tmp_path / "unet")
    loaded: Any = SubnetUNet2DConditionModel.from_pretrained(tmp_path / "unet")
    inputs = family.example_input(subnet, 2)
    assert torch.equal(loaded(**inputs).sample, call(network, inputs))
    stock: Any = UNet2DConditionModel.from_config(UNET)
    stock.load_state_dict(network.state_dict())
    assert not torch.equal(stock(**inputs).sample, call(network, inputs))


def test_it_is_offered_unasked_where_tokens_are_many() -> None:
    assert choices_for(UNET) == (0.0,) and choices_for({**UNET, "sample_size": 16}) == (0.5, 0.25, 0.0)
    assert choices_for({**SDXL, "sample_size": 16}) == (0.0,)  # its outermost attentions are at 8 × 8
    assert choices_for(UNCONDITIONAL) == (0.0,)
    small = get_family("diffusion", **options())
    large = get_family(
        "diffusion", **options(unet={**options()["unet"], "config": {**UNET, "sample_size": 16}})
    )
    assert isinstance(large, PipelineFamily)
    assert "merge" not in small.space and large.space["merge"].choices == (0.5, 0.25, 0.0)
    assert all("merge" in large.programs[name].dimensions for name in ("unet", "unet_shallow"))
    assert not any("merge" in large.programs[name].dimensions for name in ("text_encoder", "vae_decoder"))
    again = get_family("diffusion", **large.options)
    assert again.space.digest == large.space.digest


@pytest.mark.parametrize("shares", [(), (0.9, 0.0), (0.5,), (0.5, 0.25), ("half", 0.0)])
def test_shares_that_cannot_be_are_told(shares: Any) -> None:
    with pytest.raises(UsageError, match="merge is .* but must be shares of tokens"):
        diffusion_unet(UNET, merge=shares)


def test_a_unet_without_self_attention_is_told() -> None:
    with pytest.raises(UsageError, match="no self-attention to merge"):
        diffusion_unet(UNCONDITIONAL, merge=(0.5, 0.0))
