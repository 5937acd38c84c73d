"""Distances between images and between sets of images in the features of one of our own classifiers.

They are no LPIPS and no Inception FID, and are never called so: the classifier's name belongs to every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import UsageError
from nas.metrics.accuracy import fold_batch_norm
from nas.models import load_model

DEFAULT = "mbv3-cifar10"
_BATCH = 250


class FeatureSpace(nn.Module):
    """The largest network of a classifier supernet, its features at every resolution and before the last layer."""

    def __init__(self, classifier: str = DEFAULT) -> None:
        super().__init__()
        model = load_model(classifier)
        if model.task.name != "classification" or len(model.mean) != 3:
            raise UsageError(f"{classifier} is no classifier of colour images; name one for the features")
        self.name = model.name
        self.size = model.image_size
        network = model.extract(model.space.largest())
        fold_batch_norm(network)
        self.network = network.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(model.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(model.std).view(1, 3, 1, 1), persistent=False)

    def _children(self) -> list[tuple[str, nn.Module]]:
        children = []
        for name, child in self.network.named_children():
            children += [*child.named_children()] if name == "stages" else [(name, child)]
        return children

    def _input(self, images: Tensor) -> Tensor:
        x = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        if tuple(x.shape[-2:]) != self.size:
            x = F.interpolate(x, size=self.size, mode="bilinear", antialias=True, align_corners=False)
        x = (x.clamp(-1, 1) + 1) / 2
        return ((x - self.get_buffer("mean")) / self.get_buffer("std")).contiguous(
            memory_format=torch.channels_last
        )

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return the features (b, c, h, w) of images in [-1, 1] after the last block of every resolution."""
        x, outputs = self._input(images), []
        for _, child in self._children():
            x = child(x)
            if x.ndim < 4 or x.shape[-1] == 1:
                break
            outputs.append(x)
        last = [a for a, b in pairwise(outputs) if a.shape[-1] != b.shape[-1]]
        return [*last, outputs[-1]]

    def vectors(self, images: Tensor) -> Tensor:
        """Return (n, d): what the last layer of the classifier would see of images in [-1, 1]."""
        found = []
        for batch in images.split(_BATCH):
            x = self._input(batch)
            for _, child in self._children()[:-1]:
                x = child(x)
            found.append(x)
        return torch.cat(found)

    def units(self, images: Tensor) -> list[Tensor]:
        """Return the features of `pyramid`, those of each pixel scaled to length one: what distances are between."""
        return [F.normalize(layer, dim=1, eps=1e-6) for layer in self.pyramid(images)]

    def distances(self, first: Tensor, second: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the distance (b,) of pairs of images: the form of LPIPS (Zhang et al. 2018) without its weights.

        At every resolution the features of each pixel are scaled to length one, their squared difference is averaged
        over pixels, and the resolutions are averaged. In the place of the second images their `units` will do, so that
        images to which many others are compared go through the network once.
        """
        known = self.units(second) if isinstance(second, Tensor) else second
        pairs = zip(self.units(first), known, strict=True)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).mean(0)


@cache
def feature_space(classifier: str = DEFAULT) -> FeatureSpace:
    """Return the feature space of a classifier, loaded once."""
    with torch.inference_mode(False):  # its buffers serve gradients too
        return FeatureSpace(classifier).eval()


def kid(first_nd: Tensor, second_nd: Tensor) -> float:
    """Return the kernel distance of two sets of features (Bińkowski et al. 2018): 0 for one distribution, unbiased.

    The squared maximum mean discrepancy under the polynomial kernel (x·y / d + 1)³, over all pairs.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    x, y = first_nd.double(), second_nd.double()
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise UsageError(
            f"a kernel distance needs two images or more on each side, not {min(n, m)}; give more"
        )
    within_x, within_y = kernel(x, x), kernel(y, y)
    inner = (within_x.sum() - within_x.diagonal().sum()) / (n * (n - 1))
    outer = (within_y.sum() - within_y.diagonal().sum()) / (m * (m - 1))
    return float(inner + outer - 2 * kernel(x, y).mean())


def fid(first_nd: Tensor, second_nd: Tensor) -> float:
    """Return the Fréchet distance of two sets of features (Heusel et al. 2017), each taken as a normal distribution."""
    x, y = first_nd.double(), second_nd.double()
    if min(len(x), len(y)) < 2:
        raise UsageError(
            f"a Fréchet distance needs two images or more on each side, not {min(len(x), len(y))}; give more"
        )
    means, covariances = (x.mean(0), y.mean(0)), (torch.cov(x.T), torch.cov(y.T))
    # The root of a product of two covariances has the trace of that of a symmetric matrix, which is stable.
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    roots = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    shift = (means[0] - means[1]).square().sum()
    return float(shift + covariances[0].trace() + covariances[1].trace() - 2 * roots)
