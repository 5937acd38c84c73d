"""The mechanism: a subnet is the same plain model at a smaller size, and its weights are slices of the supernet's."""

from nas.elastic._axis import Axis, Cat, Elastic, Fixed, Repeat
from nas.elastic._calibrate import calibrate, correct_statistics, set_statistics
from nas.elastic._count import Counts
from nas.elastic._family import Family, Forward, Part, Pass, Program
from nas.elastic._inputs import (
    Inputs,
    batch_of,
    call,
    cat_inputs,
    map_inputs,
    named_inputs,
    positional,
    split_inputs,
)
from nas.elastic._layout import Kernel, Layout, crop_centre
from nas.elastic._length import Choices as LengthChoices
from nas.elastic._length import Chosen, Divided, Length, Scaled, make_divisible
from nas.elastic._low_bits import bits_dimension, offer_bits, require_offer, with_bits
from nas.elastic._memory import channels_last
from nas.elastic._naming import find_subnet, subnet_of_choices
from nas.elastic._quantize import (
    BITS,
    BLOCK,
    FULL,
    dequantize,
    pack,
    quantize,
    quantized,
    quantized_bytes,
    unpack,
)
from nas.elastic._quantized import (
    PackedConv2d,
    PackedLinear,
    QuantizedConv2d,
    QuantizedLinear,
    packed,
    quantize_layers,
    quantized_layers,
    settle,
    unpacked_state,
)
from nas.elastic._sorting import entry_scores, l1_importance
from nas.elastic._supernet import Supernet
from nas.elastic._template import assembled, resized

__all__ = [
    "BITS",
    "BLOCK",
    "FULL",
    "Axis",
    "Cat",
    "Chosen",
    "Counts",
    "Divided",
    "Elastic",
    "Family",
    "Fixed",
    "Forward",
    "Inputs",
    "Kernel",
    "Layout",
    "Length",
    "LengthChoices",
    "PackedConv2d",
    "PackedLinear",
    "Part",
    "Pass",
    "Program",
    "QuantizedConv2d",
    "QuantizedLinear",
    "Repeat",
    "Scaled",
    "Supernet",
    "assembled",
    "batch_of",
    "bits_dimension",
    "calibrate",
    "call",
    "cat_inputs",
    "channels_last",
    "correct_statistics",
    "crop_centre",
    "dequantize",
    "entry_scores",
    "find_subnet",
    "l1_importance",
    "make_divisible",
    "map_inputs",
    "named_inputs",
    "offer_bits",
    "pack",
    "packed",
    "positional",
    "quantize",
    "quantize_layers",
    "quantized",
    "quantized_bytes",
    "quantized_layers",
    "require_offer",
    "resized",
    "set_statistics",
    "settle",
    "split_inputs",
    "subnet_of_choices",
    "unpack",
    "unpacked_state",
    "with_bits",
]
