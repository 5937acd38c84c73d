"""The public Python face: everything a command does is a function first; commands and the app render its results.

    import nas

    model  = nas.load("mbv3-cifar10")                 # a shipped, cached or trained supernet, or an exported network
    result = model.search(latency="2ms", threads=1)   # SearchResult: answer, front, ladder, run folder
    net    = result.answer.network()                  # an ordinary torch.nn.Module
    result.export("small", formats=["onnx"])
    nas.compare("smallest", "largest")

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.api.comparison import Comparison, compare
    from nas.api.model import Model, load
    from nas.api.results import Evaluation, Exported, SearchAnswer, SearchResult
    from nas.api.tables import Table

_HOMES = {
    "Comparison": "comparison",
    "Evaluation": "results",
    "Exported": "results",
    "Model": "model",
    "SearchAnswer": "results",
    "SearchResult": "results",
    "Table": "tables",
    "compare": "comparison",
    "load": "model",
}

__all__ = [
    "Comparison",
    "Evaluation",
    "Exported",
    "Model",
    "SearchAnswer",
    "SearchResult",
    "Table",
    "compare",
    "load",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
