"""Training one subnet beside the frozen original: its weights, or low-rank adapters of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from diffusion.compress.examples import EASY
from diffusion.compress.spec import PRUNED
from diffusion.denoisers.native_config import native_config
from diffusion.denoisers.subnets import to_diffusers
from diffusion.denoisers.unet import DiffusionUNet
from diffusion.pipeline.files.folder import is_elastic
from diffusion.training.distil.batches import Distiller
from diffusion.training.distil.chosen import take_over
from diffusion.training.distil.lora import adapt, write_adapters
from diffusion.training.distil.objective import DistillationObjective
from diffusion.training.distil.state import build_supernet, family_of, with_unet
from diffusion.training.step import take_step
from nas.compress import Taylor, cuts_entries
from nas.compress.lora import merged
from nas.elastic import channels_last
from nas.train.objective import Losses
from nas.train.state import MovingAverage, TrainingState

ADAPTERS = "adapters"


@dataclass(kw_only=True)
class SubnetState(TrainingState):
    """The training state of one network, of which the parameters that need a gradient are trained."""

    network: nn.Module
    ema: MovingAverage
    optimizer: torch.optim.Optimizer

    def trained(self) -> list[nn.Module]:
        return [self.network]


class SubnetObjective(DistillationObjective[SubnetState]):
    """One subnet of a UNet beside the frozen original."""

    columns: ClassVar[tuple[str, ...]] = ("step", "images", "loss", "output", "feature", "images_per_s")
    shown: ClassVar[tuple[str, ...]] = ("output", "feature")

    def build(self) -> SubnetState:
        recipe, device, chosen = self.recipe, self.setup.device, self.chosen
        assert chosen is not None
        supernet, teacher = build_supernet(recipe, self.pipeline, device)
        self._family: DiffusionUNet = family_of(supernet)
        self._distiller = Distiller(recipe, teacher, self.pipeline, self.data, self.setup.processes)
        is_new, average = self.setup.checkpoint is None, self.setup.processes.average
        cuts = cuts_entries(self._family, chosen.subnet) and not is_elastic(self.info)
        if is_new and chosen.weights is None and cuts:
            examples = self._distiller.importance_examples()
            supernet.sort_channels(Taylor(threshold=EASY, average=average)(supernet, examples))
        network: Any = supernet.extract(chosen.subnet)
        if is_new and chosen.weights is not None:
            take_over(network, chosen)
        del supernet
        if recipe.lora_rank:
            adapt(network, recipe.lora_rank, recipe.seed)
        network = channels_last(network.to(device)).train()
        ema = MovingAverage(network)
        if recipe.gradient_checkpointing:
            network.enable_gradient_checkpointing()
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        return SubnetState(network=network, ema=ema, optimizer=optimizer)

    def step(self) -> Losses:
        return take_step(self.recipe, self.state, self.setup.processes, self._backward)

    def _backward(self) -> Losses:
        batch = self._distiller.batch(self.state.step)
        errors = self._distiller.errors(batch, self.state.network)
        errors.loss.backward()
        told = {"loss": errors.loss, "output": errors.output, "feature": errors.feature}
        return {name: value.detach() for name, value in told.items()}

    def shown_pipelines(self) -> list[Any]:
        """Return the original, and that of the subnet."""
        return [self.pipeline, self._made()]

    def _made(self) -> Any:
        assert self.chosen is not None
        network = merged(self.state.ema.module)
        return with_unet(self.pipeline, to_diffusers(self._family, self.chosen.subnet, network))

    def finished(self) -> tuple[Any, dict[str, Any]]:
        """Return the pipeline of the averaged weights and what is known of it; write the adapters, if there are."""
        recipe = self.recipe
        assert self.chosen is not None
        subnet = self.chosen.subnet
        if recipe.lora_rank:
            stock = native_config(self._family, subnet) is not None
            write_adapters(self.setup.folder / ADAPTERS, self.state.ema.module, stock)
        kept = {key: value for key, value in self.info.items() if key not in ("space", "elastic", "table")}
        options = {name: value for name, value in self._family.options.items() if name != "config"}
        facts = {"from": self.info.get("name", ""), "choices": dict(subnet), "options": options}
        recovered = {
            "data": self.data_name,
            "steps": self.state.step,
            "batch_size": recipe.batch_size,
            "lora_rank": recipe.lora_rank,
        }
        return self._made().to("cpu"), {**kept, "name": recipe.name, PRUNED: facts, "recovered": recovered}
