"""Try it: one picture through the full network and through a subnet, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image, ImageOps

from app import state
from app.models import of_kind
from app.parts import charts
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.networks import network_of, open_model, open_network
from app.parts.text import ms, plain, told
from app.uploads import read_upload
from nas.errors import NasError
from nas.jobs import Card, list_cards, safe_folder

_SAMPLES = Path(__file__).parents[1] / "images" / "samples"
_TOP = 5


def choose_picture() -> tuple[str, Image.Image] | None:
    """Ask for a picture, sent or a sample."""
    left, right = st.columns([2, 3])
    with left:
        sent = st.file_uploader(
            "A picture of yours", type=["png", "jpg", "jpeg", "webp", "gif", "bmp"], key="picture"
        )
    if sent is not None:
        return sent.name, read_upload(sent.name, sent.getvalue())
    samples = sorted(_SAMPLES.glob("*.png"))
    if not samples:
        return None
    with right:
        names = [path.stem for path in samples]
        name = state.get("sample", names[0])
        name = (
            st.segmented_control(
                "or a sample", names, default=name if name in names else names[0], key="sample-pick"
            )
            or names[0]
        )
        state.put(sample=name)
        st.caption("Samples were made by the shipped pipeline, from prompts.")
    return name, Image.open(next(path for path in samples if path.stem == name)).convert("RGB")


@st.cache_data(max_entries=64, show_spinner=False)
def probabilities(model: str, text: str, pixels: np.ndarray) -> list[float]:
    """Return the probability of each class by a subnet, of one picture, uint8 (h, w, 3)."""
    import torch

    loaded = open_model(model)
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    subnet = loaded.space.from_json(text)
    x, _ = loaded.task.inputs(loaded, subnet, 1, images)
    with torch.inference_mode():
        return open_network(model, text)(x).softmax(1)[0].tolist()


def top_chart(classes: list[str], values: list[float], colour: str) -> alt.Chart:
    """Return the most likely classes as bars."""
    order = np.argsort(values)[::-1][:_TOP]
    data = pd.DataFrame(
        {"class": [classes[place] for place in order], "probability": [values[place] for place in order]}
    )
    base = alt.Chart(data).encode(
        y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(labelOverlap=False)),
        x=alt.X("probability:Q", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
    )
    return (
        base.mark_bar(color=colour, cornerRadiusEnd=3)
        .encode(tooltip=["class", alt.Tooltip("probability:Q", format=".1%")])
        .properties(height=170, description=f"The {_TOP} most likely classes")
    )


def latency_of(card: Card | None, which: str) -> tuple[str, str]:
    """Return a measured latency from a run, and its origin in words."""
    if card is None:
        return "–", "search once, and the times are measured"
    result = card.info.get("result") or {}
    value = (
        result.get("largest_latency_ms")
        if which == "largest"
        else (card.answer or {}).get("latency_ms", {}).get("measured")
    )
    return ms(value), f"measured in the run {card.name}"


st.title("Try it")
models = [model.name for model in of_kind("classifier")]
if not models:
    empty("No classifier", "No trained classifier is installed; `nas train` makes one.")
    st.stop()
with told():
    model_name = state.choose("Model", models, "model")
    runs = [
        card for card in list_cards() if card.kind == "search" and card.answer and card.model == model_name
    ]
    options = [card.name for card in runs] + ["the smallest subnet"]
    which = state.choose("Subnet", options, "run", help="Answers of your searches, or the smallest subnet")
    chosen = choose_picture()
    if chosen is None:
        empty("No picture", "Send one.")
        st.stop()
    name, picture = chosen
    model = open_model(model_name)
    card = next((card for card in runs if card.name == which), None)
    try:
        small = (
            model.space.smallest() if card is None else model.space.read(safe_folder(which) / "subnet.json")
        )
    except NasError as error:
        st.error(plain(error))
        st.stop()
    height, width = model.image_size
    pixels = np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    columns = st.columns([1, 2, 2], gap="large")
    with columns[0]:
        st.image(
            picture, caption=plain(f"{name}; the networks see {width} × {height} pixels"), width="stretch"
        )
    sides: list[tuple[str, Any, str]] = [
        ("Full network", model.space.largest(), charts.BLUE),
        ("Subnet", small, charts.GREEN),
    ]
    answers = []
    reference = card or (runs[0] if runs else None)
    for column, (title, subnet, colour) in zip(columns[1:], sides, strict=True):
        network_of(model_name, subnet)
        values = probabilities(model_name, subnet.to_json(), pixels)
        answers.append(int(np.argmax(values)))
        with column:
            st.markdown(f"#### {title}: {plain(model.classes[answers[-1]])}")
            shown, origin = latency_of(
                reference if title == "Full network" else card,
                "largest" if title == "Full network" else "answer",
            )
            counts = model.supernet.count(subnet)
            first, second = st.columns(2)
            first.metric("latency", shown, help=origin)
            second.metric("MACs", f"{counts.macs / 1e6:.1f} M")
            st.altair_chart(top_chart(model.classes, values, colour), width="stretch", key=f"top-{title}")
    if answers[0] == answers[1]:
        st.success("Both say the same.", icon=":material/check_circle:")
    else:
        st.warning("They differ: this is what the smaller network costs here.", icon=":material/difference:")
    st.caption(
        "Latencies are those that a run has measured, in a process of its own; nothing is timed in this page."
    )
    show_command(
        ["eval", f"runs/{which}" if card else "smallest", "--model", model_name, "--data", "YOUR-IMAGES"]
    )
