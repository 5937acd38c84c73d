"""Pipelines of diffusers as models: "diffusion:PLACE", a folder with `model_index.json` or a name in the hub.

Weights are read from safetensors, or from `.bin` files of plain tensors, and no code that comes with a pipeline is run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusion
from diffusion.pipeline.files.folder import (
    INDEX,
    INFO,
    hub_reason,
    may_be_hub_id,
    parts_of,
    quiet,
    read_config,
    read_index,
    read_info,
)
from diffusion.pipeline.files.memory import room_for
from diffusion.pipeline.files.weights import check_bin, has_safetensors, require_weights, weight_files
from diffusion.pipeline.parts.kinds import KINDS, Kind
from nas import elastic
from nas.errors import NasError, UsageError, is_out_of_memory
from nas.families import get_family
from nas.files import sha256
from nas.models import FolderSource, Model
from nas.progress import Listener

if TYPE_CHECKING:
    from torch import nn

_PARTS = (
    "unet", "transformer", "text_encoder", "text_encoder_2", "vae", "scheduler", "tokenizer", "tokenizer_2",
)  # fmt: skip
_HUB_FILES = [
    INDEX, INFO, *(f"{part}/*.{end}" for part in _PARTS for end in ("json", "txt", "model", "safetensors")),
]  # fmt: skip


class PipelineSource(FolderSource):
    """Folders that `DiffusionPipeline.save_pretrained` writes."""

    mark = INDEX
    notes = INFO

    def find(self, place: str, progress: Listener | None = None) -> Path:
        path = Path(place).expanduser()
        if path.is_dir():
            if (path / INDEX).is_file():
                return path
            raise UsageError(
                f"{path} is no pipeline of diffusers: it has no {INDEX}; give a folder that `save_pretrained` wrote"
            )
        if path.is_file():
            raise UsageError(
                f"{place} is a file, but a pipeline is a folder with {INDEX}; give the folder that "
                "`save_pretrained` wrote"
            )
        if not may_be_hub_id(place):
            raise UsageError(f"{place} does not exist; give the folder of a pipeline, or its name in the hub")
        return _from_hub(place)

    def describe(self, path: Path) -> dict[str, Any]:
        notes = read_info(path)
        return {
            "name": str(notes.get("name") or path.resolve().name),
            "family": "diffusion",
            "options": read_options(path),
            "classes": [],
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "info": {key: value for key, value in notes.items() if key not in ("name", "table", "space")},
            **({"table": notes["table"]} if "table" in notes else {}),
        }

    def digest(self, path: Path) -> str:
        files = sorted(file for part in _PARTS for file in weight_files(path / part))
        return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()

    def load(self, path: Path) -> Model:
        config = self.describe(path)
        import torch

        family = get_family(config["family"], **config["options"])
        with room_for(path):
            with torch.random.fork_rng(devices=[]):
                supernet = elastic.Supernet(family)
            load_weights(supernet.network, path)
        return Model(
            path, {**config, "space_digest": family.space.digest}, elastic.channels_last(supernet).eval()
        )


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
        bare = [
            part
            for part in _PARTS
            if (path / part / "config.json").is_file() and not weight_files(path / part)
        ]
        if bare:  # an older pipeline
            path = Path(
                snapshot_download(name, allow_patterns=[*_HUB_FILES, *(f"{part}/*.bin" for part in bare)])
            )
    except Exception as error:
        raise NasError(
            f"{name} is no folder here, and cannot be fetched from the hub ({hub_reason(error)}); give a folder"
        ) from error
    return path


def read_options(path: Path) -> dict[str, Any]:
    """Return the options of the family "diffusion" for the pipeline in a folder.

    "space" in `anyfit.json` says what is offered, as options of the family, where a pipeline was trained for it.
    Raises `UsageError` for a pipeline that is not supported, naming what it has.
    """
    index = read_index(path)
    kind = _kind_of(path, index)
    notes = read_info(path)
    space = dict(notes.get("space") or {})
    tokens = {"tokens": _tokens(path, kind)} if kind.texts else {}
    own = {**tokens, **dict(space.pop(kind.denoiser, {})), **_pruned_options(path, kind)}
    options = {
        "kind": kind.name,
        kind.denoiser: {**own, "config": _denoiser_config(path, kind)},
        **{name: read_config(path, name) for name in kind.weighted if name != kind.denoiser},
        "scheduler": read_config(path, "scheduler"),
        **({"zeros": bool(index.get("force_zeros_for_empty_prompt", True))} if len(kind.texts) == 2 else {}),
        **space,
    }
    is_told = kind.scale is not None and "guidance" in notes
    return options | ({"scale": float(notes["guidance"])} if is_told else {})


def _kind_of(path: Path, index: dict[str, Any]) -> Kind:
    name, has = str(index.get("_class_name")), parts_of(index)
    kind = KINDS.get(name)
    if kind is None or not {*kind.parts} <= {*has}:
        supported = [kind] if kind else [*KINDS.values()]
        raise UsageError(
            f"{path} is a {name} with {', '.join(has) or 'no parts'}; supported is "
            + ", or ".join(f"a {one.name} with {', '.join(one.parts)}" for one in supported)
        )
    return kind


def _denoiser_config(path: Path, kind: Kind) -> dict[str, Any]:
    """Return the denoiser's configuration; transformers were once published as a class for all kinds of them."""
    config = read_config(path, kind.denoiser)
    if config.get("_class_name") != "Transformer2DModel":
        return config
    import inspect

    import diffusers

    known = inspect.signature(getattr(diffusers, kind.network).__init__).parameters
    return {"_class_name": kind.network, **{key: value for key, value in config.items() if key in known}}


