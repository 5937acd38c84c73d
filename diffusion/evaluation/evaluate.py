"""Everything that can be told of a pipeline's images at once: prompt match, distances to another's and to real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from diffusion import pipeline as pipelines
from diffusion.evaluation.metrics import Extras, Figure
from diffusion.evaluation.quality import (
    CLASSIFIER,
    Difference,
    Match,
    classifier,
    compare,
    match,
    prompts_and_seeds,
    prompts_for,
    require_classes,
)
from diffusion.pipeline import SamplingSettings
from nas.data.dataset import Data
from nas.data.images import real_images
from nas.errors import UsageError
from nas.progress import Steps


@dataclass(frozen=True)
class Other:
    """Another pipeline whose images are compared with: its name for readers, itself, and how it samples."""

    name: str
    pipeline: Any
    settings: SamplingSettings


@dataclass(frozen=True)
class PipelineEvaluation:
    """What was found of a pipeline's images.

    Attributes:
        settings: How they were sampled.
        match: The share of images that show the class of their prompt; None where no classifier can say.
        difference: To the other pipeline's images of the same prompts and seeds; None without one.
        figures: Distances and scores, each with the features that it is measured in.
    """

    settings: SamplingSettings
    match: Match | None
    difference: Difference | None
    figures: Sequence[Figure]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)


def evaluate_pipeline(
    pipeline: Any,
    settings: SamplingSettings,
    prompts: Sequence[str] = (),
    *,
    own_prompts: Callable[[], Sequence[str]] = lambda: [""],
    images: int = 500,
    seed: int = 0,
    against: Other | None = None,
    compared: int = 64,
    data: Data | None = None,
    extras: Extras | None = None,
    judge: str = CLASSIFIER,
    progress: Steps | None = None,
) -> PipelineEvaluation:
    """Make images with a pipeline and measure what can be measured of them.

    Args:
        pipeline: A loaded one.
        settings: How it samples.
        prompts: What images are asked for; none for each class that the classifier knows, in turn.
        own_prompts: Says what is asked for where it knows no class of the pipeline's.
        images: How many, at least 1.
        seed: Of the first image; the others follow.
        against: Another pipeline, whose images of the same prompts and seeds are compared with.
        compared: How many images are, at most.
        data: Real images to compare with.
        extras: CLIP score, LPIPS and FID, where their weights are at hand.
        judge: The classifier that sees what images show.
        progress: Hears how many images there are.

    Raises:
        UsageError: Nothing to judge by: prompts without a class each, no other pipeline and no images.
    """
    evaluator, extras = classifier(judge), extras or Extras()
    asked = list(prompts) or prompts_for(pipeline, evaluator)
    can_be_unjudged = against is not None or data is not None
    if not asked and not can_be_unjudged:
        raise UsageError(
            f"the images of the pipeline are of no class that {judge} knows, so that nothing can be judged; name "
            "another pipeline with --against, or real images with --data, to compare them with"
        )
    is_judged = bool(asked)
    if is_judged and (can_be_unjudged or extras.clip):
        is_judged = all(evaluator.class_of(prompt) is not None for prompt in asked)
    if is_judged:
        require_classes(asked, evaluator)
    words, seeds = prompts_and_seeds(asked or list(own_prompts()), images, seed)
    made = pipelines.generate(pipeline, words, seeds, settings, advance=progress)
    figures, difference = extras.of_prompts(made, words), None
    if against is not None:
        few = words[:compared], seeds[:compared]
        difference = compare(pipeline, against.pipeline, *few, settings, other_settings=against.settings)
        others = pipelines.generate(against.pipeline, *few, against.settings)
        figures += extras.of_pairs(made[: len(others)], others, against.name)
    if data is not None:
        real = real_images(data, made.shape[1]).pixels.permute(0, 2, 3, 1).numpy()
        figures += extras.of_sets(made, real)
    found = match(made, words, evaluator) if is_judged else None
    return PipelineEvaluation(settings, found, difference, figures)
