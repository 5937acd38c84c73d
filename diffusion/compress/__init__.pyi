from .pruning import PipelinePruneConfig as PipelinePruneConfig, Pruned as Pruned, prune as prune
from .quantization import (
    LEAST_PSNR as LEAST_PSNR,
    QuantizationTrial as QuantizationTrial,
    TriedScheme as TriedScheme,
    refusal as refusal,
    schemes as schemes,
)
from .quantized import write_quantized as write_quantized
from .spec import open_quantizable as open_quantizable
from .verbs import (
    PipelinePruning as PipelinePruning,
    PipelineQuantization as PipelineQuantization,
    prune_pipeline as prune_pipeline,
    quantize_pipeline as quantize_pipeline,
)
