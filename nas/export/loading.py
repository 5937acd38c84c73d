"""Loading what anyfit wrote: a supernet by name or folder, or an exported artifact, never by unpickling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nas.elastic import Family
from nas.errors import NasError, UsageError
from nas.export.architectures import weightless
from nas.export.manifest import SUBNET, WEIGHTS, Manifest, is_artifact, read_manifest, verify
from nas.export.weights import load_weights, refuse_pickle
from nas.families import get_family
from nas.files import read_json
from nas.models import Model, load_model
from nas.progress import Listener
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn


def load(name_or_path: str | Path, progress: Listener | None = None) -> Model | nn.Module:
    """Load a supernet (`Model`) by name or folder, or an exported artifact (a static module in eval mode).

    Raises `UsageError` for an unknown name, another kind of folder and a pickle, `NasError` for damaged files.
    """
    refuse_pickle(name_or_path)
    path = Path(name_or_path)
    if is_artifact(path):
        return load_artifact(path)
    if (path / "run.json").is_file():
        raise UsageError(
            f"{path} is a search run and not a model; write its answer as a model with "
            f"'nas export {path}' and load that folder"
        )

    return load_model(name_or_path, progress)


def load_artifact(folder: str | Path) -> nn.Module:
    """Load the network of an artifact: an ordinary module in eval mode, hashes checked, nothing unpickled.

    Its input is float32 NCHW, normalised by the mean and std of `read_manifest(folder).input`.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    verify(folder, manifest, (SUBNET, WEIGHTS))
    family = artifact_family(folder, manifest)
    return load_weights(build_weightless(family, artifact_subnet(folder, family)), folder / WEIGHTS)


def artifact_family(folder: str | Path, manifest: Manifest) -> Family:
    """Return the family of an artifact; raises `NasError` when this anyfit's space is another one."""
    try:
        family = get_family(manifest.family, **manifest.options)
    except (TypeError, ValueError) as error:
        raise NasError(
            f"{folder} was exported from {manifest.family} with options {manifest.options}, which this anyfit does "
            f"not take ({error}); install anyfit {manifest.anyfit} or export it again"
        ) from error
    if family.space.digest != manifest.space_digest:
        raise NasError(
            f"{folder} was exported from version {manifest.space_digest} of the space of {manifest.family}, but this "
            f"anyfit has {family.space.digest}; install anyfit {manifest.anyfit} or export it again"
        )
    return family


def artifact_model(folder: str | Path) -> Model:
    """Return the model that an artifact was exported from, as far as the artifact tells: without weights or table."""
    manifest = read_manifest(folder)
    config = {
        "name": manifest.model,
        "classes": manifest.classes,
        "mean": manifest.input.mean,
        "std": manifest.input.std,
        "info": manifest.info,
    }
    return Model(Path(folder), config, weightless(artifact_family(folder, manifest)))


def artifact_subnet(folder: str | Path, family: Family) -> Subnet:
    """Read `subnet.json` of an artifact."""
    path = Path(folder) / SUBNET
    try:
        return family.space.from_dict(read_json(path))
    except UsageError as error:
        raise NasError(f"{path}: {error}") from error


def build_weightless(family: Family, subnet: Subnet) -> nn.Module:
    """Build the static network of `subnet` on the meta device; only buffers that no file holds have values."""
    import torch

    with torch.device("meta"):
        network = family.build(subnet)
    for part in family.parts:
        if part.is_active(subnet):
            _fill(network.get_submodule(part.name), lambda part=part: part.build(subnet))
    return network


def _fill(module: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Give a part's buffers that are not saved, such as places of tokens, the values that it is built with."""
    unsaved = [
        (path, name)
        for path, layer in module.named_modules()
        for name in layer._non_persistent_buffers_set
        if layer._buffers.get(name) is not None
    ]
    if unsaved:
        built = build()
        for path, name in unsaved:
            module.get_submodule(path)._buffers[name] = built.get_submodule(path)._buffers[name]
