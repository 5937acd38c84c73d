"""Train a network once; take from it, in seconds, the best smaller one for this machine and this time budget.

    import nas

    model = nas.load("mbv3-cifar10")                     # a shipped, cached or trained supernet
    network = model.extract(model.space.smallest())      # an ordinary torch module
    network = nas.load("artifacts/small")                # what `nas export` wrote

Importing this package imports nothing heavy: names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.export import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

_LAZY = {"load": "nas.export"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
