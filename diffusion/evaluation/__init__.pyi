from .comparison import Candidate as Candidate, PipelineComparison as PipelineComparison, Row as Row
from .comparison_figure import draw_contact_sheet as draw_contact_sheet
from .evaluate import (
    Other as Other,
    PipelineEvaluation as PipelineEvaluation,
    evaluate_pipeline as evaluate_pipeline,
)
from .metrics import Extras as Extras, Figure as Figure
from .quality import (
    classifier as classifier,
    compare as compare,
    match as match,
    prompts_and_seeds as prompts_and_seeds,
    prompts_for as prompts_for,
    require_classes as require_classes,
)
from .task import prompts_of as prompts_of
