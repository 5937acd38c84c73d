"""Training a pipeline's UNet beside the frozen original: every subnet, or one that is recovered."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from diffusion.training.distil.elastic import ElasticObjective
from diffusion.training.distil.one import SubnetObjective
from diffusion.training.distil.recipe import DistillationRecipe
from nas.data.dataset import Data
from nas.train.trainer import Trainer, TrainerOptions


def distil(
    recipe: DistillationRecipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    described: bool = False,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train every subnet of a pipeline's UNet beside the frozen original and return the folder `folder`/model.

    The result is a pipeline of the same shape, whose UNet's slices work; or, where the recipe names one `subnet`, a
    pipeline of that subnet, recovered. An elastic `start` is gone on from: its channels keep their order.

    Args:
        recipe: How it is trained.
        data: Images, as for `diffusion.training.text_to_image.train`.
        folder: Of the run, which keeps a copy of the original.
        start: The original, as `load_pipeline` takes it; all its other parts are kept as they are. It is not read
            where a run is resumed.
        described: As for `diffusion.training.text_to_image.train`.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: No start, a pipeline that none of the recipes trains, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """

    kind = SubnetObjective if recipe.subnet else ElasticObjective
    return Trainer(Path(folder), **options).run(lambda setup: kind(recipe, data, start, described, setup))
