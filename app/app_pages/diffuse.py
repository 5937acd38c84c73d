"""Diffusion: the original and a compressed pipeline side by side, with a wipe, times, memory and likeness."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from app import state
from app.models import of_kind
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.follow import follow
from app.parts.networks import open_model
from app.parts.recipe import general, kinds, recipe
from app.parts.text import ms, plain, told
from app.parts.wipe import SHOWN, wiped
from diffusion.pipeline.files.folder import quiet
from diffusion.pipeline.inputs.prompts import require_prompts
from nas import api, jobs, latency
from nas.files import write_json
from nas.jobs import list_cards, runs_root
from nas.latency.units import format_bytes

_RECIPE, _FEWER = "a recipe of yours", "fewer steps: 8"


def dimensions_of(name: str) -> dict[str, tuple[Any, ...]]:
    """Return the search space of a pipeline: name to choices."""
    return {dimension.name: dimension.choices for dimension in open_model(name).space.dimensions}


@st.cache_data(max_entries=256, show_spinner=False)
def predicted_ms(name: str, text: str) -> float | None:
    """Return the latency that this machine's profile predicts of a subnet; None without a profile."""
    model, workload = open_model(name), latency.Workload(threads=1)
    subnet = model.space.from_json(text)
    found = api.predicted_latency(model, subnet, latency.default_runtime(), workload)
    return found[0].median_ms if found else None


def sliders(name: str) -> Path:
    """Ask for a recipe; write its subnet and return the file."""
    space, dimensions = open_model(name).space, dimensions_of(name)
    shares: dict[str, float] = {}
    own: dict[str, Any] = {}
    with st.container(border=True):
        st.markdown("##### The recipe")
        found = kinds(dimensions)
        columns = st.columns(max(1, len(found)))
        for column, slider in zip(columns, found, strict=False):
            if slider == "bits":
                bits = sorted({choice for dimension in found[slider] for choice in dimensions[dimension]})
                chosen = column.select_slider(
                    "Bits of the weights", bits, bits[-1], key=f"recipe-{name}-bits"
                )
                own |= {dimension: chosen for dimension in found[slider] if chosen in dimensions[dimension]}
            else:
                words = {"width": "Inner widths", "blocks": "Blocks"}[slider]
                shares[slider] = column.slider(
                    words, 0.0, 1.0, 0.5 if slider == "width" else 1.0, 0.25, key=f"recipe-{name}-{slider}"
                )
        alone = [dimension for dimension in general(dimensions) if dimension != "mid"]
        for column, dimension in zip(st.columns(max(1, len(alone))), alone, strict=False):
            choices = [*dimensions[dimension]]
            own[dimension] = column.select_slider(
                _WORDS.get(dimension, dimension), choices, choices[-1], key=f"recipe-{name}-{dimension}"
            )
        subnet = space.subnet(recipe(dimensions, shares, own))
        value, full = predicted_ms(name, subnet.to_json()), predicted_ms(name, space.largest().to_json())
        left, right = st.columns(2)
        left.metric("an image, predicted", ms(value), help="From this machine's device profile")
        if value is not None and full is not None:
            right.metric("times as fast, predicted", f"{full / value:.1f}×")
        if value is None:
            st.caption(
                "This machine has no profile of the pipeline yet (one thread): a search makes one, or Latency does."
            )
    path = runs_root() / ".subnets" / f"recipe-{subnet_key(subnet.to_json())}.json"
    if not path.is_file():
        write_json(path, subnet.to_dict())
    return path


_WORDS = {
    "steps": "Steps",
    "guided": "Share of guided steps",
    "reuse": "Deep features again every",
    "scheduler": "Scheduler",
    "merge": "Merged tokens",
}


def subnet_key(text: str) -> str:
    """Return a short name for a subnet."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def results(job: jobs.Job) -> None:
    """Show what a comparison found: the wipe, and each pipeline's figures."""
    try:
        answer = json.loads(job.output())
        rows = answer["pipelines"]
    except (ValueError, KeyError, TypeError):
        st.error("The comparison left no readable answer; run it again.")
        return
    folder = runs_root().parent / job.argv[job.argv.index("--single") + 1]
    pictures = [folder / f"{number}-0.png" for number in range(len(rows))]
    left, right = st.columns([1, 1], gap="large")
    with left:
        if all(path.is_file() for path in pictures[:2]):
            wipe(pictures[0], pictures[1], job.id)
        else:
            st.warning("A pipeline made no picture; the reason stands beside it.")
    with right:
        for number, (column, row) in enumerate(zip(st.columns(2), rows[:2], strict=False)):
            with column:
                st.markdown(f"##### {'Original' if number == 0 else 'Compressed'}")
                st.caption(plain(row["name"], 60))
                if row.get("failure"):
                    st.error(plain(row["failure"]))
                figures(row, rows[0], is_first=number == 0)
    st.caption(
        plain(
            f"measured: {answer['runtime']}, {answer['workload'].get('threads')} thread, {answer['machine']}"
        )
    )
    with st.expander("As one picture"):
        contact_sheet = runs_root().parent / job.argv[job.argv.index("--output") + 1]
        if contact_sheet.is_file():
            st.image(str(contact_sheet), caption="both pipelines at the same prompt and seed")


