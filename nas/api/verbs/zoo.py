"""Searching a zoo: which published model is best within a latency on this machine."""

from __future__ import annotations

from nas.latency import Workload, chosen_runtime
from nas.progress import Listener, as_progress
from nas.search import Budget
from nas.zoo import ModelTimer, ZooResult, ZooSearch, open_profile, open_zoo


def search_zoo(
    zoo: str = "timm",
    latency: str | None = None,
    *,
    macs: str | None = None,
    params: str | None = None,
    size: str | None = None,
    quality: str | None = None,
    runtime: str | None = None,
    threads: int = 1,
    batch_size: int = 1,
    progress: Listener | None = None,
) -> ZooResult:
    """Find the published model that is best within a latency, measured on this machine.

    The first search of a machine measures some 60 models, which takes minutes; the latency of all others is predicted
    from what they compute, and the best ones are measured before one is the answer. What was measured is kept, so that
    later searches take seconds, and one that was stopped (Ctrl-C) goes on where it was. Weights decide no latency:
    none is fetched.

    Args:
        zoo: "timm" with every model and image size that timm publishes an ImageNet accuracy of.
        latency: The longest time of one pass, such as "20ms"; it is needed.
        macs: The most multiply-accumulates of one image, such as "2G".
        params: The most parameters, such as "10M".
        size: The most bytes of weights, such as "40MB".
        quality: The published accuracy that is maximised, "top1" (the default) or "top5".
        runtime: What runs models ("onnxruntime", "openvino", "torch"); None for this machine's default.
        threads: That run a model, at least 1.
        batch_size: Images of one pass, at least 1.
        progress: Hears what is going on, with the best model so far.

    Returns:
        The result; without an answer where no model keeps the budget, `reason` says why.

    Raises:
        UsageError: No latency, an unknown zoo, quality or runtime.

    Example:
        result = nas.search_zoo("timm", latency="20ms", threads=1)
        network = timm.create_model(result.answer.model.name, pretrained=True)
    """
    known, chosen = open_zoo(zoo), chosen_runtime(runtime)
    workload = Workload(batch_size=batch_size, threads=threads)
    return ZooSearch(
        known, open_profile(known, chosen, workload), ModelTimer(known, chosen, workload),
        Budget.parse(latency, macs, params, size), quality or "top1", as_progress(progress),
    ).run()  # fmt: skip


__all__ = ["search_zoo"]
