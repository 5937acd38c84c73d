"""Exporting a subnet: a folder with weights, ONNX, a torch program, a model card and hashes, checked for parity.

Nothing heavy is imported before it is needed: reading a manifest costs no torch.
"""

from nas.export._architecture import Architecture, Group, architecture, weightless
from nas.export._artifact import Export
from nas.export._bench import Network, measure_networks, measured_latency
from nas.export._formats import FORMATS, Format, parse_formats
from nas.export._load import artifact_family, artifact_model, artifact_subnet, load, load_artifact
from nas.export._manifest import (
    CARD,
    InputSpec,
    Latency,
    Manifest,
    QualityFigure,
    file_state,
    hash_files,
    is_artifact,
    read_manifest,
    write_manifest,
)
from nas.export._parity import ParityError, ParityRow
from nas.export._quantize import Quantized, quantize_artifact, require_one_program
from nas.export._weights import refuse_pickle

__all__ = [
    "CARD",
    "FORMATS",
    "Architecture",
    "Export",
    "Format",
    "Group",
    "InputSpec",
    "Latency",
    "Manifest",
    "Network",
    "ParityError",
    "ParityRow",
    "QualityFigure",
    "Quantized",
    "architecture",
    "artifact_family",
    "artifact_model",
    "artifact_subnet",
    "file_state",
    "hash_files",
    "is_artifact",
    "load",
    "load_artifact",
    "measure_networks",
    "measured_latency",
    "parse_formats",
    "quantize_artifact",
    "read_manifest",
    "refuse_pickle",
    "require_one_program",
    "weightless",
    "write_manifest",
]
