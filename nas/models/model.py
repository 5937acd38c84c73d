"""A trained supernet on disk and in memory: weights, classes, calibration images, measured subnets.

The folder holds `supernet.json`, `model.safetensors` and, where there are any, `calibration.npz`, `subnets.csv` and the
model card `README.md`. Nothing is ever unpickled.
"""

from __future__ import annotations

import copy
import difflib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from nas import elastic, models
from nas.errors import NasError, UsageError
from nas.families.registry import get_family
from nas.files import cache_folder, new_folder, read_json, sha256, write_atomic, write_json
from nas.models.calibration import Calibration
from nas.models.half import in_half
from nas.models.source import FolderSource, find_in_source, source_of
from nas.progress import Listener
from nas.space import SearchSpace, Subnet

if TYPE_CHECKING:
    import torch
    from torch import nn
    from typing_extensions import TypeVar

    FamilyT = TypeVar("FamilyT", bound=elastic.Family, default=elastic.Family, covariant=True)
else:
    FamilyT = typing.TypeVar("FamilyT")  # its bound would import torch

FORMAT = "anyfit-supernet"
FORMAT_VERSION = 1
CONFIG, WEIGHTS, CALIBRATION, TABLE = "supernet.json", "model.safetensors", "calibration.npz", "subnets.csv"
GROUP = "anyfit.models"


def available_models() -> list[tuple[str, Path, str]]:
    """Return (name, folder, "shipped" or "cached") of every model that has a name."""
    roots = [("shipped", root) for root in _shipped()] + [("cached", cache_folder() / "models")]
    found = []
    for kind, root in roots:
        if root.is_dir():
            found += [(p.name, p, kind) for p in sorted(root.iterdir()) if _is_model(p)]
    return found


def _is_model(path: Path) -> bool:
    return (path / CONFIG).is_file() or source_of(path) is not None


