"""How good a pipeline's images are, alone, as a search judges them, and side by side with others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from diffusion.evaluation.comparison import Candidate, PipelineComparison, Row
    from diffusion.evaluation.comparison_figure import draw_contact_sheet
    from diffusion.evaluation.metrics import Extras, Figure
    from diffusion.evaluation.quality import (
        classifier,
        compare,
        match,
        prompts_and_seeds,
        prompts_for,
        require_classes,
    )
    from diffusion.evaluation.task import prompts_of

__all__ = [
    "Candidate",
    "PipelineComparison",
    "Extras",
    "Figure",
    "Row",
    "classifier",
    "compare",
    "draw_contact_sheet",
    "match",
    "prompts_and_seeds",
    "prompts_for",
    "prompts_of",
    "require_classes",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "Candidate": "diffusion.evaluation.comparison",
        "PipelineComparison": "diffusion.evaluation.comparison",
        "Extras": "diffusion.evaluation.metrics",
        "Figure": "diffusion.evaluation.metrics",
        "Row": "diffusion.evaluation.comparison",
        "classifier": "diffusion.evaluation.quality",
        "compare": "diffusion.evaluation.quality",
        "draw_contact_sheet": "diffusion.evaluation.comparison_figure",
        "match": "diffusion.evaluation.quality",
        "prompts_and_seeds": "diffusion.evaluation.quality",
        "prompts_for": "diffusion.evaluation.quality",
        "prompts_of": "diffusion.evaluation.task",
        "require_classes": "diffusion.evaluation.quality",
    },
)
