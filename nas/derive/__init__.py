"""Any torch model becomes a family: its axes are found by labels over the exported graph, and proved by masking.

A label says when an entry of an axis exists in a subnet. Labels start at the parameters, follow the graph that
`torch.export` gives, and end as axes of `nas.elastic`; what no rule covers stays fixed, and the report says why.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
