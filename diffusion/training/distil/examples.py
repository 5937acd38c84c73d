"""Examples of real images with captions, for pipelines of text to image."""

from __future__ import annotations

from diffusion.compress.examples import TIMESTEPS, Example
from diffusion.pipeline.elastic import ElasticPipeline
from diffusion.pipeline.inputs.captions import plain_name
from diffusion.training.captioned import captioned_images
from diffusion.training.distil.batches import Distiller
from diffusion.training.distil.recipe import DistillationRecipe
from nas.data.dataset import Data
from nas.errors import UsageError
from nas.train.processes import Processes


def real_examples(
    data: Data, described: bool, opened: ElasticPipeline, count: int, seed: int
) -> tuple[list[Example], str]:
    """Return examples of `count` of the data's images each, from little to all noise, and what the data are called.

    With `described` the data's classes are captions.

    Raises `UsageError` for a pipeline that takes no text, or more than text.
    """
    pipeline = opened.pipeline
    if getattr(pipeline, "tokenizer", None) is None or getattr(pipeline, "tokenizer_2", None) is not None:
        raise UsageError(
            f"{type(pipeline).__name__} does not take one text alone, so that data cannot be given to it; leave --data "
            "out: the pipeline's own samples are used"
        )
    for part in (pipeline.vae, pipeline.text_encoder):
        part.requires_grad_(False)
    images, _ = captioned_images(pipeline, data, described)
    recipe = DistillationRecipe(batch_size=count, seed=seed, drop_caption=0.0)
    distiller = Distiller(recipe, opened.denoiser, pipeline, images, Processes(0, 1, opened.denoiser.device))
    return list(distiller.importance_examples(TIMESTEPS)), plain_name(data.name)
