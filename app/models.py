"""The models by name, and what kind each is, without loading any."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import streamlit as st

from nas.errors import NasError
from nas.models import available_models, read_model_config

KINDS = {"nas": "classifier", "gan_compress": "generator", "diffusion": "pipeline"}


@dataclass(frozen=True)
class Named:
    """A model that has a name: its folder and kind ("classifier", "generator", "translator", "pipeline")."""

    name: str
    path: Path
    kind: str
    note: str


@st.cache_data(max_entries=4, ttl=10, show_spinner=False)
def named_models() -> list[Named]:
    """Return all models that can be read, classifiers first."""
    packages = {entry.name: entry.value.partition(".")[0] for entry in entry_points(group="anyfit.families")}
    found = []
    for name, path, where in available_models():
        try:
            family = read_model_config(path)["family"]
        except (NasError, KeyError, ImportError):
            continue
        kind = KINDS.get(packages.get(family, ""), "classifier")
        kind = "translator" if family == "gan-compression" else kind
        found.append(Named(name, path, kind, where))
    order = ["classifier", "generator", "translator", "pipeline"]
    return sorted(found, key=lambda model: (order.index(model.kind), model.name == "anycost-cifar10"))


def of_kind(*kinds: str) -> list[Named]:
    """Return the models of some kinds."""
    return [model for model in named_models() if model.kind in kinds]
