"""Everything that changes in an elastic training, and the frozen original that does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.compress.examples import EASY
from diffusion.denoisers.subnets import to_diffusers
from diffusion.denoisers.unet import DiffusionUNet, diffusion_unet
from diffusion.pipeline.files.folder import DENOISERS, quiet, read_config, read_index, require_parts
from diffusion.training.distil.recipe import DistillationRecipe
from nas.compress import Taylor
from nas.elastic import Inputs, Supernet, channels_last
from nas.errors import UsageError
from nas.space import Subnet
from nas.train.processes import Processes
from nas.train.state import MovingAverage, SupernetState


class DistillationState(SupernetState):
    """The training state."""

    @property
    def family(self) -> DiffusionUNet:
        """The UNet's family."""
        return family_of(self.supernet)


def family_of(supernet: Supernet) -> DiffusionUNet:
    """Return the family of a UNet's supernet."""
    assert isinstance(supernet.family, DiffusionUNet)
    return supernet.family


def unet_family(pipeline: Any, space: Mapping[str, Any]) -> DiffusionUNet:
    """Return the space of a pipeline's UNet; `space` are options of `diffusion_unet`.

    Raises `UsageError` for a pipeline whose UNet takes more than text, or no text, and for one that is pruned already.
    """
    tokenizer, config = getattr(pipeline, "tokenizer", None), dict(pipeline.unet.config)
    _require_text(type(pipeline).__name__, tokenizer is not None, config)
    assert tokenizer is not None
    if config.get("subnet"):
        raise UsageError(
            "the pipeline is pruned already and has nothing larger to learn from; distil the one that it was made from "
            "and name the pruned folder with --subnet"
        )
    known = {"_class_name": type(pipeline.unet).__name__, **config}
    try:
        return diffusion_unet(known, **{"tokens": tokenizer.model_max_length, **space})
    except TypeError as error:
        raise UsageError(
            f"recipe: space has an option that the UNet does not take ({error}); remove it"
        ) from error


def require_taught(folder: Path) -> None:
    """Raise `UsageError` for a folder with a pipeline that cannot be distilled, before any of it is copied."""
    parts, index = require_parts(folder, DENOISERS), read_index(folder)
    config = read_config(folder, "unet") if "unet" in parts else None
    _require_text(str(index.get("_class_name")), "tokenizer" in parts, config)


def _require_text(kind: str, has_text: bool, unet: Mapping[str, Any] | None) -> None:
    if unet is None or not has_text or unet.get("addition_embed_type") is not None:
        raise UsageError(
            f"{kind} is trained by none of our recipes; give a pipeline of Stable Diffusion 1 or 2"
        )


def build_supernet(
    recipe: DistillationRecipe, pipeline: Any, device: torch.device
) -> tuple[Supernet, nn.Module]:
    """Return a supernet with the original's weights, its channels in the original's order, and the frozen original."""
    family = unet_family(pipeline, recipe.space)
    with torch.random.fork_rng(devices=[]):
        supernet = Supernet(family)
    supernet.network.load_state_dict(pipeline.unet.state_dict())
    teacher = supernet.extract(family.space.largest()).requires_grad_(False).to(device)
    return channels_last(supernet.to(device)).train(), channels_last(teacher).eval()


def build_state(
    recipe: DistillationRecipe, pipeline: Any, device: torch.device
) -> tuple[DistillationState, nn.Module]:
    """Return the state of step 0, its channels in the original's order, and the frozen original."""
    supernet, teacher = build_supernet(recipe, pipeline, device)
    ema = MovingAverage(supernet)
    if recipe.gradient_checkpointing:
        family_of(
            supernet
        ).template.enable_gradient_checkpointing()  # the networks of all subnets copy its containers
    state = DistillationState(
        supernet=supernet,
        ema=ema,
        optimizer=torch.optim.AdamW(
            supernet.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        ),
    )
    return state, teacher


def sort_channels(
    state: DistillationState, examples: Iterable[tuple[Inputs, Tensor]], processes: Processes | None = None
) -> None:
    """Sort channels, heads and widths by what leaving them out would cost on the examples; no image changes.

    Of several processes each brings its own examples, and all end with the same order.
    """
    average = None if processes is None else processes.average
    importance = Taylor(threshold=EASY, average=average)(state.supernet, examples)
    for supernet in (state.supernet, state.averaged):
        supernet.sort_channels(importance)
    if processes is not None:
        processes.broadcast(state.supernet, state.averaged)


def with_subnet(pipeline: Any, supernet: Supernet, subnet: Subnet) -> Any:
    """Return the pipeline with a subnet's UNet, cut out of the supernet, in the place of its own."""
    return with_unet(pipeline, to_diffusers(family_of(supernet), subnet, supernet.extract(subnet)))


def with_unet(pipeline: Any, unet: Any) -> Any:
    """Return the pipeline with another UNet in the place of its own."""
    parts = {**pipeline.components, "unet": unet}
    with quiet():
        made = type(pipeline)(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made
