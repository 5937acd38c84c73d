"""Networks that pages run on single pictures: loaded once for all sessions, a bounded number, never changed.

Nothing here is timed: a latency is measured by a job, in a process of its own.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from nas.compress import extracted
from nas.models import Model, load_model
from nas.space import Subnet


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def open_model(name: str) -> Model:
    """Return a model by name; one torch thread, since several sessions share the machine."""
    import torch

    torch.set_num_threads(1)
    return load_model(name)


@st.cache_resource(max_entries=12, show_spinner="Extracting the subnet")
def open_network(name: str, text: str) -> Any:
    """Return the extracted network of a subnet, given as its JSON."""
    model = open_model(name)
    return extracted(model, model.space.from_json(text)).eval().requires_grad_(False)


def network_of(name: str, subnet: Subnet) -> Any:
    """Return the extracted network of a subnet."""
    return open_network(name, subnet.to_json())
