from ._axis import Axis as Axis, Cat as Cat, Elastic as Elastic, Fixed as Fixed, Repeat as Repeat
from ._calibrate import (
    calibrate as calibrate,
    correct_statistics as correct_statistics,
    set_statistics as set_statistics,
)
from ._count import Counts as Counts
from ._family import Family as Family, Forward as Forward, Part as Part, Pass as Pass, Program as Program
from ._inputs import (
    Inputs as Inputs,
    batch_of as batch_of,
    call as call,
    cat_inputs as cat_inputs,
    map_inputs as map_inputs,
    named_inputs as named_inputs,
    positional as positional,
    split_inputs as split_inputs,
)
from ._layout import Kernel as Kernel, Layout as Layout, crop_centre as crop_centre
from ._length import (
    Chosen as Chosen,
    Divided as Divided,
    Length as Length,
    LengthChoices as LengthChoices,
    Scaled as Scaled,
    make_divisible as make_divisible,
)
from ._low_bits import (
    bits_dimension as bits_dimension,
    offer_bits as offer_bits,
    require_offer as require_offer,
    with_bits as with_bits,
)
from ._memory import channels_last as channels_last
from ._naming import find_subnet as find_subnet, subnet_of_choices as subnet_of_choices
from ._quantize import (
    BITS as BITS,
    BLOCK as BLOCK,
    FULL as FULL,
    dequantize as dequantize,
    pack as pack,
    quantize as quantize,
    quantized as quantized,
    quantized_bytes as quantized_bytes,
    unpack as unpack,
)
from ._quantized import (
    PackedConv2d as PackedConv2d,
    PackedLinear as PackedLinear,
    QuantizedConv2d as QuantizedConv2d,
    QuantizedLinear as QuantizedLinear,
    packed as packed,
    quantize_layers as quantize_layers,
    quantized_layers as quantized_layers,
    settle as settle,
    unpacked_state as unpacked_state,
)
from ._sorting import entry_scores as entry_scores, l1_importance as l1_importance
from ._supernet import Supernet as Supernet
from ._template import assembled as assembled, resized as resized
