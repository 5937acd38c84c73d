"""FID and KID in the features of Inception v3 by torch-fidelity, where the package and its weights can be had.

These are the figures that papers report. Without the weights there is the kernel distance in the features of our own
classifier (`nas measure --quality kid`), another figure under another name.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gan_compress.stylegan2.generate import latents, load_generator, to_pixels
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import NasError, UsageError, how_to_install
from nas.models import Model
from nas.models.plain import read_plain
from nas.space import Subnet

EXTRACTOR = "inception-v3-compat"
_BATCH = 50
_INSTEAD = "or use `nas measure --quality kid`, whose features come with the package"


@dataclass(frozen=True)
class Fidelity:
    """FID (Heusel et al. 2017) and KID (Bińkowski et al. 2018) × 1000 of generated images against real ones."""

    fid: float
    kid: float
    generated: int
    real: int
    features: str


class _Pixels(Dataset):
    """Images, uint8 (n, 3, height, width), as torch-fidelity reads them."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        return self._images[index]


@torch.no_grad()
def measure_fidelity(
    model: Model,
    subnet: Subnet,
    data: Data,
    *,
    count: int = 10_000,
    weights: str | Path | None = None,
    extractor: str = EXTRACTOR,
) -> Fidelity:
    """Return FID and KID of `count` images of `subnet` against the training images of `data`.

    `weights` is Inception's file where it cannot be downloaded; it is read without executing anything in it. Raises
    `UsageError` without torch-fidelity, `NasError` when the weights cannot be had.
    """
    package = _package()
    options = {"feature_extractor_weights_path": None if weights is None else str(weights)}
    if weights is not None:
        read_plain(weights, "--weights", "Inception's weights as torch-fidelity has them")
    with _explained(extractor):  # before the minutes that the images take
        package.open_extractor(extractor, options)
    network = load_generator(model, subnet)
    inputs = latents(model, range(count))
    made = [to_pixels(model, network(part)) for part in inputs.split(_BATCH)]
    fake = torch.cat([torch.from_numpy(part) for part in made]).permute(0, 3, 1, 2).contiguous()
    real = real_images(data, fake.shape[-1]).pixels
    subset = min(1000, len(fake), len(real))
    with _explained(extractor):
        found: dict[str, Any] = package.calculate_metrics(
            input1=_Pixels(fake), input2=_Pixels(real), fid=True, kid=True, kid_subset_size=subset,
            feature_extractor=extractor, cuda=False, verbose=False, cache=False, save_cpu_ram=True, **options,
        )  # fmt: skip
    return Fidelity(
        float(found["frechet_inception_distance"]),
        1000 * float(found["kernel_inception_distance_mean"]),
        len(fake),
        len(real),
        extractor,
    )


@contextlib.contextmanager
def _explained(extractor: str) -> Iterator[None]:
    """Turn what torch-fidelity raises into one sentence."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except OSError as error:
        raise NasError(
            f"the weights of {extractor} cannot be had ({error}); give their file with --weights, {_INSTEAD}"
        ) from error
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise NasError(
            f"torch-fidelity stopped ({reason}); if --weights was given, it must be the file of {extractor}"
        ) from error


def _package() -> Any:
    try:
        import torch_fidelity
        import torch_fidelity.registry
        import torch_fidelity.utils
    except ImportError as error:
        raise UsageError(
            f"torch-fidelity is not installed; {how_to_install('fidelity')}, {_INSTEAD}"
        ) from error

    def open_extractor(name: str, options: Mapping[str, Any]) -> None:
        kind = torch_fidelity.registry.FEATURE_EXTRACTORS_REGISTRY[name]
        layers = [kind.get_default_feature_layer_for_metric("fid")]
        torch_fidelity.utils.create_feature_extractor(name, layers, cuda=False, verbose=False, **options)

    return SimpleNamespace(calculate_metrics=torch_fidelity.calculate_metrics, open_extractor=open_extractor)
