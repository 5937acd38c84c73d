from .family import PipelineFamily as PipelineFamily
from .inputs.captions import (
    caption_files as caption_files,
    has_metadata as has_metadata,
    open_captioned as open_captioned,
    open_captioned_parquet as open_captioned_parquet,
    open_described as open_described,
)
from .sampling.defaults import own_settings as own_settings
from .sampling.generate import (
    SamplingSettings as SamplingSettings,
    generate as generate,
)
from .sampling.images import sample_images as sample_images
from .sampling.opened import OpenedPipeline as OpenedPipeline, open_pipeline as open_pipeline
