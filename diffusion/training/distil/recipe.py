"""The recipe of an elastic training: every number that decides the result, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from diffusion.training.schedule import Schedule
from nas.errors import UsageError
from nas.train.settings import Natural, Share, Weight, recipes_of


class DistillationRecipe(Schedule):
    """How the subnets of a pipeline's UNet are trained beside the frozen original; the rest is in `Schedule`.

    Every step trains the largest subnet, the narrowest (least inner channels, heads and widths in all blocks) and
    `random_subnets` drawn at random (the sandwich rule, Yu & Huang 2019); or, where `subnet` names one, that alone.

    Attributes:
        subnet: the one that is trained, as `diffusion.compress.spec.read_subnet` takes it; empty for all.
        lora_rank: above 0, the rank of the adapters that are trained in the place of the one subnet's weights (LoRA, Hu
            et al. 2022) and merged into them at the end.
        space: options of `diffusion.denoisers.unet.diffusion_unet`: which sizes are offered.
        uniform_share: share of the random subnets that have one size everywhere.
        task_weight: of the error against the data; output_weight: against the original's prediction; feature_weight:
            against the original's features after each stage, relative to their size (BK-SDM, Kim et al. 2024).
    """

    # A subnet is bound to a checkpoint by its choices, and both did not exist in the first checkpoints.
    not_in_digest: ClassVar[tuple[str, ...]] = (*Schedule.not_in_digest, "subnet", "lora_rank")

    name: str = "elastic-sd"
    subnet: str = ""
    lora_rank: Natural = 0
    space: Mapping[str, Any] = {}
    random_subnets: Natural = 1
    uniform_share: Share = 0.5
    task_weight: Weight = 0.2
    output_weight: Weight = 1.0
    feature_weight: Weight = 0.1

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not self.task_weight + self.output_weight + self.feature_weight > 0:
            raise UsageError(
                "recipe: task_weight, output_weight and feature_weight are all 0; nothing is learned"
            )
        return self


recipe_names, load_recipe = recipes_of(DistillationRecipe, "diffusion.training.distil")
