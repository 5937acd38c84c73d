"""A whole pipeline: its folder, its parts, what it is given, how it samples, and all of it as one family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from diffusion.pipeline.family import PipelineFamily
    from diffusion.pipeline.inputs.captions import (
        caption_files,
        has_metadata,
        open_captioned,
        open_captioned_parquet,
        open_described,
    )
    from diffusion.pipeline.inputs.prompts import some_classes
    from diffusion.pipeline.sampling.defaults import own_settings, remarks
    from diffusion.pipeline.sampling.generate import (
        SamplingSettings,
        generate,
        is_conditional,
        is_guided,
        takes_classes,
    )

__all__ = [
    "PipelineFamily",
    "SamplingSettings",
    "caption_files",
    "generate",
    "has_metadata",
    "is_conditional",
    "is_guided",
    "open_captioned",
    "open_captioned_parquet",
    "open_described",
    "own_settings",
    "remarks",
    "some_classes",
    "takes_classes",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "PipelineFamily": "diffusion.pipeline.family",
        "SamplingSettings": "diffusion.pipeline.sampling.generate",
        "caption_files": "diffusion.pipeline.inputs.captions",
        "generate": "diffusion.pipeline.sampling.generate",
        "has_metadata": "diffusion.pipeline.inputs.captions",
        "is_conditional": "diffusion.pipeline.sampling.generate",
        "is_guided": "diffusion.pipeline.sampling.generate",
        "open_captioned": "diffusion.pipeline.inputs.captions",
        "open_captioned_parquet": "diffusion.pipeline.inputs.captions",
        "open_described": "diffusion.pipeline.inputs.captions",
        "own_settings": "diffusion.pipeline.sampling.defaults",
        "remarks": "diffusion.pipeline.sampling.defaults",
        "some_classes": "diffusion.pipeline.inputs.prompts",
        "takes_classes": "diffusion.pipeline.sampling.generate",
    },
)
