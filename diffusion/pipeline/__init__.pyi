from .family import PipelineFamily as PipelineFamily
from .inputs.captions import (
    caption_files as caption_files,
    has_metadata as has_metadata,
    open_captioned as open_captioned,
    open_captioned_parquet as open_captioned_parquet,
    open_described as open_described,
)
from .inputs.prompts import some_classes as some_classes
from .sampling.defaults import own_settings as own_settings, remarks as remarks
from .sampling.generate import (
    SamplingSettings as SamplingSettings,
    generate as generate,
    is_conditional as is_conditional,
    is_guided as is_guided,
    takes_classes as takes_classes,
)
