"""Adopting: any network becomes a supernet of its own subnets, proved, measured, and saved as a model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas import __version__
from nas.api.data import AnyData, opened
from nas.api.model import Model
from nas.api.verbs.adoption import REPORT, Adoption, read_report
from nas.compress import REPAIRED, Importance, get_importance
from nas.data import Data
from nas.derive import derive
from nas.elastic import Supernet, call, channels_last, named_inputs
from nas.errors import NasError, UsageError
from nas.files import cache_folder
from nas.latency import Measurement, Workload, default_runtime, get_runtime, measure_subnets
from nas.metrics.accuracy import pictures
from nas.models import Calibration, load_model, save_model
from nas.models.sources import (
    Request,
    SourceNetwork,
    by_place,
    network_of,
    open_network,
    remember,
    tensor_of,
    weights_digest,
)
from nas.models.sources.adopted import adopted_family
from nas.progress import Listener, Progress, as_progress
from nas.train.calibration.dead_leaves import dead_leaves
from nas.train.calibration.distil import with_statistics

_IMAGES, _WORK = (64, 256), 60e9  # calibration images: so many as take this many MACs, within bounds
_SAME = 1e-4  # of the largest output: what sorting and another memory format may change
_LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "transformers": "transformers"}


def adopt_model(
    network: str,
    output: str | Path | None = None,
    *,
    weights: str | None = None,
    inputs: Mapping[str, str] | None = None,
    output_key: str | int | None = None,
    elastic: Sequence[str] = (),
    resolutions: Sequence[int] = (),
    widths: Sequence[float] = (),
    data: AnyData | None = None,
    importance: Importance | str = "l1",
    measured: bool = True,
    runtime: str | None = None,
    threads: int = 1,
    progress: Listener | None = None,
) -> Adoption:
    """Make a supernet of a network: its subnets are itself at smaller sizes, with slices of its weights.

    Args:
        network: "timm:NAME[.TAG]", "torchvision:NAME[.WEIGHTS]", "transformers:FOLDER|ID", "FILE.py:NAME".
        output: A new folder; None for one in the cache, which is used again for the same network and weights.
        weights: A file, or "random" where only latency counts; None for those that are published.
        inputs: Shapes of inputs by the name of the argument, or under "" for the only one: {"": "1x3x160x160"}.
        output_key: Which output counts where there are several: a key, an attribute or a place.
        elastic: Kinds of dimensions beside widths, heads and depth: "stream", "head_size", "kernel", "bits".
        resolutions: Heights and widths of the picture that are offered, in pixels, such as (128, 160, 192, 224); by
            default its own alone.
        widths: Shares of full lengths that widths and numbers of heads are offered in, beside the whole; () for
            0.25, 0.5 and 0.75.
        data: Images, of which no labels are used: statistics and the agreement are found on them, and layers
            that read a pruned axis are repaired on them. None takes dead leaves, and repairs nothing.
        importance: By which entries are sorted: a name of `nas.compress.IMPORTANCES`, or an object.
        measured: Whether the latency of the smallest and the largest subnet is measured.
        runtime: What measures it; None for this machine's default.
        threads: That run the network.
        progress: Hears stages and steps.

    Returns:
        The folder, the report, the latencies; its `model()` is the supernet.

    Raises:
        UsageError: There is no such network, something has to be said of it, or the folder exists.
        NasError: Its weights cannot be had, or it cannot be traced.

    Example:
        nas.api.adopt_model("timm:resnet18", "models/resnet18").model().search(latency="10ms")
    """
    _require_new(output)
    hear = as_progress(progress)
    hear(f"opening {network}")
    found = open_network(network, Request(weights, inputs or {}, output_key))
    return adopt_network(
        found, output, elastic=elastic, resolutions=resolutions, widths=widths, data=data, importance=importance,
        measured=measured, runtime=runtime, threads=threads, progress=hear,
    )  # fmt: skip


def adopt_module(
    module: object, example: Any, *, output_key: str | int | None = None, **options: Any
) -> Adoption:
    """Make a supernet of a module in memory; other arguments are those of `adopt_model`.

    Args:
        module: A torch module; it is copied, and not changed.
        example: What it takes: a tensor, several in a tuple, or by the argument's name in a dictionary.
        output_key: Which output counts where there are several.
        **options: As for `adopt_model`, from `elastic` on, and `output`.

    Raises:
        UsageError: No module that can be worked with, or an example that it does not run on.
    """
    found = remember(network_of(module, example, output=output_key))
    return adopt_network(found, options.pop("output", None), **options)


def adopt_network(
    network: SourceNetwork,
    output: str | Path | None = None,
    *,
    elastic: Sequence[str] = (),
    resolutions: Sequence[int] = (),
    widths: Sequence[float] = (),
    data: AnyData | None = None,
    importance: Importance | str = "l1",
    measured: bool = False,
    runtime: str | None = None,
    threads: int = 1,
    progress: Listener | None = None,
) -> Adoption:
    """Make a supernet of an opened network, as `adopt_model` does."""
    _require_new(output)
    hear = as_progress(progress)
    name = importance if isinstance(importance, str) else importance.name
    images = data.name if isinstance(data, Data) else data
    asked: dict[str, Any] = {"elastic": [*elastic], "resolutions": [*resolutions], "widths": [*widths]}
    asked |= {"importance": name, "data": images}
    key = _key(network, asked)
    folder = _cached(network, key) if output is None else Path(output)
    if output is not None or not folder.exists():
        way = get_importance(importance) if isinstance(importance, str) else importance
        offers: dict[str, Any] = {"elastic": tuple(elastic), "resolutions": tuple(resolutions)}
        offers |= {"widths": tuple(widths)} if widths else {}
        try:
            _adopt(network, folder, offers, opened(data), way, hear)
        except UsageError:
            if output is not None or not folder.exists():
                raise  # else another process was quicker
    model = Model.of(load_model(folder))
    latency, how = _latency(model, runtime, threads, hear) if measured else (None, "")
    return Adoption(folder, network, read_report(folder / REPORT), latency, how, model)


def _adopt(
    network: SourceNetwork,
    folder: Path,
    offers: Mapping[str, Any],
    data: Data | None,
    importance: Importance,
    hear: Progress,
) -> None:
    """Derive, sort, calibrate and write a model."""
    hear("tracing and proving")
    derivation = derive(network.module, by_place(network), output=network.output, **offers)
    with torch.no_grad():
        truth = tensor_of(call(network.module, network.example), network.output)
    task = "classification" if _is_classifier(network, truth) else "network"
    family = adopted_family(network, derivation, task)
    with torch.random.fork_rng(devices=[]):
        supernet = Supernet(family)
    supernet.network.load_state_dict(derivation.state_dict)
    model = Model(folder, _config(network, truth, repaired=data is not None), channels_last(supernet).eval())
    images = None if task == "network" else _images(model, data, derivation.report.macs[1])
    hear("sorting by importance")
    if images is not None:
        model.__dict__["calibration"] = Calibration(images)  # it is in no folder yet
    examples = model.task.examples(model, 16).batches if importance.needs_examples else ()
    supernet.sort_channels(importance(supernet, examples))
    hear("finding statistics")
    calibration = None if images is None else with_statistics(supernet, images, None, model.normalize)
    _require_same(model, network, truth)
    config = model.config
    save_model(
        folder, supernet, name=folder.name, classes=config["classes"], mean=config["mean"], std=config["std"],
        calibration=calibration, info=config["info"], files={REPORT: json.dumps(derivation.report.to_dict())},
    )  # fmt: skip


def _require_new(output: str | Path | None) -> None:
    if output is not None and Path(output).exists():
        raise UsageError(f"{output} already exists; name a new folder or remove that one first")


def _is_classifier(network: SourceNetwork, output: Tensor) -> bool:
    """Whether a network takes one picture of three channels, and gives a number for each of several classes."""
    example = network.example
    takes_pictures = isinstance(example, Tensor) and example.ndim == 4 and example.shape[1] == 3
    return takes_pictures and output.ndim == 2 and output.shape[1] > 1


def _config(network: SourceNetwork, output: Tensor, *, repaired: bool) -> dict[str, Any]:
    """Return what is known of a model before it has a folder."""
    told = network.preprocessing
    channels = 3 if told is None else len(told.mean)
    count = output.shape[1] if output.ndim == 2 else 0
    classes = network.classes if len(network.classes) == count else map(str, range(count))
    shown = None if told is None else {"interpolation": told.interpolation, "crop": told.crop}
    return {
        "name": network.name,
        "classes": [*classes],
        "mean": [0.0] * channels if told is None else [*told.mean],
        "std": [1.0] * channels if told is None else [*told.std],
        "info": {
            "data": "adopted", "network": network.name, "weights": network.weights, "licence": network.licence,
            "preprocessing": shown,
            # On made-up pictures a repair does more harm than good: EfficientNet-Lite0 at 0.73 of its MACs fell from
            # 44 to 21% top-1; on 128 photographs it rose from 48 to 62%.
            REPAIRED: repaired,
        },
    }  # fmt: skip


def _images(model: Model, data: Data | None, macs: int) -> Tensor:
    """Return pictures that subnets' statistics are found on: of the data, or dead leaves; uint8 (n, 3, h, w)."""
    count = int(min(max(_WORK / max(macs, 1), _IMAGES[0]), _IMAGES[1]))
    if data is None:
        return torch.from_numpy(dead_leaves(count, model.image_size))
    return pictures(data, "train", model.preprocessing(), count)[0]


