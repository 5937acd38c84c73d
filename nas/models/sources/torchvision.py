"""Networks of torchvision: "torchvision:NAME" or "torchvision:NAME.WEIGHTS", such as resnet50.IMAGENET1K_V1."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from nas.errors import UsageError
from nas.models import Preprocessing
from nas.models.sources.hub import published
from nas.models.sources.inputs import image_input, seeded
from nas.models.sources.network import RANDOM, NetworkSource, Request, SourceNetwork
from nas.models.sources.weights import load_weights


class TorchvisionSource(NetworkSource):
    """Models that `torchvision.models.get_model` makes."""

    def open(self, place: str, request: Request) -> SourceNetwork:
        from torchvision.models import get_model

        weights = _weights(place)
        name = place.partition(".")[0]
        where = "published"
        if request.weights is None:
            make = partial(get_model, name, weights=weights, progress=False)
            module = published(make, f"torchvision:{place}")
        else:
            module, where = seeded(lambda: _untrained(name)), RANDOM
        if request.weights not in (None, RANDOM):
            where = f"{request.weights}, {load_weights(module, request.weights)}"
        preprocessing = _preprocessing(weights)
        height, width = preprocessing.size if preprocessing else (224, 224)
        classes = tuple(weights.meta.get("categories", ()))
        return SourceNetwork(
            name if request.weights else f"{name}.{weights.name}", module, image_input(request, height, width),
            {"kind": "torchvision", "place": name}, preprocessing, classes, weights.meta.get("license", ""), where,
        )  # fmt: skip

    def template(self, recipe: Mapping[str, Any]) -> nn.Module:
        return _untrained(recipe["place"]).eval()


def _untrained(name: str) -> nn.Module:
    """Return a network whose backbone is not fetched either."""
    from torchvision.models import get_model, get_model_builder

    own = inspect.signature(get_model_builder(name)).parameters
    return get_model(name, weights=None, **({"weights_backbone": None} if "weights_backbone" in own else {}))


def _weights(place: str) -> Any:
    """Return the published weights of a name, the newest where it names none; raises `UsageError`."""
    import torchvision
    from torchvision.models import get_model_weights, list_models

    name, _, tag = place.partition(".")
    if name not in list_models():
        near = difflib.get_close_matches(name, list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`torchvision.models.list_models()` shows all"
        raise UsageError(f"torchvision {torchvision.__version__} has no model {name!r}; {hint}")
    known: Any = get_model_weights(name)
    if not tag:
        return known.DEFAULT
    if tag not in known.__members__:
        raise UsageError(
            f"torchvision has no weights {tag!r} of {name}; choose from {', '.join(known.__members__)}"
        )
    return known[tag]


def _preprocessing(weights: Any) -> Preprocessing | None:
    told = weights.transforms()
    if not hasattr(told, "mean"):
        return None
    resized = getattr(told, "resize_size", None) or [224]
    cropped = getattr(told, "crop_size", None) or resized
    height, width = cropped if len(cropped) == 2 else cropped * 2
    smooth = "bicubic" if "bicubic" in str(told.interpolation).lower() else "bilinear"
    return Preprocessing(tuple(told.mean), tuple(told.std), (height, width), smooth, cropped[0] / resized[0])
