"""The one subnet that a training may be of: which it is, and where its weights come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from diffusion.compress.spec import names_folder, pruned_folder, read_subnet
from diffusion.denoisers.native_config import native_names
from diffusion.pipeline.files.folder import load_pipeline
from diffusion.training.distil.recipe import DistillationRecipe
from diffusion.training.distil.state import unet_family
from nas.errors import NasError, UsageError
from nas.files import read_json, write_json
from nas.space import Subnet

SUBNET = "subnet.json"


@dataclass(frozen=True)
class ChosenSubnet:
    """The one subnet of a run: its choices, what to call it, and the pruned pipeline its weights are taken from."""

    subnet: Subnet
    name: str
    weights: Path | None

    @property
    def facts(self) -> dict[str, Any]:
        """What binds a checkpoint to it."""
        return {"subnet": dict(self.subnet), "pruned": self.weights is not None}


def choose(recipe: DistillationRecipe, pipeline: Any, folder: Path, resume: bool) -> ChosenSubnet | None:
    """Return the subnet that a run trains, None for all; a resumed run knows its own.

    Raises `UsageError` for no such subnet, and where a run would go on with another kind of training.
    """
    kept = folder / SUBNET
    if resume and kept.is_file() != bool(recipe.subnet):
        raise UsageError(
            f"{folder} trains {'one subnet' if kept.is_file() else 'all subnets'}; resume it "
            f"{'with' if kept.is_file() else 'without'} --subnet"
        )
    if not recipe.subnet:
        if recipe.lora_rank:
            raise UsageError(
                f"lora_rank is {recipe.lora_rank}, but adapters recover one subnet; name it with --subnet, or set "
                "lora_rank = 0"
            )
        return None
    family = unet_family(pipeline, recipe.space)
    if resume:
        value = read_json(kept)
        try:
            subnet = family.space.subnet(value["choices"])
            return ChosenSubnet(subnet, str(value["name"]), folder if value["pruned"] else None)
        except (KeyError, TypeError) as error:
            raise NasError(f"{kept} is no subnet of a run ({error}); train anew") from error
    subnet = read_subnet(family, recipe.subnet)
    is_name = recipe.subnet in family.named()
    weights = pruned_folder(recipe.subnet) if names_folder(family, recipe.subnet) else None
    return ChosenSubnet(subnet, recipe.subnet if is_name else json.dumps(dict(subnet)), weights)


def keep(chosen: ChosenSubnet, folder: Path) -> None:
    """Write what a resumed run must know of its subnet."""
    pruned = chosen.weights is not None
    write_json(folder / SUBNET, {"name": chosen.name, "choices": dict(chosen.subnet), "pruned": pruned})


def take_over(network: nn.Module, chosen: ChosenSubnet) -> None:
    """Give the network the weights of a pruned pipeline, whose names may be the stock UNet's."""
    assert chosen.weights is not None
    unet = load_pipeline(chosen.weights).unet
    subnet = type(unet).__name__.startswith("Subnet")
    names = {name: name for name in network.state_dict()} if subnet else native_names(network)
    state = unet.state_dict()
    try:
        network.load_state_dict({own: state[theirs] for own, theirs in names.items()})
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(
            f"{chosen.weights} was not pruned from the original that --start names ({reason}); give its own"
        ) from error
