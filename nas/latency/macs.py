"""MACs by operator, counted by fvcore: an independent check of the supernet's own counting, and detail for people.

fvcore says flops and counts multiply-accumulates. This is the only file that imports it.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def macs_by_operator(module: nn.Module, example: Tensor) -> dict[str, int]:
    """Return the multiply-accumulates of one pass of `module` over `example`, by operator ("conv", "linear", ...)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(module.eval(), example)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return {operator: round(count) for operator, count in analysis.by_operator().items()}
