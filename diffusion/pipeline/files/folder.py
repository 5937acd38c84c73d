"""Pipelines on disk: written as a whole, loaded without unpickling and without running code that comes with them.

A folder is what diffusers calls a pipeline. Where a part is a class of this package, plain diffusers wants
`import diffusion` first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from diffusion.pipeline.files.memory import room_for
from diffusion.pipeline.files.weights import all_weight_files, check_bin, require_weights
from nas.errors import NasError, UsageError
from nas.files import new_folder, read_json, sha256, write_atomic, write_json

INFO = "anyfit.json"
INDEX = "model_index.json"
DEFAULT_PIPELINE = "tiny-sd-cifar10"
"""The shipped pipeline that is meant where nobody names one."""
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "diffusion")
_WEIGHTLESS = ("scheduler", "tokenizer", "tokenizer_2", "feature_extractor")
_NAMED = ("scheduler", "tokenizer")
"""The parts whose configuration is called by them."""
DENOISERS = ("unet", "transformer")
"""The parts of which a pipeline has one, to denoise."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from telling of progress, safety checkers and custom classes."""
    import diffusers.utils.logging as first
    import transformers.utils.logging as second

    levels = first.get_verbosity(), second.get_verbosity()
    bars = second.is_progress_bar_enabled()
    first.set_verbosity_error()
    second.set_verbosity_error()
    first.disable_progress_bar()
    second.disable_progress_bar()
    try:
        yield
    finally:
        first.set_verbosity(levels[0])
        second.set_verbosity(levels[1])
        first.enable_progress_bar()
        if bars:
            second.enable_progress_bar()


def shipped() -> dict[str, Path]:
    """Return the pipelines that come with the package, by name."""
    folder = Path(str(files("diffusion"))) / "models"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{INDEX}"))}


def find_pipeline(spec: str | Path) -> Path:
    """Return the folder of a shipped pipeline's name, a folder, or a hub id (downloaded once, as safetensors where
    there are any).

    Raises `UsageError` for what is none of them, and `NasError` when a download fails.
    """
    known, path = shipped(), Path(spec).expanduser()
    if str(spec) in known:
        return known[str(spec)]
    if (path / INDEX).is_file():
        return path
    if (path / "model" / INDEX).is_file():  # a training's run
        return path / "model"
    if path.exists():
        raise UsageError(f"{spec} is no pipeline: it has no {INDEX}; name the folder that diffusers saved")
    if may_be_hub_id(str(spec)):
        return _download(str(spec))
    names = ", ".join(known) or "none"
    raise UsageError(
        f"there is no pipeline {str(spec)!r}; give a folder, a hub id, or a shipped one: {names}"
    )


def may_be_hub_id(text: str) -> bool:
    """Whether `text` looks like "owner/name", and not like a missing folder inside one that there is."""
    return text.count("/") == 1 and not text.startswith((".", "/", "~")) and not Path(text).parent.exists()


def hub_reason(error: Exception) -> str:
    """Return why a hub gave nothing, in its first words: what stands in brackets there is advice to programmers."""
    return str(error).strip().partition("\n")[0].partition(" (")[0] or type(error).__name__


def _download(name: str) -> Path:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    try:
        with quiet():
            return Path(DiffusionPipeline.download(name, trust_remote_code=False))
    except Exception as error:  # a hub fails in many ways: no network, no such id, no weights
        raise NasError(
            f"the pipeline {name} cannot be fetched ({hub_reason(error)}); give a folder instead"
        ) from error


def read_index(folder: Path) -> dict[str, Any]:
    """Return the `model_index.json` of a folder; raises `NasError` for a damaged one."""
    return _read_object(folder / INDEX)


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """Return the configuration of a part; raises `NasError` for a missing or damaged one."""
    kind = part.partition("_")[0]
    return _read_object(folder / part / (f"{kind}_config.json" if kind in _NAMED else "config.json"))


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise NasError(f"{path} is no JSON object; fetch the pipeline again")
    return value


