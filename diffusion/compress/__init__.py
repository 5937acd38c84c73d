"""Pruning a trained pipeline to one smaller one: a named subnet, given choices, or what a limit leaves room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from diffusion.compress.pruning import PipelinePruneConfig, Pruned, prune
    from diffusion.compress.quantization import LEAST_PSNR, QuantizationTrial, TriedScheme, refusal, schemes
    from diffusion.compress.quantized import write_quantized
    from diffusion.compress.verbs import (
        PipelinePruning,
        PipelineQuantization,
        prune_pipeline,
        quantize_pipeline,
    )

__all__ = [
    "LEAST_PSNR",
    "PipelineQuantization",
    "PipelinePruneConfig",
    "Pruned",
    "PipelinePruning",
    "QuantizationTrial",
    "TriedScheme",
    "prune",
    "prune_pipeline",
    "quantize_pipeline",
    "refusal",
    "schemes",
    "write_quantized",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "LEAST_PSNR": "diffusion.compress.quantization",
        "PipelinePruneConfig": "diffusion.compress.pruning",
        "Pruned": "diffusion.compress.pruning",
        "PipelineQuantization": "diffusion.compress.verbs",
        "PipelinePruning": "diffusion.compress.verbs",
        "prune_pipeline": "diffusion.compress.verbs",
        "quantize_pipeline": "diffusion.compress.verbs",
        "QuantizationTrial": "diffusion.compress.quantization",
        "TriedScheme": "diffusion.compress.quantization",
        "prune": "diffusion.compress.pruning",
        "refusal": "diffusion.compress.quantization",
        "schemes": "diffusion.compress.quantization",
        "write_quantized": "diffusion.compress.quantized",
    },
)