def figures(row: dict[str, Any], first: dict[str, Any], *, is_first: bool) -> None:
    """Show one pipeline's figures."""
    seconds, base = row.get("seconds_an_image"), first.get("seconds_an_image")
    faster = None if is_first or not seconds or not base else f"{base / seconds:.1f}× as fast"
    st.metric("an image, measured", ms(None if seconds is None else seconds * 1e3), faster)
    if row.get("memory_bytes"):
        st.metric("memory", format_bytes(row["memory_bytes"]))
    if row.get("size_bytes"):
        st.metric("on disk", format_bytes(row["size_bytes"]))
    near = row.get("difference")
    if near:
        psnr = near.get("psnr_db")
        st.metric("PSNR to the original", "equal" if psnr is None else f"{psnr:.1f} dB")
        if near.get("ssim") is not None:
            st.metric("SSIM", f"{near['ssim']:.3f}")
    st.caption(plain(", ".join(f"{name} {value}" for name, value in row.get("sampling", {}).items())))


@st.fragment
def wipe(first: Path, second: Path, key: str) -> None:
    """Show two pictures in one: left of the line the first, right of it the second."""
    share = st.slider(
        "Wipe: original to the left, compressed to the right", 0, 100, 50, key=f"wipe-{key}", format="%d%%"
    )
    st.image(
        wiped(
            np.asarray(Image.open(first).convert("RGB")), np.asarray(Image.open(second).convert("RGB")), share
        ),
        width=SHOWN,
        caption="the same prompt and seed",
    )


def page() -> None:
    """The whole page."""
    st.title("Diffusion")
    models = [model.name for model in of_kind("pipeline")]
    if not models:
        empty(
            "No pipeline",
            "Pipelines need diffusers: `pip install 'anyfit[diffusion]'`; then `tiny-sd-cifar10` is here.",
        )
        return
    st.markdown(
        "One prompt and seed, by the original pipeline and by a compressed one: look, and see what each costs."
    )
    with told():
        name = state.choose("Pipeline", models, "model")
        cards = [card for card in list_cards() if card.model == name and not card.problem]
        runs = [card.name for card in cards if card.kind == "search" and card.answer]
        exports = [card.name for card in cards if card.kind == "export"]
        other = state.choose("Compressed", [*runs, *exports, _FEWER, _RECIPE], "other")
        what = jobs.shown_path(other)
        if other == _FEWER:
            what = f"{name}@steps=8"
        elif other == _RECIPE:
            what = f"{jobs.shown_path('.subnets')}/{sliders(name).name}"
        prompts = list(open_model(name).config.get("info", {}).get("prompts") or [])
        left, right = st.columns([3, 1])
        prompt = left.text_input(
            "Prompt",
            state.get("prompt", prompts[8] if len(prompts) > 8 else "a photo of a ship"),
            max_chars=300,
            key=f"prompt-{name}",
        )
        seed = right.number_input("Seed", 0, 2**31 - 1, state.get("seed", 3, int), key=f"seed-{name}")
        state.put(prompt=prompt, seed=int(seed))
        mark = secrets.token_hex(6)
        place = jobs.shown_path(".compare")
        shown = jobs.command_words(
            "diffusion", "compare", name, what, prompt=prompt, images=1, seed=int(seed), threads=1
        )
        if st.button("Compare", type="primary", icon=":material/compare:", key="compare"):
            check(name, prompt)
            words = [*shown, "--output", f"{place}/{mark}.png", "--single", f"{place}/{mark}", "--json"]
            job = jobs.start("compare", f"Compare {other} with {name}", words)
            state.put(job=job.id)
            st.rerun()
        job = jobs.find(state.get("job", ""))
        if job is not None and job.kind == "compare":
            follow(job)
            if job.state == "finished" or (job.state == "failed" and job.output().strip()):
                results(job)
        elif job is None:
            st.caption(
                "Both are run and measured in a process of their own: about half a minute for the shipped pipeline."
            )
        show_command(shown)


def check(name: str, prompt: str) -> None:
    """Raise `UsageError` for a prompt that the pipeline does not take, before a job is started."""
    model: Any = open_model(name)
    with quiet():
        require_prompts(model.path, model.family.conditions, [prompt])


page()
