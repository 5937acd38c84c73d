"""Training one subnet beside the frozen original: its weights, or low-rank adapters of them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from diffusion.distil.lessons import Lessons
from diffusion.distil.lora import add_adapters, merged, write_adapters
from diffusion.distil.recipe import Recipe
from diffusion.distil.state import build_supernet, family_of, unet_family, with_unet
from diffusion.importance import taylor_importance
from diffusion.pipeline import is_elastic, load_pipeline
from diffusion.prune.spec import PRUNED, cuts_entries, pruned_folder, read_subnet
from diffusion.stock import stock_config, stock_names
from diffusion.subnets import to_diffusers
from diffusion.train.steps import take_step
from diffusion.unet import DiffusionUNet
from nas._errors import NasError, UsageError
from nas._files import read_json, write_json
from nas.elastic import channels_last
from nas.space import Subnet
from nas.train._group import Group
from nas.train._log import LossLog
from nas.train.loop import Losses
from nas.train.saved import Saved, move_average

if TYPE_CHECKING:
    from diffusion.distil.engine import Job

SUBNET, ADAPTERS = "subnet.json", "adapters"


class FixedLog(LossLog):
    """Progress of one run: the loss, and the errors against the original."""

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "output", "feature", "images_per_s")
    shown: ClassVar[tuple[str, ...]] = ("output", "feature")


@dataclass(kw_only=True)
class FixedState(Saved):
    """The training state of one network, of which the parameters that need a gradient are trained."""

    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained."""
        return [self.network]

    def average(self, beta: float) -> None:
        """Move the averaged weights towards the present ones, keeping `beta` of them."""
        pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
        kept, now = zip(*((kept, now) for kept, now in pairs if now.requires_grad), strict=True)
        move_average(kept, now, beta)


class FixedSteps:
    """The training steps of one network."""

    def __init__(self, recipe: Recipe, state: FixedState, lessons: Lessons, group: Group) -> None:
        self._recipe, self._state, self._lessons, self._group = recipe, state, lessons, group

    def take(self) -> Losses:
        """Take one step and count it."""
        return take_step(self._recipe, self._state, self._group, self._backward)

    def _backward(self) -> Losses:
        lesson = self._lessons.lesson(self._state.step)
        errors = self._lessons.errors(lesson, self._state.network)
        errors.loss.backward()
        told = {"loss": errors.loss, "output": errors.output, "feature": errors.feature}
        return {name: value.detach() for name, value in told.items()}


@dataclass(frozen=True)
class Chosen:
    """The one subnet of a run: its choices, what to call it, and the pruned pipeline its weights are taken from."""

    subnet: Subnet
    name: str
    weights: Path | None

    @property
    def facts(self) -> dict[str, Any]:
        """What binds a checkpoint to it."""
        return {"subnet": dict(self.subnet), "pruned": self.weights is not None}


def choose(recipe: Recipe, pipeline: Any, folder: Path, resume: bool) -> Chosen | None:
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
            return Chosen(subnet, str(value["name"]), folder if value["pruned"] else None)
        except (KeyError, TypeError) as error:
            raise NasError(f"{kept} is no subnet of a run ({error}); train anew") from error
    subnet = read_subnet(family, recipe.subnet)
    is_name = recipe.subnet in {**family.named(), "smallest": None}
    weights = None if is_name or recipe.subnet.lstrip().startswith("{") else pruned_folder(recipe.subnet)
    return Chosen(subnet, recipe.subnet if is_name else json.dumps(dict(subnet)), weights)


def keep(chosen: Chosen, folder: Path) -> None:
    """Write what a resumed run must know of its subnet."""
    pruned = chosen.weights is not None
    write_json(folder / SUBNET, {"name": chosen.name, "choices": dict(chosen.subnet), "pruned": pruned})


class Fixed:
    """The training of one subnet: its state, its steps, its pictures and what is left of it."""

    log = FixedLog

    def __init__(self, job: Job, chosen: Chosen, resumed: bool) -> None:
        recipe, device = job.recipe, job.group.device
        self._job, self._chosen = job, chosen
        supernet, teacher = build_supernet(recipe, job.pipeline, device)
        self._family: DiffusionUNet = family_of(supernet)
        lessons = Lessons(recipe, teacher, job.pipeline, job.data, job.group)
        if chosen.weights is not None or resumed:
            network: Any = supernet.extract(chosen.subnet)
            if not resumed:
                _take_over(network, chosen)
        else:
            if cuts_entries(self._family, chosen.subnet) and not is_elastic(job.info):
                examples = lessons.importance_examples()
                supernet.sort_channels(taylor_importance(supernet, examples, average=job.group.average))
            network = supernet.extract(chosen.subnet)
        del supernet
        if recipe.lora_rank:
            add_adapters(network, recipe.lora_rank, recipe.seed)
        network = channels_last(network.to(device)).train()
        averaged = copy.deepcopy(network).requires_grad_(False).eval()
        if recipe.gradient_checkpointing:
            network.enable_gradient_checkpointing()
        job.group.follow(network, averaged)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        self.state = FixedState(
            network=network,
            averaged=averaged,
            optimizer=torch.optim.AdamW(trained, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True),
        )
        self.take = FixedSteps(recipe, self.state, lessons, job.group).take

    def rows(self) -> list[Any]:
        """Return the pipelines whose samples are shown: the original, and the subnet."""
        return [self._job.pipeline, self._made()]

    def _made(self) -> Any:
        network = merged(self.state.averaged)
        return with_unet(self._job.pipeline, to_diffusers(self._family, self._chosen.subnet, network))

    def finish(self) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline of the averaged weights and what is known of it; write the adapters, if there are."""
        job, subnet = self._job, self._chosen.subnet
        if job.recipe.lora_rank:
            stock = stock_config(self._family, subnet) is not None
            write_adapters(job.folder / ADAPTERS, self.state.averaged, stock)
        kept = {key: value for key, value in job.info.items() if key not in ("space", "elastic", "table")}
        options = {name: value for name, value in self._family.options.items() if name != "config"}
        facts = {"from": job.info.get("name", ""), "choices": dict(subnet), "options": options}
        recovered = {
            "data": job.data_name,
            "steps": self.state.step,
            "batch_size": job.recipe.batch_size,
            "lora_rank": job.recipe.lora_rank,
        }
        return self._made().to("cpu"), {
            **kept,
            "name": job.recipe.name,
            PRUNED: facts,
            "recovered": recovered,
        }


def _take_over(network: nn.Module, chosen: Chosen) -> None:
    """Give the network the weights of a pruned pipeline, whose names may be the stock UNet's."""
    assert chosen.weights is not None
    unet = load_pipeline(chosen.weights).unet
    subnet = type(unet).__name__.startswith("Subnet")
    names = {name: name for name in network.state_dict()} if subnet else stock_names(network)
    state = unet.state_dict()
    try:
        network.load_state_dict({own: state[theirs] for own, theirs in names.items()})
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UsageError(
            f"{chosen.weights} was not pruned from the original that --start names ({reason}); give its own"
        ) from error
