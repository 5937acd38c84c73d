"""GAN editor: preview while you drag, finalize at full quality; edit, project, take away."""

from __future__ import annotations

import io
import json
import secrets
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

import gan_compress
from app import state
from app.models import of_kind
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.follow import follow
from app.parts.networks import network_of, open_model
from app.parts.text import ms, plain, told
from app.uploads import keep_upload, read_upload
from gan_compress import stylegan2
from nas import jobs
from nas.errors import NasError
from nas.jobs import runs_root
from nas.pictures import grid

_SHOWN = 224
_EDITS = 3


@st.cache_data(max_entries=200, show_spinner=False)
def picture(
    model: str,
    width: str,
    seed: int,
    label: int | None,
    truncation: float,
    moves: tuple[tuple[str, float], ...],
    projected: str | None,
) -> np.ndarray:
    """Return the image, uint8 (h, w, 3) at the size that the subnet makes, of a latent or a projected picture."""
    loaded = open_model(model)
    subnet = loaded.space.largest() if width == "full" else stylegan2.ratio_subnet(loaded, width)
    full = network_of(model, loaded.space.largest())
    styles = stylegan2.asked_styles(
        loaded, full, [seed], [label], truncation, projection=projected, moves=moves
    )
    return stylegan2.to_pixels(loaded, stylegan2.synthesize(network_of(model, subnet), styles))[0]


@st.cache_data(max_entries=200, show_spinner=False)
def distance(model: str, first: np.ndarray, second: np.ndarray) -> float:
    """Return the feature distance of two images of a generator."""
    import torch

    loaded = open_model(model)
    mean, std = torch.tensor(loaded.mean).view(1, 3, 1, 1), torch.tensor(loaded.std).view(1, 3, 1, 1)
    a, b = (
        (torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255 - mean) / std for one in (first, second)
    )
    return stylegan2.difference(loaded, a, b)[0]


def labels_of(model: str) -> list[str]:
    """Return the labels that images can be moved towards."""
    try:
        return [*stylegan2.Directions.load(open_model(model)).labels]
    except NasError:
        return []


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """Return an image at the size it is shown, every pixel a square."""
    factor = max(1, _SHOWN // max(pixels.shape[:2]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def png(pixels: np.ndarray) -> bytes:
    """Return an image as a PNG file."""
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, format="PNG")
    return memory.getvalue()


def measured(model: str, width: str) -> dict[str, float] | None:
    """Return what the newest measurement of this preview found: ms of preview and final."""
    for job in jobs.jobs("preview"):
        if job.state == "finished" and model in job.argv and width in job.argv:
            try:
                answer = json.loads(job.output())
                return {part: float(answer[part]["latency"]["median_ms"]) for part in ("preview", "final")}
            except (ValueError, KeyError, TypeError):
                continue
    return None


def projection(model: str) -> str | None:
    """Offer to project a picture; return the file of the styles of the one that is edited."""
    with st.expander("Start from a picture of yours", icon=":material/upload:"):
        sent = st.file_uploader("A picture", type=["png", "jpg", "jpeg", "webp"], key="projected-picture")
        if sent is not None and st.button("Project it", key="project", icon=":material/my_location:"):
            with told():
                path = keep_upload(read_upload(sent.name, sent.getvalue()), 512)
                place = f"{jobs.shown_path('.uploads')}/{path.stem}"
                styles = f"{place}-styles.safetensors"
                words = jobs.command_words(
                    "gan", "project", f"{place}.png", model=model, output=styles, json=True
                )
                job = jobs.start("project", f"Project {sent.name}", words)
                state.put(job=job.id)
                st.rerun()
    job = jobs.find(state.get("job", ""))
    if job is None or job.kind != "project" or model not in job.argv:
        return None
    follow(job)
    if job.state != "finished":
        return None
    path = runs_root().parent / job.argv[job.argv.index("--output") + 1]
    if not path.is_file():
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The image is that of your picture.")
        if st.button("Back to seeds", key="back", icon=":material/undo:"):
            state.put(job=None)
            st.rerun()
    return str(path)


