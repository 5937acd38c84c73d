"""Figures in named feature spaces: ours always, CLIP score, LPIPS and FID where their weights are."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from diffusion.evaluation.metrics import open_clip, open_fid, open_lpips, pair_distance, set_distances
from nas.errors import NasError, UsageError
from nas.metrics.features import fid

pytest.importorskip("torchmetrics", reason="the extra 'metrics' is not installed")


def pictures(seed: int, count: int = 8, shift: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 200, (count, 32, 32, 3))
    return (noise + shift).astype(np.uint8)


def test_our_own_features_need_nothing() -> None:
    same, far = pictures(0), pictures(1, shift=50)
    near = pair_distance(same, same, "itself")
    assert near.value == pytest.approx(0, abs=1e-6) and near.features == "mbv3-cifar10 features"
    assert pair_distance(same, far, "far").value > 0.01
    found = {figure.name: figure for figure in set_distances(same, far, "far")}
    assert found["Fréchet distance"].value > 0 and found["kernel distance × 1000"].value > 0
    assert {figure.against for figure in found.values()} == {"far"}
    with pytest.raises(UsageError, match="two images or more"):
        set_distances(same[:1], far, "far")


class Quarters(nn.Module):
    """Colours of the four quarters as features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1) / 255


def test_fid_is_that_of_the_definition() -> None:
    made, real = pictures(0, 60), pictures(1, 60, shift=30)
    features = [Quarters()(torch.from_numpy(x).permute(0, 3, 1, 2)) for x in (made, real)]
    figure = open_fid("", Quarters())(made, real, "real images")
    assert figure.value == pytest.approx(fid(features[0], features[1]), rel=1e-2)
    assert (figure.name, figure.features, figure.images) == ("FID", "Quarters features", 60)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of AlexNet's convolutions, drawn at random, in torchvision's form."""
    import torchvision

    torch.manual_seed(0)
    features = torchvision.models.AlexNet().features
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({f"features.{name}": tensor for name, tensor in features.state_dict().items()}, path)
    return path


def test_lpips_is_made_of_the_given_weights(alexnet: Path, tmp_path: Path) -> None:
    made, other = (
        np.repeat(np.repeat(pictures(0, 3), 2, 1), 2, 2),
        np.repeat(np.repeat(pictures(1, 3), 2, 1), 2, 2),
    )
    distance = open_lpips(str(alexnet))
    assert distance(made, made, "itself").value == pytest.approx(0, abs=1e-6)
    found = distance(made, other, "other")
    assert found.value > 1e-4 and found.features == "AlexNet features"
    state = torch.load(alexnet, weights_only=True)
    torch.save({name: tensor * 2 for name, tensor in state.items()}, tmp_path / "other.pth")
    assert open_lpips(str(tmp_path / "other.pth"))(made, other, "other").value != found.value
    torch.save({name: x for name, x in state.items() if "features.10." not in name}, tmp_path / "cut.pth")
    with pytest.raises(NasError, match=r"lacks the layer features\.10"):
        open_lpips(str(tmp_path / "cut.pth"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of random weights, as transformers saves it."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    from diffusion.pipeline.parts.tokenizer import make_tokenizer

    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    tokenizer = make_tokenizer(["a photo of a ship", "a photo of a cat"], 12)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 12,
        "eos_token_id": tokenizer.eos_token_id,
    }
    parts: dict[str, Any] = {
        "text_config": {**small, **words, "bos_token_id": 0, "pad_token_id": tokenizer.pad_token_id},
        "vision_config": {**small, "image_size": 32, "patch_size": 16},
        "projection_dim": 8,
    }
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(**parts)).save_pretrained(folder)
    square = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def test_clip_score_is_the_cosine_of_image_and_prompt(clip: Path) -> None:
    from transformers import CLIPModel, CLIPProcessor

    made, prompts = pictures(0, 3), ["a photo of a ship", "a photo of a cat", "a ship"]
    found = open_clip(str(clip))(made, prompts)
    model: Any = CLIPModel.from_pretrained(clip)
    processor: Any = CLIPProcessor.from_pretrained(clip)
    given = processor(text=prompts, images=[*made], return_tensors="pt", padding=True)
    with torch.no_grad():
        out = model(**given)
    cosine = (
        (out.image_embeds * out.text_embeds).sum(-1)
        / out.image_embeds.norm(dim=-1)
        / out.text_embeds.norm(dim=-1)
    )
    assert found.value == pytest.approx(max(0.0, float(100 * cosine.mean())), abs=0.05)
    assert found.features == "tiny-clip features" and found.higher_is_better


def test_absent_weights_cost_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(NasError, match="the CLIP model .* is not on this machine"):
        open_clip(str(tmp_path / "none"))
    for opening, option in ((open_lpips, "--lpips"), (open_fid, "--inception")):
        with pytest.raises(NasError, match=f"{option} cache asks for .* not downloaded here"):
            opening("cache")
        with pytest.raises(UsageError, match=f"{option} .*none.pth does not exist"):
            opening(str(tmp_path / "none.pth"))


def test_no_file_is_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    for opening in (open_lpips, open_fid):
        with pytest.raises(NasError, match="no file of plain tensors"):
            opening(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UsageError, match=r"torchmetrics is not installed; .*pip install 'anyfit\[metrics\]'"):
        open_fid("cache")
