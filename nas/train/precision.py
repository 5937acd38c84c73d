"""Mixed precision: where it is quicker, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable

import torch

from nas.errors import UsageError


def autocast(precision: str, device: torch.device, *, auto: str = "bf16") -> Callable[[], torch.autocast]:
    """Return what makes the context that networks run in.

    Args:
        precision: "fp32", "bf16", or "auto": what `auto` says on CUDA, fp32 on a processor.
        device: Where the networks are.
        auto: "bf16", or "tf32" for fp32 with TF32 products, which is switched on here.

    Raises:
        UsageError: bf16 on a processor, where it was measured to be slower.
    """
    if precision == "bf16" and device.type == "cpu":
        raise UsageError("precision bf16 trains slower than fp32 on a CPU; use fp32 or auto")
    if device.type == "cuda" and precision == "auto" and auto == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    enabled = device.type == "cuda" and (precision == "bf16" or (precision == "auto" and auto == "bf16"))
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
