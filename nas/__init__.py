"""Train a network once; take from it, in seconds, the best smaller one for this machine and this time budget.

    import nas

    model = nas.load("mbv3-cifar10")                     # a shipped, cached or trained supernet
    result = model.search(latency="1ms", threads=1)      # the best subnet within the budget, measured here
    network = result.answer.network()                    # an ordinary torch module
    result.export("artifacts/small", formats=["onnx"])
    network = nas.load("artifacts/small")                # what an export wrote

Importing this package imports nothing heavy: names are resolved when they are first used (see `nas.api`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import Comparison, Evaluation, Exported, Model, SearchAnswer, SearchResult, compare, load

__version__ = "0.1.0"
_API = ("Comparison", "Evaluation", "Exported", "Model", "SearchAnswer", "SearchResult", "compare", "load")
__all__ = [
    "Comparison",
    "Evaluation",
    "Exported",
    "Model",
    "SearchAnswer",
    "SearchResult",
    "__version__",
    "compare",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(import_module("nas.api"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
