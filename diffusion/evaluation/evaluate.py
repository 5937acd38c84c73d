"""Everything that can be told of a pipeline's images at once: prompt match, distances to another's and to real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from diffusion.pipeline import OpenedPipeline, generate, open_pipeline
from nas.api import Result, Table
from nas.api.data import AnyData
from nas.api.data import opened as opened_data
from nas.data.images import real_images
from nas.errors import UsageError
from nas.progress import Listener, as_progress


@dataclass(frozen=True)
class PipelineEvaluation(Result):
    """What was found of a pipeline's images.

    Attributes:
        pipeline: What made them, and how.
        against: The other pipeline that they were compared with; None without one.
        match: The share of images that show the class of their prompt; None where no classifier can say.
        difference: To the other pipeline's images of the same prompts and seeds; None without one.
        figures: Distances and scores, each with the features that it is measured in.
    """

    pipeline: OpenedPipeline
    against: OpenedPipeline | None
    match: Match | None
    difference: Difference | None
    figures: Sequence[Figure]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas diffusion eval --json` prints."""
        return {
            "pipeline": self.pipeline.name,
            "against": None if self.against is None else self.against.name,
            "settings": asdict(self.pipeline.settings),
            "match": None if self.match is None else asdict(self.match),
            "difference": None if self.difference is None else asdict(self.difference),
            "figures": [asdict(figure) for figure in self.figures],
        }

    def table(self) -> Table:
        """Return the prompt match by prompt, in %."""
        found = {} if self.match is None else self.match.by_prompt
        return Table(("prompt", "match"), [(prompt, f"{percent:.1f}%") for prompt, percent in found.items()])

    def tables(self) -> Sequence[Table]:
        return ()

    @property
    def remarks(self) -> Sequence[str]:
        """Every figure in a sentence."""
        said, match, near = [], self.match, self.difference
        if match is not None:
            said.append(
                f"prompt match {match.percent:.1f}% (95%: {match.low:.1f} to {match.high:.1f}%), {match.images} images "
                f"judged by {match.classifier}"
            )
            said += [f"  {percent:5.1f}%  {prompt}" for prompt, percent in match.by_prompt.items()]
        if near is not None and self.against is not None:
            latent = "" if near.latent is None else f", latent error {near.latent:.3f}"
            similar = "" if near.ssim is None else f", SSIM {near.ssim:.3f}"
            said.append(
                f"against {self.against.spec}: PSNR {near.psnr_db:.1f} dB{similar}{latent}, "
                f"{near.images} images of the same seeds"
            )
        for each in self.figures:
            said.append(
                f"{each.name} {each.value:.4g} to {each.against} ({each.features}, {each.images} images)"
            )
        return said


def evaluate_pipeline(
    pipeline: str | Path,
    prompts: Sequence[str] = (),
    *,
    against: str | Path | None = None,
    data: AnyData | None = None,
    images: int = 500,
    compared: int = 64,
    seed: int = 0,
    judge: str = CLASSIFIER,
    clip: str | None = None,
    lpips: str | None = None,
    inception: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: Listener | None = None,
    **sampling: Any,
) -> PipelineEvaluation:
    """Make images with a pipeline and measure what can be measured of them.

    Args:
        pipeline: A shipped pipeline's name, a folder that diffusers saved, a training's run, or a hub id.
        prompts: What images are asked for; none for each class that the classifier knows, in turn.
        against: Another pipeline, whose images of the same prompts and seeds are compared with.
        data: Real images to compare with.
        images: How many, at least 1.
        compared: How many of them are compared with the other pipeline's, at most.
        seed: Of the first image; the others follow.
        judge: The classifier that sees what images show.
        clip: A model of transformers for the CLIP score: a folder, an id, or "cache" for what is downloaded already.
        lpips: torchvision's weights for LPIPS to the other pipeline's images: a file, or "cache".
        inception: Inception's weights for FID to the data: a file, or "cache".
        device: Where pipelines run.
        threads: Of torch; None leaves them as they are.
        progress: Hears how many images there are, and remarks.
        **sampling: Of `SamplingSettings`: steps, guidance, negative, rescale; None for a pipeline's own.

    Raises:
        UsageError: Nothing to judge by: prompts without a class each, no other pipeline and no images.
    """
    _require("lpips", lpips, against, "--against: a pipeline to compare with")
    _require("inception", inception, data, "--data: real images to compare with")
    real_data, hear = opened_data(data), as_progress(progress)
    extras = Extras.opened(clip, lpips, inception)
    how = {**sampling, "device": device, "threads": threads, "progress": hear}
    opened = open_pipeline(pipeline, **how)
    other = None if against is None else open_pipeline(against, **how)
    evaluator, named = classifier(judge), opened.prompts(prompts) if prompts else []
    asked = named or prompts_for(opened.pipeline, evaluator)
    can_be_unjudged = other is not None or real_data is not None
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
    words, seeds = prompts_and_seeds(asked or opened.prompts(), images, seed)
    made = generate(opened.pipeline, words, seeds, opened.settings, advance=hear.steps("images"))
    figures, difference = extras.of_prompts(made, words), None
    if other is not None:
        few = words[:compared], seeds[:compared]
        difference = compare(
            opened.pipeline, other.pipeline, *few, opened.settings, other_settings=other.settings
        )
        others = generate(other.pipeline, *few, other.settings)
        figures += extras.of_pairs(made[: len(others)], others, other.spec)
    if real_data is not None:
        real = real_images(real_data, made.shape[1]).pixels.permute(0, 2, 3, 1).numpy()
        figures += extras.of_sets(made, real)
    found = match(made, words, evaluator) if is_judged else None
    return PipelineEvaluation(opened, other, found, difference, figures)


def _require(option: str, value: str | None, other: object, needed: str) -> None:
    if value is not None and other is None:
        raise UsageError(f"--{option} is given, but it needs {needed}")
