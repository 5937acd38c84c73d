"""Loading whatever has a network: a supernet, or what an export wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from nas import api, export, models
from nas.api.model import Model
from nas.errors import UsageError
from nas.progress import Listener


def load(
    name_or_path: str | Path | nn.Module,
    example: Any = None,
    *,
    output_key: str | int | None = None,
    progress: Listener | None = None,
) -> Model | nn.Module:
    """Load a supernet by name or folder, make one of any network, or load an exported one.

    Args:
        name_or_path: A shipped or cached model's name ("mbv3-cifar10"; `nas list` shows them), a folder that a
            training or an import wrote, "diffusion:PLACE" with a pipeline's folder or hub id, or a folder that an
            export wrote. Or any network, which becomes a supernet, once, and is cached: "timm:NAME",
            "torchvision:NAME", "transformers:FOLDER", "FILE.py:NAME", or a torch module (`nas.api.adopt_model` takes
            more options).
        example: What a torch module takes: a tensor, several in a tuple, or by the argument's name in a dictionary;
            the first axis is the batch.
        output_key: Which output of a torch module counts where it has several: a key, an attribute or a place.
        progress: Hears what is going on where a network becomes a supernet.

    Returns:
        A `Model`; of an export the static module, in evaluation mode.

    Raises:
        UsageError: An unknown name, another kind of folder, a pickle.
        NasError: Damaged files.

    Example:
        model = nas.load("mbv3-cifar10")
        model = nas.load("timm:resnet50")
        model = nas.load(module, torch.randn(1, 3, 224, 224))
        network = nas.load("artifacts/small")     # what `model.export(..., "artifacts/small")` wrote
    """
    if not isinstance(name_or_path, str | Path):
        made = api.adopt_module(name_or_path, example, output_key=output_key, progress=progress)
        return made.model()
    if example is not None or output_key is not None:
        raise UsageError(
            "an example and an output belong to a torch module, but a name is given; give it to nas.api.adopt_model"
        )
    found = export.load(name_or_path, progress)
    return Model.of(found) if isinstance(found, models.Model) else found


__all__ = ["load"]