def _shipped() -> list[Path]:
    """Return the folders of shipped models; packages name theirs in the entry point group "anyfit.models"."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name != "nas", entry.name))
    specs = [find_spec(entry.value) for entry in entries]
    return [Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ()]


def find_model(name_or_path: str | Path, progress: Listener | None = None) -> Path:
    """Return the folder of a model given by name, path, "KIND:PLACE" or "FILE.py:NAME".

    Of a network that is no supernet yet one is made, and cached; `progress` hears of it. Raises `UsageError` with the
    nearest name.
    """
    text = str(name_or_path)
    known = available_models()
    for name, path, _ in known:
        if name == text:
            return path
    if _is_model(Path(text)):
        return Path(text)
    if (elsewhere := find_in_source(text, progress)) is not None:
        return elsewhere
    if Path(text).is_dir():
        raise UsageError(
            f"{text} is no model folder: it has no {CONFIG}; give a folder that `nas train` wrote"
        )
    names = [name for name, _, _ in known]
    close = difflib.get_close_matches(text, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the models are {', '.join(names) or 'none yet'}"
    raise UsageError(f"there is no model {text!r}; {hint}")


def model_place(name_or_path: str | Path, progress: Listener | None = None) -> str:
    """Return what loads a model from anywhere: its name if it is one, else its folder; errors are `find_model`'s."""
    path = find_model(name_or_path, progress)
    is_named = str(name_or_path) in [name for name, _, _ in available_models()]
    return str(name_or_path) if is_named else str(path.resolve())


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Read and check `supernet.json` of a model folder, or describe one of another library."""
    if (source := _foreign(path)) is not None:
        return source.describe(Path(path))
    file = Path(path) / CONFIG
    config = read_json(file)
    wanted = ("name", "family", "options", "classes", "mean", "std", "space_digest")
    if (
        not isinstance(config, dict)
        or config.get("format") != FORMAT
        or any(key not in config for key in wanted)
    ):
        raise NasError(
            f'{file} is no model description of format "{FORMAT}"; make the folder again with `nas train`'
        )
    if config.get("version") != FORMAT_VERSION:
        raise NasError(
            f"{file} has format version {config.get('version')!r}, but {FORMAT_VERSION} is expected; "
            "use the version of anyfit that wrote it"
        )
    return config


def _foreign(path: str | Path) -> FolderSource | None:
    """Return the kind of a folder of another library, None for one of ours."""
    return None if (Path(path) / CONFIG).is_file() else source_of(path)


def load_model(name_or_path: str | Path, progress: Listener | None = None) -> Model:
    """Load a model as `find_model` finds it; a truncated, changed or foreign one raises `NasError` naming the file."""
    path = find_model(name_or_path, progress)
    if (source := _foreign(path)) is not None:
        return source.load(path)
    config = read_model_config(path)

    family = get_family(config["family"], **config["options"])
    if family.space.digest != config["space_digest"]:
        raise NasError(
            f"{path} was made for version {config['space_digest']} of the search space of {family.name}, but this "
            f"anyfit has {family.space.digest}; use the version of anyfit that wrote it"
        )
    import torch

    with torch.random.fork_rng(devices=[]):
        supernet = elastic.Supernet(family)
    _load_weights(supernet.network, path / WEIGHTS, config.get("files", {}).get(WEIGHTS))
    return Model(path, config, elastic.channels_last(supernet).eval())


def _load_weights(network: nn.Module, path: Path, digest: str | None) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if digest is not None and sha256(path) != digest:
            raise NasError(
                f"{path} is truncated or was changed: its hash is not the one in {CONFIG}; fetch it again"
            )
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise NasError(f"{path} does not exist; the model folder is incomplete, fetch it again") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise NasError(f"{path} does not hold this supernet's weights ({reason}); fetch it again") from error


@dataclass
class Model(Generic[FamilyT]):
    """A supernet with what is needed to use it without its training data.

    `supernet` is in evaluation mode and channels_last; `mean` and `std` normalise images in [0, 1], channel by channel.
    """

    path: Path
    config: Mapping[str, Any]
    supernet: elastic.Supernet[FamilyT]
    _reference: dict[str, elastic.Supernet[FamilyT]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config["name"]

    @property
    def family(self) -> FamilyT:
        """The model's family."""
        return self.supernet.family

    @property
    def space(self) -> SearchSpace:
        """The model's search space."""
        return self.supernet.space

    @property
    def task(self) -> models.Task:
        """What the model is for, and how its subnets are judged."""
        return models.get_task(self.family.task)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the logits or of a generator's conditions."""
        return list(self.config["classes"])

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel of images in [0, 1]."""
        return tuple(self.config["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel of images in [0, 1]."""
        return tuple(self.config["std"])

    @property
    def info(self) -> dict[str, Any]:
        """What is known of the training: data, epochs, accuracies."""
        return dict(self.config.get("info", {}))

    @property
    def image_size(self) -> tuple[int, int]:
        """The height and width of the largest subnet's input."""
        height, width = self.family.example_input(self.space.largest()).shape[-2:]
        return int(height), int(width)

    def preprocessing(self, subnet: Subnet | None = None) -> models.Preprocessing:
        """Return how pictures become the input of a subnet, by default of the network as it was trained.

        Images of up to 64 pixels are taken whole.
        """
        height, width = self.family.example_input(subnet or self.family.native).shape[-2:]
        told = self.info.get("preprocessing") or {"interpolation": "bicubic", "crop": 0.875}
        return models.Preprocessing(self.mean, self.std, (height, width), told["interpolation"], told["crop"])

    def normalize(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Turn uint8 images, or floats in [0, 1], into the network's normalised channels_last floats."""
        import torch

        x = images_bchw.float() / 255 if images_bchw.dtype == torch.uint8 else images_bchw
        mean = torch.tensor(self.mean, device=x.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, -1, 1, 1)
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)

    @cached_property
    def calibration(self) -> Calibration | None:
        """The shipped synthetic images with what is known of their error, or None."""
        path = self.path / CALIBRATION
        return Calibration.read(path) if path.is_file() else None

    def calibration_images(self) -> torch.Tensor | None:
        """Return the shipped synthetic images, uint8 (n, channels, height, width), or None."""
        return None if self.calibration is None else self.calibration.images

    def extract(self, subnet: Subnet, calibration: torch.Tensor | None = None) -> nn.Module:
        """Return the static module of `subnet`, in evaluation mode, its BatchNorm statistics recomputed.

        `calibration` are images as `normalize` takes them; by default the shipped ones, whose error on the largest
        network is known and corrected. Without any, the statistics stay slices of the supernet's, which cost much
        accuracy.
        """
        module = elastic.channels_last(self.supernet.extract(subnet))
        self.recalibrate(module, subnet, calibration)
        return module

    def recalibrate(self, module: nn.Module, subnet: Subnet, calibration: torch.Tensor | None = None) -> None:
        """Recompute the BatchNorm statistics of the static `module` of `subnet` as `extract` does, in place."""
        shipped = self.calibration if calibration is None else None
        images = calibration if shipped is None else shipped.images
        known = None if shipped is None or not shipped.real else self._with("real").slices(subnet)
        if known is not None and subnet == self.family.native:
            # What the statistics of the network as it was trained are on real images is shipped.
            elastic.set_statistics(module, known)
            return
        if images is not None:
            batches = models.parts(images, 256, least=64)
            elastic.calibrate(module, (self.family.prepare(self.normalize(x), subnet) for x in batches))
        if known is not None:
            elastic.correct_statistics(module, known, self._with("synthetic").slices(subnet))

    def _with(self, kind: str) -> elastic.Supernet[FamilyT]:
        """Return the supernet with the largest network's "real" or "synthetic" statistics, made once."""
        if kind not in self._reference:
            supernet = copy.deepcopy(self.supernet)
            buffers: Mapping[str, Any] = getattr(self.calibration, kind)
            try:
                unknown = supernet.network.load_state_dict(dict(buffers), strict=False).unexpected_keys
            except RuntimeError as error:
                unknown = [str(error).splitlines()[-1].strip()]
            if unknown:
                raise NasError(
                    f"{self.path / CALIBRATION} is of another network ({unknown[0]}); fetch the model again"
                )
            self._reference[kind] = supernet
        return self._reference[kind]

    @cached_property
    def _table(self) -> models.MeasuredTable | None:
        path = self.path / TABLE
        if not path.is_file():
            return None
        measured, now = self.config.get("table"), _sources(self.path, self.config)
        if measured is not None and (stale := [name for name in measured if measured[name] != now[name]]):
            raise NasError(
                f"{path} was measured with another {stale[0]}; remove it and measure it again with `nas measure`"
            )
        return models.MeasuredTable.read(path, self.space, self.task.qualities)

    def table(self) -> models.MeasuredTable | None:
        """Return the measured subnets, or None."""
        return self._table


