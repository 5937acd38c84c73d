"""FID and KID by torch-fidelity: its own computation, on a small stand-in for Inception."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_compress.stylegan2.fidelity import measure_fidelity
from nas.data.dataset import open_data
from nas.errors import NasError, UsageError
from nas.models import Model

torch_fidelity = pytest.importorskip("torch_fidelity", reason="the extra 'fidelity' is not installed")


@pytest.fixture(scope="module")
def extractor() -> str:
    """Colours of the four quarters as features."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Quarters(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("quarters",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "quarters"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> None:
            return None

        def forward(self, input: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.nn.functional.adaptive_avg_pool2d(input.float(), 2).flatten(1) / 255,)

    torch_fidelity.register_feature_extractor("quarters", Quarters)
    return "quarters"


def test_figures_are_those_of_the_definition(tiny: Model, extractor: str) -> None:
    found = measure_fidelity(tiny, tiny.space.largest(), open_data("digits"), count=300, extractor=extractor)
    from gan_compress.stylegan2.generate import latents, load_generator, to_pixels
    from nas.data.images import real_images
    from nas.metrics.features import fid

    made = to_pixels(tiny, load_generator(tiny, tiny.space.largest())(latents(tiny, range(300))))
    images = (torch.from_numpy(made).permute(0, 3, 1, 2), real_images(open_data("digits"), 16).pixels)
    features = [torch.nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1) / 255 for x in images]
    assert found.fid == pytest.approx(fid(features[0], features[1]), rel=1e-3)
    assert found.kid > 0
    assert (found.generated, found.features) == (300, "quarters")


def test_missing_weights_cost_a_sentence(
    tiny: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", unreachable)
    monkeypatch.setattr(
        "gan_compress.stylegan2.fidelity.latents", lambda *_: pytest.fail("images were made in vain")
    )
    with pytest.raises(NasError, match="cannot be had .*no route to host.*--weights"):
        measure_fidelity(tiny, tiny.space.largest(), open_data("digits"), count=4)
    with pytest.raises(UsageError, match="does not exist"):
        measure_fidelity(
            tiny, tiny.space.largest(), open_data("digits"), count=4, weights=tmp_path / "none.pth"
        )


def test_weights_are_never_unpickled(tiny: Model, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(NasError, match="no file of plain tensors"):
        measure_fidelity(
            tiny, tiny.space.largest(), open_data("digits"), count=4, weights=tmp_path / "evil.pth"
        )
    assert not (tmp_path / "ran").exists()


def test_without_the_package_the_extra_is_named(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch_fidelity":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"anyfit\[fidelity\]"):
        measure_fidelity(tiny, tiny.space.largest(), open_data("digits"), count=4)
