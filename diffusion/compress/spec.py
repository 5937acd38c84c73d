"""Which subnet or pipeline a word, a JSON text, a file or a folder means: a pruned one's is one of them."""

from __future__ import annotations

from pathlib import Path

from diffusion.pipeline.family import PipelineFamily
from diffusion.pipeline.files.folder import INDEX, INFO, find_pipeline, read_info
from nas.elastic import Family, find_subnet, subnet_of_choices
from nas.errors import UsageError
from nas.export import artifact_subnet, is_artifact, read_manifest
from nas.models import Model, find_model, load_model
from nas.space import Subnet

PRUNED = "pruned"
"""The entry of a pruned pipeline's `anyfit.json` that says which subnet its denoiser is."""


def read_subnet(family: Family, text: str) -> Subnet:
    """Return the subnet that `text` means: all that `nas.elastic.find_subnet` takes, or a pruned pipeline's folder.

    Raises `UsageError` for anything else, and for the folder of a pipeline that was not pruned.
    """
    if names_folder(family, text) and (folder := pruned_folder(text)):
        return subnet_of_choices(family, read_info(folder)[PRUNED], str(folder / INFO))
    return find_subnet(family, text)


def names_folder(family: Family, text: str) -> bool:
    """Whether `text` is a path, not a name of the family's and not choices in JSON."""
    return text not in family.named() and not text.lstrip().startswith("{")


def pruned_folder(text: str) -> Path | None:
    """Return the folder of a pruned pipeline that `text` names, if it does."""
    path = Path(text).expanduser()
    for folder in (path, path / "model"):
        if (folder / INDEX).is_file():
            if isinstance(read_info(folder).get(PRUNED), dict):
                return folder
            raise UsageError(f"{folder} was not pruned by anyfit: its {INFO} names no choices; give another")
    return None


def open_quantizable(pipeline: str | Path, model: str | None = None) -> tuple[Model, Subnet]:
    """Return a pipeline's model and the subnet to quantize.

    Args:
        pipeline: A shipped pipeline, a folder of diffusers, whose original is meant, or one that an export wrote.
        model: What an exported pipeline was taken from; None for what its manifest says.

    Raises:
        UsageError: No pipeline, or an export of one that nobody knows by name.
    """
    manifest = read_manifest(pipeline) if is_artifact(pipeline) else None
    if manifest is None:
        loaded = load_model(find_pipeline(pipeline))
    else:
        loaded = _taken_from(pipeline, model, manifest.info.get("pipeline") or manifest.model)
    if not isinstance(loaded.family, PipelineFamily):
        raise UsageError(
            f"{pipeline} is a model for {loaded.task.name} and no pipeline of diffusers; quantize it with nas quantize"
        )
    largest = loaded.space.largest()
    return loaded, largest if manifest is None else artifact_subnet(pipeline, loaded.family)


def _taken_from(exported: str | Path, given: str | None, known: str) -> Model:
    """Return the model that an export was taken from: the `given` one, or that of its manifest where it has a name."""
    if given is None:
        try:
            find_model(known)
        except UsageError as error:
            raise UsageError(
                f"{exported} was taken from the pipeline {known!r}, and there is none of that name; give its folder "
                "with --model"
            ) from error
    return load_model(given or known)
