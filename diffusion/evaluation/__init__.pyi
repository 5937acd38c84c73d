from .comparing import ComparedPipelines as ComparedPipelines, compare_pipelines as compare_pipelines
from .evaluate import PipelineEvaluation as PipelineEvaluation, evaluate_pipeline as evaluate_pipeline
