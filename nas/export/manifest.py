"""The manifest of an artifact: what it is, how to feed it, what it scored, and a hash of every file.

Reading one needs no torch, so that `nas list` and `nas show` stay quick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import read_json, sha256, write_json
from nas.models import Preprocessing, quality_text

FORMAT = "anyfit-artifact"
VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
SUBNET = "subnet.json"
CARD = "README.md"
SEQUENCE = "model.sequence"


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the exported network takes: float32 of `shape` with a batch before it, which is free.

    `mean` and `std` are in units of [0, 1] images, channel by channel: those that go in, or those that come out. A
    network of several inputs has them all in `named`, by name, shape and type; `shape` is then that of the first.
    Where `interpolation` is not "", pictures are resized by that until their shorter side is that of `shape` / `crop`,
    and cut at the centre.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    interpolation: str = ""
    crop: float = 1.0

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of pictures."""
        size = self.shape[-2:] if self.interpolation else ()
        return Preprocessing(self.mean, self.std, size, self.interpolation or "bilinear", self.crop)


@dataclass(frozen=True, kw_only=True)
class QualityFigure:
    """The value of a quality, how it was found (`measured` or `predicted`) and on which data."""

    name: str
    value: float
    kind: str
    data: str
    unit: str = "%"

    @property
    def text(self) -> str:
        """The value with its unit."""
        return quality_text(self.value, self.unit)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A latency in ms under a named runtime and workload on a named machine (`measured` or `predicted`).

    `median_ms` and `p90_ms` are at the machine's calm pace, `raw_ms` is the median as the clock had it when it was
    measured. `is_restless`: the machine was too restless to trust them.
    """

    kind: str
    median_ms: float
    runtime: str
    machine: str
    batch_size: int
    threads: int
    precision: str = "fp32"
    p90_ms: float | None = None
    raw_ms: float | None = None
    is_restless: bool = False

    @property
    def pace(self) -> float | None:
        """Raw over calm latency, where both are known."""
        return None if self.raw_ms is None else self.raw_ms / self.median_ms


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything known about an artifact. `files` maps a name to its SHA-256 and size in bytes."""

    model: str
    family: str
    options: dict[str, Any]
    space_digest: str
    subnet: dict[str, Any]
    input: InputSpec
    classes: tuple[str, ...]
    macs: int
    params: int
    size_bytes: int
    created: str
    anyfit: str
    quality: tuple[QualityFigure, ...] = ()
    latency: tuple[Latency, ...] = ()
    parity: tuple[dict[str, Any], ...] = ()
    info: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, format and version first."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def is_artifact(path: str | Path) -> bool:
    """Say whether `path` is a folder that `nas export` made."""
    return (Path(path) / MANIFEST).is_file()


def hash_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return SHA-256 and size in bytes of every file in `folder` but the manifest."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = sorted(name for name in files if name != MANIFEST)
    return {
        name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names
    }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`."""
    write_json(folder / MANIFEST, manifest.to_dict())


def read_manifest(folder: str | Path) -> Manifest:
    """Read `manifest.json` of an artifact; raises `NasError` when it is missing, damaged or of another version."""
    path = Path(folder) / MANIFEST
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise NasError(
            f"{path} is not the manifest of an exported artifact; give a folder made by nas export"
        )
    if data.get("version") != VERSION:
        raise NasError(
            f"{path} has version {data.get('version')!r} but this anyfit reads version {VERSION}; "
            "export the subnet again"
        )
    known = {f.name for f in fields(Manifest)}
    values = {key: value for key, value in data.items() if key in known}
    try:
        values["input"] = _tuples(InputSpec, values["input"])
        values["classes"] = tuple(values["classes"])
        values["quality"] = tuple(_tuples(QualityFigure, item) for item in values.get("quality", ()))
        values["latency"] = tuple(_tuples(Latency, item) for item in values.get("latency", ()))
        values["parity"] = tuple(values.get("parity", ()))
        for name in ("options", "subnet", "info", "files"):
            values[name] = dict(values[name])
        return Manifest(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NasError(f"{path} lacks or garbles a field ({error}); export the subnet again") from error


def _tuples(kind: Any, data: dict[str, Any]) -> Any:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


def verify(folder: str | Path, manifest: Manifest, names: tuple[str, ...]) -> None:
    """Compare `names` with the manifest's hashes; raises `NasError` naming the first file that differs."""
    for name in names:
        state = file_state(folder, manifest, name)
        if state != "ok":
            raise NasError(
                f"{Path(folder) / name} {state}, unlike {MANIFEST} says; get an intact copy or export it again"
            )


def file_state(folder: str | Path, manifest: Manifest, name: str) -> str:
    """Return `ok`, or what is wrong with the file `name` of an artifact."""
    path, expected = Path(folder) / name, manifest.files.get(name)
    if not isinstance(expected, dict):
        return "is not part of the artifact"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != expected.get("bytes"):
        return f"has {size} bytes and not {expected.get('bytes')}"
    return "ok" if sha256(path) == expected.get("sha256") else "has another SHA-256"
