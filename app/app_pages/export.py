"""Export: files that run without anyfit, checked, to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app import state
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.follow import follow
from app.parts.runs_data import open_candidates
from app.parts.text import ms, plain, quality_words, told
from app.parts.zips import zipped
from nas import jobs
from nas.errors import NasError
from nas.export import file_state, read_manifest
from nas.files import read_json, write_json
from nas.jobs import free_run, list_cards, new_name, runs_root, safe_folder
from nas.latency.units import format_bytes, format_count

_FORMATS = {
    "onnx": "ONNX: runs anywhere",
    "pt2": "torch.export program",
    "safetensors": "weights (always written)",
}
_MOST_BYTES = 500_000_000


def offer(names: list[str]) -> None:
    """Ask what is exported, and start it."""
    with st.container(border=True):
        first, second = st.columns(2)
        with first:
            run = state.choose("Run", names, "run")
        trial = state.get("trial", -1, int)
        formats = second.multiselect(
            "Formats", [*_FORMATS], default=["onnx", "safetensors"], format_func=lambda name: _FORMATS[name]
        )
        suggestion = free_run(f"{run}-export")
        name = st.text_input("Name of the new folder", suggestion, key=f"name-{suggestion}")
        what = jobs.shown_path(run)
        if trial >= 0 and st.checkbox(f"Trial {trial}, not the run's answer", value=True, key="that-trial"):
            what = f"{jobs.shown_path('.subnets')}/{run}-{trial}.json"
        options: dict[str, Any] = {"format": ",".join(formats) or "safetensors"}
        if st.button("Export", type="primary", icon=":material/download:", key="start-export"):
            with told():
                chosen = new_name(name)
                if what.endswith(".json"):
                    write_subnet(run, trial)
                    options["model"] = read_json(safe_folder(run) / "run.json")["model"]
                words = jobs.command_words("export", what, **options, output=jobs.shown_path(chosen))
                job = jobs.start("export", f"Export {run}", words, chosen)
                state.put(job=job.id, artifact=None)
                st.rerun()
        show_command(jobs.command_words("export", what, **options, output=jobs.shown_path(name)))


def write_subnet(run: str, trial: int) -> Path:
    """Write the subnet of a trial where the command can read it."""
    found = open_candidates(run)
    rows = (found.trial == trial).nonzero()[0]
    if not len(rows):
        raise NasError(f"{run} has no trial {trial}; choose a point in Explore")
    space = read_json(safe_folder(run) / "run.json")["space"]
    path = runs_root() / ".subnets" / f"{run}-{trial}.json"
    write_json(
        path, {"space": space["name"], "digest": space["digest"], "choices": found.choices(int(rows[0]))}
    )
    return path


def show(name: str) -> None:
    """Show an export: the checks, the figures, the card, how to load it, and the download."""
    folder = safe_folder(name)
    manifest = read_manifest(folder)
    st.subheader(plain(name))
    measured = next((one for one in manifest.latency if one.kind == "measured"), None)
    columns = st.columns(4)
    columns[0].metric(
        "latency, measured" if measured else "latency", ms(measured.median_ms if measured else None)
    )
    first = manifest.quality[-1] if manifest.quality else None
    columns[1].metric(
        f"{first.name}, {first.kind}" if first else "quality",
        quality_words(first.value, {"unit": first.unit}) if first else "–",
    )
    columns[2].metric("MACs", format_count(manifest.macs))
    columns[3].metric("parameters", format_count(manifest.params))
    st.markdown("##### Checks")
    for row in manifest.parity:
        st.markdown(f":material/check_circle: {plain(_parity_words(row))}")
    damaged = [
        (file, problem) for file in manifest.files if (problem := file_state(folder, manifest, file)) != "ok"
    ]
    for file, problem in damaged:
        st.error(plain(f"{file} {problem}, unlike the manifest says; export it again"))
    if not damaged:
        st.markdown(f":material/check_circle: {len(manifest.files)} files are as they were written (SHA-256)")
    if measured:
        how = f"{measured.runtime}, batch {measured.batch_size}, threads {measured.threads}"
        told_ms = f"measured here on the file that ships: {ms(measured.median_ms)} (p90 {ms(measured.p90_ms)}), {how}"
        st.markdown(f":material/check_circle: {plain(told_ms)}")
    size = sum(int(entry["bytes"]) for entry in manifest.files.values())
    if size <= _MOST_BYTES:
        st.download_button(
            f"Download ({format_bytes(size)})", lambda: zipped(folder), f"{name}.zip", "application/zip",
            icon=":material/folder_zip:", type="primary", key="download",
        )  # fmt: skip
    else:
        st.info(plain(f"It has {format_bytes(size)}: take the folder {jobs.shown_path(name)} itself."))
    st.markdown("##### How to load it")
    st.code(
        f'import nas\n\nnetwork = nas.load("{jobs.shown_path(name)}")  # a torch.nn.Module, nothing unpickled',
        language="python",
    )
    if "model.onnx" in manifest.files:
        st.code(
            'import onnxruntime\n\nsession = onnxruntime.InferenceSession("model.onnx")  # without torch and anyfit',
            language="python",
        )
    card = folder / "README.md"
    if card.is_file():
        with st.expander("Model card", icon=":material/description:"):
            st.markdown(card.read_text(encoding="utf-8", errors="replace"))
    files = [
        {"file": file, "bytes": entry["bytes"], "SHA-256": entry["sha256"][:16] + "…"}
        for file, entry in manifest.files.items()
    ]
    with st.expander("Files"):
        st.dataframe(files, hide_index=True, width="stretch")


def _parity_words(row: dict[str, Any]) -> str:
    batches = ", ".join(map(str, row.get("batch_sizes", ())))
    return (
        f"{row['format']}: outputs are the supernet's within {row['max_relative_delta']:.1e} "
        f"(allowed {row['tolerance']:.0e}), batches of {batches} {row.get('images', '')}"
    )


st.title("Export")
st.markdown("Each file is run and compared with the supernet before it is yours, and measured as it ships.")
cards = list_cards()
answers = [card.name for card in cards if card.kind == "search" and card.answer is not None]
exports = [card.name for card in cards if card.kind == "export" and not card.problem]
job = jobs.find(state.get("job", ""))
if job is not None and job.kind == "export":
    follow(job)
    if job.state == "finished" and job.run:
        with told():
            show(job.run)
with told():
    artifact = state.get("artifact", "")
    if artifact:
        show(artifact)
    if not answers and not exports:
        empty(
            "Nothing to export yet", "A search ends with a network that can be exported.", "search", "Search"
        )
    elif answers and (job is None or not job.is_live):
        offer(answers)
    if exports:
        st.subheader("Exports")
        for name in exports[:20]:
            st.page_link(
                "app_pages/export.py",
                label=plain(name),
                icon=":material/folder_zip:",
                query_params={"artifact": name},
            )
st.caption(
    "The study of a run opens in Optuna's dashboard too: `optuna-dashboard runs/<run>/study.journal` "
    "(pip install 'anyfit[dashboard]')."
)
