"""The public Python face: everything a command does is a function first; commands and the app render its results.

    import nas

    model  = nas.load("mbv3-cifar10")                 # a shipped, cached or trained supernet, or an exported network
    result = model.search(latency="2ms", threads=1)   # SearchResult: answer, front, ladder, run folder
    net    = result.answer.network()                  # an ordinary torch.nn.Module
    result.export("small", formats=["onnx"])
    nas.compare("smallest", "largest")

Nothing is imported before it is used.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
