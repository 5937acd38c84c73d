"""Train a network once; take from it, in seconds, the best smaller one for this machine and this time budget.

    import nas

    model = nas.load("mbv3-cifar10")                     # a shipped, cached or trained supernet
    result = model.search(latency="1ms", threads=1)      # the best subnet within the budget, measured here
    network = result.answer.network()                    # an ordinary torch module
    result.export("artifacts/small", formats=["onnx"])
    network = nas.load("artifacts/small")                # what an export wrote

Importing this package imports nothing heavy: names are resolved when they are first used (see `nas.api`).
"""

from nas.lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__ += ["__version__"]
