"""Networks of transformers: "transformers:FOLDER", or "transformers:ID" of the hub; their own code is never run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from nas.elastic import Inputs
from nas.errors import NasError, UsageError, how_to_install
from nas.models import Preprocessing
from nas.models.sources.hub import published
from nas.models.sources.inputs import given_inputs, noise, seeded
from nas.models.sources.network import RANDOM, NetworkSource, Request, SourceNetwork
from nas.models.sources.weights import load_weights

TOKENS = 128
"""The length of an example text, in tokens, where the model takes so many."""


class TransformersSource(NetworkSource):
    """Models that `save_pretrained` of transformers writes."""

    def open(self, place: str, request: Request) -> SourceNetwork:
        with _quiet():
            config = _config(place)
            kind = _class(config, place)
            where = RANDOM
            if request.weights is None:
                options: dict[str, Any] = {"trust_remote_code": False, "dtype": "float32"}
                module = published(lambda: kind.from_pretrained(place, **options), f"transformers:{place}")
                where = "published"
            else:
                module = seeded(lambda: kind._from_config(config))
        if request.weights not in (None, RANDOM):
            where = f"{request.weights}, {load_weights(module, request.weights)}"
        given, preprocessing = given_inputs(request.inputs), _preprocessing(place, config)
        labels = getattr(config, "id2label", None) or {}
        return SourceNetwork(
            Path(place).name, module, _example(module, config) if given is None else given,
            {"kind": "transformers", "class": kind.__name__, "config": json.loads(config.to_json_string())},
            preprocessing, tuple(str(labels[index]) for index in sorted(labels)), "", where,
        )  # fmt: skip

    def template(self, recipe: Mapping[str, Any]) -> nn.Module:
        transformers = _library()
        kind = getattr(transformers, recipe["class"])
        with _quiet():
            return kind._from_config(kind.config_class.from_dict(dict(recipe["config"]))).eval()


def _library() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise NasError(f"transformers is not installed; {how_to_install('transformers')}") from error
    return transformers


@contextmanager
def _quiet() -> Iterator[None]:
    logging = _library().utils.logging
    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


def _config(place: str) -> Any:
    transformers = _library()
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
        raise UsageError(
            f"{place} is no model of transformers: it has no config.json; give a folder that `save_pretrained` wrote"
        )
    read = transformers.AutoConfig.from_pretrained
    config = published(lambda: read(place, trust_remote_code=False), f"transformers:{place}")
    config.return_dict, config.use_cache = True, False
    return config


def _class(config: Any, place: str) -> Any:
    """Return the class that the weights are of; raises `UsageError` where it is code that comes with them."""
    transformers = _library()
    for name in config.architectures or ():
        if (kind := getattr(transformers, name, None)) is not None:
            return kind
    if config.architectures:
        raise UsageError(
            f"{place} is a {config.architectures[0]}, which transformers {transformers.__version__} has not, and code "
            "that comes with weights is not run; write a function that makes it and give FILE.py:FUNCTION"
        )
    return transformers.AutoModel._model_mapping[type(config)]


def _example(module: Any, config: Any) -> Inputs:
    """Return inputs for the model's main argument: a picture, or tokens of which none is padding."""
    import torch

    if module.main_input_name == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        return {"pixel_values": noise((1, getattr(vision, "num_channels", 3), height, width))}
    if module.main_input_name != "input_ids":
        raise UsageError(
            f"{type(module).__name__} takes {module.main_input_name}, for which there is no example; give its shape "
            f"with --input {module.main_input_name}=1x…"
        )
    count = min(TOKENS, getattr(config, "max_position_embeddings", TOKENS) or TOKENS)
    ids = torch.randint(config.vocab_size, (1, count), generator=torch.Generator().manual_seed(0))
    if (padding := getattr(config, "pad_token_id", None)) is not None:
        ids[ids == padding] = (padding + 1) % config.vocab_size
    second = [*inspect.signature(module.forward).parameters][1:2]
    # Where another argument comes first, a model without padding needs no mask.
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)} if second == ["attention_mask"] else ids


def _preprocessing(place: str, config: Any) -> Preprocessing | None:
    """Read how pictures are prepared from a folder's preprocessor_config.json; None without one."""
    file = Path(place) / "preprocessor_config.json"
    if not file.is_file():
        return None
    told = json.loads(file.read_text(encoding="utf-8"))
    size = told.get("crop_size") or told.get("size") or {}
    size = {"height": size, "width": size} if isinstance(size, int) else size
    edge = size.get("shortest_edge", getattr(config, "image_size", 224))
    smooth = "bicubic" if told.get("resample") == 3 else "bilinear"
    mean, std = told.get("image_mean") or [0.5] * 3, told.get("image_std") or [0.5] * 3
    return Preprocessing(tuple(mean), tuple(std), (size.get("height", edge), size.get("width", edge)), smooth)
