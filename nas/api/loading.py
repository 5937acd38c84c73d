"""Loading whatever has a network: a supernet, or what an export wrote."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from nas import export, models
from nas.api.model import Model


def load(name_or_path: str | Path) -> Model | nn.Module:
    """Load a supernet by name or folder, or an exported network.

    Args:
        name_or_path: A shipped or cached model's name ("mbv3-cifar10"; `nas list` shows them), a folder that a
            training or an import wrote, "diffusion:PLACE" with a pipeline's folder or hub id, or a folder that an
            export wrote.

    Returns:
        A `Model`; of an export the static module, in evaluation mode.

    Raises:
        UsageError: An unknown name, another kind of folder, a pickle.
        NasError: Damaged files.

    Example:
        model = nas.load("mbv3-cifar10")
        network = nas.load("artifacts/small")     # what `model.export(..., "artifacts/small")` wrote
    """
    found = export.load(name_or_path)
    return Model.of(found) if isinstance(found, models.Model) else found


__all__ = ["load"]