def parts_of(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the parts that there are by an index: name to library and class."""
    return {
        name: (str(value[0]), str(value[1]))
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[0] is not None
    }


def require_parts(folder: Path, denoisers: Sequence[str] = ("unet",)) -> dict[str, tuple[str, str]]:
    """Return a pipeline's parts, see `parts_of`, if they can be loaded without running what comes with them.

    Raises `UsageError` for a pipeline that has none of `denoisers`, for one that names code of others, or for weights
    that hold more than tensors, and `NasError` for a broken index.
    """
    parts = parts_of(read_index(folder))
    if not any(name in parts for name in denoisers):
        named = " or ".join(map(repr, denoisers))
        words = " and no transformer" if "transformer" in denoisers else ""
        raise UsageError(
            f"{folder} has no UNet{words}: its parts are {', '.join(parts) or 'none'}; give a pipeline with a part "
            f"{named}, such as Stable Diffusion's"
        )
    for name, (library, kind) in parts.items():
        if library not in _LIBRARIES:
            raise UsageError(
                f"{folder}: part {name!r} is {kind} of {library}, code that does not come with diffusers, transformers "
                "or this package and is never run; replace that part"
            )
        if name not in _WEIGHTLESS:
            _check_weights(folder / name)
    return parts


def _check_weights(folder: Path) -> None:
    if not folder.is_dir():
        raise NasError(f"{folder} is missing, but {INDEX} names it; fetch the pipeline again")
    for path in require_weights(folder):
        check_safetensors(path) if path.suffix == ".safetensors" else check_bin(path)


def check_safetensors(path: Path) -> None:
    """Raise `NasError` unless the file has a whole header, and as many bytes as that says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise NasError(f"{path} is no whole safetensors file ({reason}); fetch it again") from error


def load_pipeline(
    spec: str | Path = DEFAULT_PIPELINE,
    *,
    device: str = "cpu",
    dtype: Any = None,
    denoisers: Sequence[str] = ("unet",),
) -> Any:
    """Load a pipeline by a shipped name, a folder or a hub id; see `find_pipeline` and `require_parts`.

    Raises `NasError` also where the weights do not fit into memory.
    """
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    folder = find_pipeline(spec)
    require_parts(folder, denoisers)
    options = {} if dtype is None else {"torch_dtype": dtype}
    try:
        with quiet(), room_for(folder):
            # Safetensors where a part has them, else its .bin files, which `require_parts` has looked into.
            pipeline = DiffusionPipeline.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NasError(f"{folder} cannot be loaded ({reason}); fetch or save the pipeline again") from error
    pipeline.set_progress_bar_config(disable=True)
    try:
        with room_for(folder):
            return pipeline.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the pipeline cannot be moved to {device} ({reason}); use cpu or cuda") from error


def weights_digest(folder: Path) -> str:
    """Return a hex digest of the weights of a pipeline's folder."""
    found = all_weight_files(folder)
    return hashlib.sha256(
        "".join(f"{path.parent.name} {sha256(path)} " for path in found).encode()
    ).hexdigest()[:16]


def write_pipeline(
    path: str | Path, pipeline: Any, info: Mapping[str, Any], files: Mapping[str, Any] | None = None
) -> None:
    """Write a pipeline's folder as a whole or not at all, with what is known of it in `anyfit.json`.

    `files` are JSON values that lie beside it, by the file's name.
    An existing `path` raises `UsageError`.
    """
    with new_folder(path) as folder, quiet():
        pipeline.save_pretrained(folder, safe_serialization=True)
        tokenizer = getattr(pipeline, "tokenizer", None)
        if tokenizer is not None:
            _write_vocabulary(folder / "tokenizer")
        forget_places(folder)
        write_json(folder / INFO, dict(info))
        for name, value in (files or {}).items():
            write_json(folder / name, value)


def read_info(folder: str | Path) -> dict[str, Any]:
    """Return what `write_pipeline` was told of a pipeline, or nothing for one made elsewhere."""
    path = Path(folder) / INFO
    info = read_json(path) if path.is_file() else {}
    if not isinstance(info, dict):
        raise NasError(f"{path} is no JSON object; remove it or fetch the pipeline again")
    return info


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the `model_index.json` of a folder whose parts are written, and forget where they were read from."""
    write_json(folder / INDEX, dict(index))
    forget_places(folder)


def is_elastic(info: Mapping[str, Any]) -> bool:
    """Whether a pipeline's UNet was trained so that its slices work: then its channels are in an order to be kept."""
    return "elastic" in info


def forget_places(folder: Path) -> None:
    """Remove from a pipeline's configurations the paths on this machine that its parts were read from."""
    for file in (folder / "model_index.json", *folder.glob("*/*config.json")):
        config = read_json(file) if file.is_file() else {}
        places = [
            key for key in ("_name_or_path", "name_or_path") if Path(str(config.get(key, ""))).is_absolute()
        ]
        if places:
            write_json(file, {key: value for key, value in config.items() if key not in places})


def _write_vocabulary(folder: Path) -> None:
    """Write the two files that older readers of CLIP's tokenizer want beside `tokenizer.json`."""
    whole = folder / "tokenizer.json"
    if not whole.is_file():
        return
    model = json.loads(whole.read_text(encoding="utf-8"))["model"]
    write_json(folder / "vocab.json", model["vocab"])
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    write_atomic(folder / "merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n")
