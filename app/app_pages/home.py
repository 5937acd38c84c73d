"""Home: what this is, one button to a real result, the runs, this machine."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from app.parts.empty import empty
from app.parts.follow import state_words
from app.parts.text import ago, budget_words, ms, plain, quality_words, told
from nas import jobs, latency
from nas.jobs import Card, list_cards, start_search

_MOST = 12
_PICTURE = Path(__file__).parents[1] / "images" / "idea.svg"


@st.cache_data(ttl=600, max_entries=1, show_spinner=False)
def this_machine() -> list[tuple[str, str]]:
    """Return what the machine is, as rows of words."""
    machine = latency.machine_fingerprint("cpu")
    packages = {"ONNX Runtime": "onnxruntime", "PyTorch": "torch", "OpenVINO": "openvino"}
    runtimes = [name for name, package in packages.items() if find_spec(package)]
    gpu = "an NVIDIA GPU" if shutil.which("nvidia-smi") else "no NVIDIA GPU seen"
    return [
        ("Processor", machine.processor),
        ("Threads", str(latency.available_cores())),
        ("Runtimes", ", ".join(runtimes)),
        ("GPU", gpu),
    ]


def show_card(card: Card) -> None:
    """Show one run or export."""
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{plain(card.name, 60)}**")
        if card.problem:
            st.error(plain(card.problem, 200), icon=":material/broken_image:")
            return
        st.caption(plain(f"{card.kind} · {card.model} · {ago(card.changed)}"))
        if card.kind == "export":
            info = card.info
            formats = sorted(
                {Path(name).suffix.lstrip(".") for name in info.get("files", {})}
                & {"onnx", "pt2", "safetensors"}
            )
            st.markdown(plain(f"files: {', '.join(formats)}"))
            link("export", "Open", {"artifact": card.name})
            return
        quality = card.info.get("maximised", {})
        if card.answer is not None:
            answer = card.answer
            left, right = st.columns(2)
            left.metric(f"measured, within {budget_words(card.budget)}", ms(answer["latency_ms"]["measured"]))
            label = f"{quality.get('label', 'quality')}, {answer['quality']['source']}"
            right.metric(label, quality_words(answer["quality"]["value"], answer["quality"]))
            link("explore", "Explore", {"run": card.name})
        else:
            words = {"running": "is being searched", "dead": "ended without a last word; it can be resumed"}
            st.markdown(
                plain(
                    f"{words.get(card.state, state_words(card.state))} (within {budget_words(card.budget)})"
                )
            )
            link("search", "Open", {"run": card.name})


def link(page: str, label: str, query: dict[str, str]) -> None:
    """Show a link to a page with a view."""
    st.page_link(f"app_pages/{page}.py", label=label, icon=":material/arrow_forward:", query_params=query)


st.title("Train once. Fit anywhere.")
left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
with left:
    st.markdown(
        "One trained network contains many. Pick a time budget: anyfit finds the best smaller network for **this** "
        "machine, **measures** it here, and hands you files that run without anyfit."
    )
    with st.container(horizontal=True):
        if st.button("Find a model for 20 ms", type="primary", icon=":material/bolt:", key="first-search"):
            with told():
                job = start_search("mbv3-cifar10", {"latency": "20ms"})
                st.switch_page("app_pages/search.py", query_params={"job": job.id})
        if st.button("Half of its time: 0.5 ms", icon=":material/speed:", key="second-search"):
            with told():
                job = start_search("mbv3-cifar10", {"latency": "0.5ms"})
                st.switch_page("app_pages/search.py", query_params={"job": job.id})
with right:
    st.image(
        str(_PICTURE),
        caption="A subnet is the supernet at a smaller size: its weights are slices.",
        width="stretch",
    )

st.subheader("Runs")
cards = list_cards()
if not cards:
    empty("No run yet", "Press the button above: a real search on a shipped model, measured on this machine.")
columns = st.columns(3)
for place, card in enumerate(cards[:_MOST]):
    with columns[place % 3]:
        show_card(card)
if len(cards) > _MOST:
    st.caption(f"and {len(cards) - _MOST} older ones, in Explore")

dead = [job for job in jobs.jobs()[:30] if job.state == "dead"]
if dead:
    st.subheader("Broken off")
    for job in dead[:5]:
        st.warning(plain(f"{job.title}: {job.failure()}"), icon=":material/warning:")
        if job.kind == "search":
            link("search", "Look, or resume", {"job": job.id})

st.subheader("This machine")
with told():
    for column, (name, value) in zip(st.columns(4), this_machine(), strict=True):
        column.caption(name)
        column.markdown(f"**{plain(value, 80)}**")