def save_model(
    path: str | Path,
    supernet: elastic.Supernet,
    *,
    name: str,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    calibration: Calibration | None = None,
    table: models.MeasuredTable | None = None,
    info: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    half: bool = False,
) -> None:
    """Write a model folder as a whole, or nothing; an existing `path` raises `UsageError`.

    `files` are what else belongs into it, texts by name. `half` stores weights as float16, which `load_model` reads as
    float32; the small tensors of one axis, norms and biases, stay as they are.
    """
    from safetensors.torch import save

    with new_folder(path) as folder:
        state = supernet.network.state_dict()
        state = in_half(state) if half else state
        state = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
        write_atomic(folder / WEIGHTS, save(state))
        if calibration is not None:
            calibration.write(folder / CALIBRATION)
        if table is not None:
            table.write(folder / TABLE)
        for file, text in (files or {}).items():
            write_atomic(folder / file, text)
        config = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": name,
            "family": supernet.family.name,
            "options": dict(supernet.family.options),
            "classes": list(classes),
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "space_digest": supernet.space.digest,
            "files": {WEIGHTS: sha256(folder / WEIGHTS)},
            "info": dict(info or {}),
        }
        if table is not None:
            config["table"] = _sources(folder, config)
        write_json(folder / CONFIG, config)


def _sources(folder: Path, config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the hashes of what a measured accuracy depends on: the weights and the calibration images."""
    images = folder / CALIBRATION
    source = _foreign(folder)
    weights = config.get("files", {}).get(WEIGHTS) if source is None else source.digest(folder)
    return {WEIGHTS: weights, CALIBRATION: sha256(images) if images.is_file() else None}


def bind_table(folder: str | Path, own_calibration: bool = True) -> None:
    """Note in the model's description what its table is measured with, before it is.

    Without `own_calibration` the table does not depend on the model's calibration images. A table that is there
    already, and was measured with something else, raises `NasError`: its rows would not be comparable.
    """
    folder = Path(folder)
    config = read_model_config(folder)
    sources = _sources(folder, config)
    if not own_calibration:
        del sources[CALIBRATION]
    if (folder / TABLE).is_file() and config.get("table", sources) != sources:
        raise NasError(
            f"{folder / TABLE} was measured with other weights or calibration images; remove it to measure anew"
        )
    if (source := _foreign(folder)) is not None:
        notes = folder / source.notes
        write_json(notes, {**(read_json(notes) if notes.is_file() else {}), "table": sources})
    else:
        write_json(folder / CONFIG, {**config, "table": sources})


def save_calibration(folder: str | Path, calibration: Calibration) -> None:
    """Replace the calibration images of a model folder."""
    read_model_config(folder)
    calibration.write(Path(folder) / CALIBRATION)
