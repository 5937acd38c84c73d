from .architectures import (
    Architecture as Architecture,
    Group as Group,
    architecture as architecture,
    weightless as weightless,
)
from .artifact import Export as Export
from .bench import (
    Network as Network,
    measure_networks as measure_networks,
    measured_latency as measured_latency,
)
from .formats import FORMATS as FORMATS, Format as Format, parse_formats as parse_formats
from .loading import (
    artifact_family as artifact_family,
    artifact_model as artifact_model,
    artifact_subnet as artifact_subnet,
    load as load,
    load_artifact as load_artifact,
)
from .manifest import (
    CARD as CARD,
    InputSpec as InputSpec,
    Latency as Latency,
    Manifest as Manifest,
    QualityFigure as QualityFigure,
    file_state as file_state,
    hash_files as hash_files,
    is_artifact as is_artifact,
    read_manifest as read_manifest,
    write_manifest as write_manifest,
)
from .parity import ParityError as ParityError, ParityRow as ParityRow
from .quantization import (
    Quantized as Quantized,
    quantize_artifact as quantize_artifact,
    require_one_program as require_one_program,
)
from .weights import refuse_pickle as refuse_pickle
