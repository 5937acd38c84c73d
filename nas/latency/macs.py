"""MACs by operator, counted by fvcore: an independent check of the supernet's own counting, and detail for people.

fvcore says flops and counts multiply-accumulates. This is the only file that imports it.
"""

from __future__ import annotations

import logging
import warnings
from math import prod
from typing import TYPE_CHECKING, Any

from nas import elastic

if TYPE_CHECKING:
    from torch import nn


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the MACs of attention: queries times keys, and weights times values."""
    from fvcore.nn.jit_handles import get_shape

    query, value = list(get_shape(inputs[0]) or ()), list(get_shape(inputs[2]) or ())
    *batch, length, width = query
    return prod(batch) * length * value[-2] * (width + value[-1])


def macs_by_operator(module: nn.Module, example: elastic.Inputs) -> dict[str, int]:
    """Return the multiply-accumulates of one pass of `module` over `example`, by operator ("conv", "linear", ...)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(*elastic.positional(module.eval(), example))
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return {operator: round(count) for operator, count in analysis.by_operator().items()}
