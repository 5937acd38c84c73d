"""Networks of timm: "timm:NAME" or "timm:NAME.TAG", the tag naming one of several published weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import nn

from nas.errors import UsageError
from nas.models import Preprocessing
from nas.models.sources.hub import published
from nas.models.sources.inputs import image_input, seeded
from nas.models.sources.network import RANDOM, NetworkSource, Request, SourceNetwork
from nas.models.sources.weights import load_weights


class TimmSource(NetworkSource):
    """Models that `timm.create_model` makes."""

    def open(self, place: str, request: Request) -> SourceNetwork:
        import timm

        _require(place)
        where = "published"
        if request.weights is None:
            module = published(lambda: timm.create_model(place, pretrained=True), f"timm:{place}")
        else:
            module, where = seeded(lambda: timm.create_model(place)), RANDOM
        if request.weights not in (None, RANDOM):
            where = f"{request.weights}, {load_weights(module, request.weights)}"
        config: Any = module.pretrained_cfg
        preprocessing = _preprocessing(module)
        height, width = preprocessing.size
        tag = config.get("tag")
        name = place if not tag or place.endswith(f".{tag}") or request.weights else f"{place}.{tag}"
        return SourceNetwork(
            name, module, image_input(request, height, width, config.get("input_size", (3,))[0]),
            {"kind": "timm", "place": place}, preprocessing, _classes(module), str(config.get("license") or ""), where,
        )  # fmt: skip

    def template(self, recipe: Mapping[str, Any]) -> nn.Module:
        import timm

        _require(recipe["place"])
        return timm.create_model(recipe["place"]).eval()


def _require(place: str) -> None:
    """Raise `UsageError` for a name or tag that timm does not know."""
    import timm

    name, _, tag = place.partition(".")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`timm.list_models()` shows all"
        raise UsageError(f"timm {timm.__version__} has no model {name!r}; {hint}")
    tags = [each.partition(".")[2] for each in timm.list_models(f"{name}.*", pretrained=True)]
    if tag and tag not in tags:
        raise UsageError(f"timm has no weights {tag!r} of {name}; choose from {', '.join(tags) or 'none'}")


def _preprocessing(module: nn.Module) -> Preprocessing:
    from timm.data.config import resolve_data_config

    config = resolve_data_config(model=module)
    height, width = config["input_size"][-2:]
    smooth = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    crop = float(config["crop_pct"])
    return Preprocessing(tuple(config["mean"]), tuple(config["std"]), (height, width), smooth, crop)


def _classes(module: Any) -> tuple[str, ...]:
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count = int(getattr(module, "num_classes", 0) or 0)
    subset = infer_imagenet_subset(module) if count else None
    if subset is None:
        return tuple(map(str, range(count)))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(count))