def _pruned_options(path: Path, kind: Kind) -> dict[str, Any]:
    """Return the options that make a pruned denoiser the largest network of its family; none for a stock one."""
    subnet = read_config(path, kind.denoiser).get("subnet")
    if not subnet:
        return {}
    from diffusion.denoisers.subnets import options_within

    return options_within(subnet, path)


def _denoiser_class(path: Path, kind: Kind) -> Any:
    import diffusers

    is_pruned = bool(read_config(path, kind.denoiser).get("subnet"))
    return getattr(diffusion, f"Subnet{kind.network}") if is_pruned else getattr(diffusers, kind.network)


def _tokens(path: Path, kind: Kind) -> int:
    """Return the length that prompts are padded to."""
    lengths = []
    for text, tokenizer in zip(kind.texts, kind.tokenizers, strict=True):
        most = kind.tokens or read_config(path, text).get("max_position_embeddings", 77)
        is_told = (path / tokenizer / "tokenizer_config.json").is_file()
        told = read_config(path, tokenizer).get("model_max_length", most) if is_told else most
        lengths.append(min(most, told))
    return int(min(lengths))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the parts of a pipeline's folder into a `Pipeline`; raises `NasError` naming the part that is damaged."""
    import transformers

    from diffusion.pipeline.parts.components import DECODERS

    kind = _kind_of(path, read_index(path))
    classes: dict[str, Any] = {name: getattr(transformers, text) for name, text in kind.texts.items()}
    classes[kind.denoiser] = _denoiser_class(path, kind)
    if kind.has_decoder:
        classes["vae"] = DECODERS[read_config(path, "vae")["_class_name"]]
    for name, own in classes.items():
        with quiet():
            part, missing = _read_part(path / name, own)
        module = network.get_submodule(name if name != "vae" else "vae.autoencoder")
        moved: dict[str, str] = getattr(module, "moved", {})
        state = {moved.get(key) or key: tensor for key, tensor in part.state_dict().items()}
        wanted = module.state_dict().keys()
        if lacking := sorted(key for key in missing if moved.get(key, key) in wanted):
            raise NasError(f"{path / name} holds no weights for {lacking[0]}; fetch the pipeline again")
        try:
            module.load_state_dict({key: tensor for key, tensor in state.items() if key in wanted})
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise NasError(
                f"{path / name} does not hold the weights of its config.json ({reason})"
            ) from error


def _read_part(folder: Path, kind: Any) -> tuple[Any, set[str]]:
    """Read a part with its library, which knows older names of tensors and files in pieces.

    Returns the part, and the names of the tensors that no file has.
    """
    import torch

    found = require_weights(folder)
    safe = has_safetensors(folder)
    for file in () if safe else found:
        check_bin(file)
    variants = sorted(
        file.name.split(".")[1] for file in found if file.name.count(".") > 1 and "-of-" not in file.name
    )
    plain = any(file.name.count(".") == 1 for file in found)
    try:
        own, told = kind.from_pretrained(
            folder,
            use_safetensors=safe,
            local_files_only=True,
            output_loading_info=True,
            torch_dtype=torch.float32,
            **({} if plain or not variants else {"variant": variants[0]}),
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise NasError(f"{folder} cannot be read ({reason}); fetch the pipeline again") from error
    return own, set(told["missing_keys"])