def _require_same(model: Model, network: SourceNetwork, truth: Tensor) -> None:
    """Raise `NasError` unless the largest subnet computes what the network does."""
    with torch.no_grad():
        given = model.supernet(network.example, model.space.largest())
    error = float((given - truth).abs().max() / truth.abs().max().clamp_min(1e-12))
    if not error <= _SAME:
        raise NasError(
            f"the largest subnet of {network.name} differs from it by {error:.0e} of the largest output; adopt it with "
            "--importance none, and report it"
        )


def _latency(
    model: Model, runtime: str | None, threads: int, hear: Progress
) -> tuple[tuple[Measurement, Measurement], str]:
    chosen = default_runtime() if runtime is None else get_runtime(runtime)
    ends = [model.space.smallest(), model.space.largest()]
    steps = hear.steps("measuring the smallest and the largest subnet")
    smallest, largest = measure_subnets(model, ends, chosen, Workload(threads=threads), steps)
    return (smallest, largest), f"{chosen.name}, {threads} thread{'s' if threads > 1 else ''}"


# --- the cache --------------------------------------------------------------------------------------------------------


def _key(network: SourceNetwork, options: Mapping[str, Any]) -> str:
    """Return a hash of all that decides what becomes of a network: its modules, weights, inputs, options, versions."""
    recipe = network.recipe or {}
    library = _LIBRARIES.get(str(recipe.get("kind")))
    told = {
        "recipe": recipe,
        "weights": weights_digest(network.module),
        "inputs": {name: [[*x.shape], str(x.dtype)] for name, x in named_inputs(network.example).items()},
        "output": network.output,
        "options": options,
        "versions": [__version__, torch.__version__, *([version(library)] if library else [])],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _cached(network: SourceNetwork, key: str) -> Path:
    kind = str((network.recipe or {}).get("kind", "module"))
    plain = re.sub(r"[^\w.-]+", "-", f"{kind}-{network.name}")
    return cache_folder() / "models" / f"{plain}-{key[:8]}"


__all__ = ["adopt_model", "adopt_module", "adopt_network"]