@st.fragment
def editor(model: str, projected: str | None) -> None:
    """The sliders and the two images: what is drawn anew while someone drags."""
    loaded = open_model(model)
    family = stylegan2.generator_family(loaded)
    sizes = [*loaded.space["resolution"].choices] if "resolution" in loaded.space else [family.resolution]
    left, middle, right = st.columns([1.5, 1.4, 1.4], gap="medium")
    with left:
        seed = st.slider(
            "Seed",
            0,
            999,
            min(max(state.get("seed", 3, int), 0), 999),
            key=f"seed-{model}",
            disabled=projected is not None,
        )
        label = None
        if loaded.classes:
            options = ["by the seed", *loaded.classes]
            known = state.get("class", options[0])
            text = st.selectbox(
                "Class",
                options,
                index=options.index(known) if known in options else 0,
                key=f"class-{model}",
                disabled=projected is not None,
            )
            label = None if text == options[0] else loaded.classes.index(text)
            state.put(**{"class": text if label is not None else None})
        truncation = st.slider(
            "Truncation", 0.0, 1.5, 1.0, 0.05, key=f"truncation-{model}", help="Less is more typical"
        )
        names = labels_of(model)
        chosen = st.multiselect(
            "Move towards", names, max_selections=_EDITS, key=f"labels-{model}", placeholder="a label"
        )
        moves = tuple(
            (name, st.slider(f"more {plain(name)}", -4.0, 4.0, 1.0, 0.1, key=f"move-{model}-{name}"))
            for name in chosen
        )
        ratios = [f"{ratio:g}" for ratio in sorted(stylegan2.RATIOS)]
        width = st.select_slider(
            "Width of the preview", ratios, "0.25" if "0.25" in ratios else ratios[0], key=f"width-{model}"
        )
        size = (
            st.select_slider("Pixels of the preview", sizes, sizes[-1], key=f"size-{model}")
            if len(sizes) > 1
            else sizes[0]
        )
        state.put(seed=seed)
    moves = tuple(move for move in moves if move[1])
    name = width if size == sizes[-1] else f"{width}@{size}"
    preview = picture(model, name, seed, label, truncation, moves, projected)
    both = stylegan2.ratio_subnet(loaded, name), loaded.space.largest()
    small, full = map(loaded.supernet.count, both)
    times = measured(model, name)
    with middle:
        st.markdown("##### Preview")
        st.image(
            enlarged(preview),
            caption=f"width {width}, {size} pixels: {small.macs / 1e6:.2f} M MACs",
            width=_SHOWN,
        )
        st.metric("an image, measured", ms(times["preview"] if times else None))
    view = (model, seed, label, truncation, moves, projected)
    with right:
        st.markdown("##### Full quality")
        if st.button("Finalize", type="primary", key="finalize", icon=":material/hd:"):
            st.session_state["final-view"] = view
        if st.session_state.get("final-view") == view:
            final = picture(model, "full", seed, label, truncation, moves, projected)
            st.image(
                enlarged(final), caption=f"the whole generator: {full.macs / 1e6:.2f} M MACs", width=_SHOWN
            )
            st.metric("an image, measured", ms(times["final"] if times else None))
            st.metric(
                "feature distance of the two",
                f"{distance(model, preview, final):.3f}",
                help="0: the same; in features of our classifier",
            )
            st.download_button("Take it", png(final), "image.png", "image/png", icon=":material/download:")
        else:
            st.caption(
                "Drag as you like: the preview is by the small subnet. "
                "Finalize makes the same image by the whole generator."
            )
    named = None if label is None else loaded.classes[label]
    words = jobs.command_words("gan", "preview", model=model, subnet=name, seed=seed)
    words += [] if named is None else ["--class", named]
    if times is None and st.button("Measure both times here", key="measure-preview", icon=":material/speed:"):
        output = f"{jobs.shown_path('.previews')}/{secrets.token_hex(6)}"
        job = jobs.start("preview", f"Time of {model} at {name}", [*words, "--output", output, "--json"])
        st.session_state["preview-job"] = job.id
        st.rerun()
    if (running := jobs.find(st.session_state.get("preview-job"))) is not None and running.is_live:
        follow(running)
    show_command(words)
    takeaway(model, label, truncation, name)


def takeaway(model: str, label: int | None, truncation: float, name: str) -> None:
    """Offer a grid of seeds and a move between seeds as files."""
    with st.expander("A grid, or a move from seed to seed", icon=":material/grid_view:"):
        one, two = st.columns(2)
        with one:
            first = st.number_input("First seed", 0, 10_000, 0, key="grid-seed")
            which = st.radio("By", ["the whole generator", f"the preview's subnet ({name})"], key="grid-by")
            if st.button("Make the grid", key="make-grid"):
                st.session_state["grid"] = grid_of(
                    model, int(first), label, truncation, "full" if which.startswith("the whole") else name
                )
            if "grid" in st.session_state:
                st.image(st.session_state["grid"], caption="sixteen seeds", width=_SHOWN)
                st.download_button(
                    "Take the grid",
                    st.session_state["grid"],
                    "grid.png",
                    "image/png",
                    icon=":material/download:",
                )
        with two:
            ends = st.slider("From seed to seed", 0, 200, (1, 7), key="ends")
            if st.button("Make the move", key="make-move"):
                st.session_state["move"] = move_of(model, ends, label, truncation, name)
            if "move" in st.session_state:
                st.image(st.session_state["move"], caption="through style space and back", width=128)
                st.download_button(
                    "Take the move",
                    st.session_state["move"],
                    "move.gif",
                    "image/gif",
                    icon=":material/download:",
                )


def grid_of(model: str, first: int, label: int | None, truncation: float, width: str) -> bytes:
    """Return sixteen seeds as a PNG sheet."""
    made = [picture(model, width, seed, label, truncation, (), None) for seed in range(first, first + 16)]
    return png(grid(made, 4, zoom=max(1, 64 // made[0].shape[0])))


def move_of(model: str, ends: tuple[int, int], label: int | None, truncation: float, width: str) -> bytes:
    """Return the move between two seeds and back as a GIF."""
    loaded = open_model(model)
    full, small = network_of(model, loaded.space.largest()), stylegan2.ratio_subnet(loaded, width)
    styles = stylegan2.asked_styles(loaded, full, ends, [label] * 2, truncation)
    line = stylegan2.interpolate(styles, 12, loop=True)
    made = stylegan2.to_pixels(loaded, stylegan2.synthesize(network_of(model, small), line))
    frames = [enlarged(frame)[:_SHOWN, :_SHOWN] for frame in made]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "move.gif")
        gan_compress.write_frames(path, frames)
        return path.read_bytes()


def page() -> None:
    """The whole page."""
    st.title("GAN editor")
    models = [model.name for model in of_kind("generator")]
    if not models:
        empty("No generator", "No trained generator is installed; `nas gan train` makes one.")
        return
    st.markdown("Drag: a small subnet shows at once what the whole generator will make.")
    with told():
        model: Any = state.choose("Model", models, "model")
        editor(model, projection(model))


page()
