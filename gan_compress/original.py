"""The full generator beside which subnets are judged."""

from __future__ import annotations

from nas.models import Model, load_model


def with_weights(model: Model) -> Model:
    """Return `model`, or for an exported one the supernet of its name, which has the full generator."""
    return load_model(model.name) if next(model.supernet.parameters()).is_meta else model
