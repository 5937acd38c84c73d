"""Journeys through the app in a real browser, on the shipped models."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from nas import jobs
from nas.files import read_json
from tests.app.e2e.conftest import NARROW, Server, no_error, settle

Visit = Callable[..., Any]
Shot = Callable[[Any, str], None]


def click(page: Any, label: str) -> None:
    page.get_by_role("button", name=label, exact=False).first.click()


def drag(page: Any, label: str, key: str, times: int) -> None:
    """Move a slider by its keyboard."""
    slider = page.get_by_role("slider", name=label).first
    slider.focus()
    for _ in range(times):
        slider.press(key)
    settle(page)


def source(page: Any) -> str:
    """Return which picture the page shows first."""
    return page.locator("[data-testid=stImage] img").first.get_attribute("src")


def until_other(read: Callable[[], str], before: str) -> str:
    """Wait until something reads otherwise than before; return it."""
    end = time.monotonic() + 30
    while (now := read()) == before:
        assert time.monotonic() < end, f"it is still {before!r}"
        time.sleep(0.1)
    return now


def pick_point(page: Any) -> None:
    """Click into the chart until a point is hit that can be pinned."""
    chart = page.locator("[data-testid=stVegaLiteChart]").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    for right, down in ((0.5, 0.2), (0.3, 0.4), (0.7, 0.15), (0.6, 0.5)):
        page.mouse.click(box["x"] + box["width"] * right, box["y"] + box["height"] * down)
        page.get_by_text("the point that was clicked").wait_for()
        settle(page)
        if page.get_by_role("button", name="Pin", exact=True).first.is_enabled():
            return
    raise AssertionError("every point that was clicked is pinned already")


def test_first_visit_to_a_model_that_runs_elsewhere(
    visit: Visit, shot: Shot, server: Server, tmp_path: Path
) -> None:
    page = visit()
    shot(page, "home-empty")
    click(page, "Find a model for 20 ms")
    page.get_by_text("The promise is kept").wait_for(timeout=240_000)
    shot(page, "search-finished")
    no_error(page)
    page.get_by_role("link", name="Explore it").click()
    page.get_by_text("the best within the budget").first.wait_for()
    before = page.locator("h5", has_text="Trial").inner_text()
    drag(page, "Latency budget", "Home", 1)
    until_other(lambda: page.locator("h5", has_text="Trial").inner_text(), before)
    drag(page, "Latency budget", "ArrowRight", 40)
    assert "limit=" in page.url
    shot(page, "explore")
    page.get_by_role("button", name="Pin", exact=True).first.click()
    settle(page)
    pick_point(page)
    page.get_by_role("button", name="Pin", exact=True).first.click()
    page.get_by_text("Pinned").first.wait_for()
    page.get_by_role("button", name="Unpin").nth(1).wait_for()
    shot(page, "explore-pinned")
    no_error(page)
    page.goto(f"{server.url}/export")
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_role("button", name="Download").wait_for(timeout=180_000)
    shot(page, "export")
    with page.expect_download() as download:
        click(page, "Download")
    path = tmp_path / "model.zip"
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("model.onnx")]
        session = onnxruntime.InferenceSession(archive.read(name))
    (given,) = session.get_inputs()
    shape = [1, *given.shape[1:]]
    (answer,) = session.run(None, {given.name: np.zeros(shape, np.float32)})
    logits = np.asarray(answer)
    assert logits.shape == (1, 10) and np.isfinite(logits).all()


def test_a_search_survives_reload_cancel_and_the_death_of_the_app(
    visit: Visit, shot: Shot, server: Server
) -> None:
    page = visit("search")
    page.get_by_text("More limits and settings").click()
    trials = page.get_by_label("Trials (0: as usual)")
    trials.fill("3000")
    trials.press("Enter")
    settle(page)
    page.get_by_label("Sampler").click()
    page.get_by_role("option", name="tpe").click()
    settle(page)
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("hypervolume").first.wait_for(timeout=120_000)
    shot(page, "search-running")
    page.reload()
    page.get_by_role("button", name="Cancel").wait_for()
    address = page.url
    server.kill()
    server.start()
    other = visit(address.removeprefix(f"{server.url}/"))
    other.get_by_role("button", name="Cancel").click()
    other.get_by_role("button", name="Resume").wait_for(timeout=120_000)
    shot(other, "search-cancelled")
    other.get_by_role("button", name="Resume").click()
    other.get_by_role("button", name="Cancel").wait_for(timeout=60_000)
    other.get_by_text("so far").first.wait_for(timeout=120_000)
    other.get_by_role("button", name="Cancel").click()
    other.get_by_text("was cancelled").first.wait_for(timeout=120_000)
    no_error(other)
    infos = [read_json(path) for path in server.runs.glob("*/run.json")]
    assert any(info["state"] == "interrupted" for info in infos)


def test_a_preview_becomes_final(visit: Visit, shot: Shot) -> None:
    page = visit("generator")
    page.get_by_text("Preview").first.wait_for()
    page.locator("[data-testid=stImage] img").first.wait_for()
    before = source(page)
    drag(page, "Seed", "ArrowRight", 3)
    until_other(lambda: source(page), before)
    click(page, "Finalize")
    page.get_by_text("feature distance of the two").wait_for()
    shot(page, "generator")
    no_error(page)


def test_a_pipeline_beside_its_original(visit: Visit, shot: Shot) -> None:
    page = visit("diffuse?other=fewer+steps%3A+8")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("PSNR to the original").wait_for(timeout=180_000)
    settle(page)
    before = source(page)
    drag(page, "Wipe", "ArrowRight", 20)
    until_other(lambda: source(page), before)
    shot(page, "diffusion")
    no_error(page)


def test_two_visitors_do_not_disturb_each_other(visit: Visit) -> None:
    first, second = (
        visit("generator?model=anycost-digits&seed=1"),
        visit("generator?model=anycost-cifar10&seed=9"),
    )
    for page in (first, second):
        page.locator("[data-testid=stImage] img").first.wait_for()
    drag(first, "Seed", "ArrowRight", 2)
    first.wait_for_url("**seed=3**")
    settle(second)
    assert "anycost-digits" in first.url
    assert "seed=9" in second.url and "anycost-cifar10" in second.url


def test_a_phone_shows_every_page_without_scrolling_sideways(
    visit: Visit, shot: Shot, server: Server
) -> None:
    page = visit(viewport=NARROW, dark=True)
    for name in ("", "search", "explore", "latency", "zoo", "classify", "generator", "diffuse", "export"):
        page.goto(f"{server.url}/{name}")
        page.wait_for_selector("h1")
        settle(page)
        no_error(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= NARROW["width"] + 1, name
        shot(page, f"phone-{name or 'home'}")


def test_a_picture_of_ones_own_is_classified(visit: Visit, shot: Shot, tmp_path: Path) -> None:
    page = visit("classify")
    memory = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(memory, format="PNG")
    field = page.locator("input[type=file]").first
    field.set_input_files({"name": "<b>mine</b>.png", "mimeType": "image/png", "buffer": memory.getvalue()})
    page.get_by_text("<b>mine</b>.png").first.wait_for()
    page.get_by_text("Full network:").wait_for()
    shot(page, "classify")
    field.set_input_files({"name": "text.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.get_by_text("no picture that is known").wait_for()
    no_error(page)


def test_jobs_do_not_end_with_the_app(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv("ANYFIT_RUNS", str(server.runs))
    job = jobs.start("list", "List", ["list", "--json"])
    server.kill()
    server.start()
    end = time.monotonic() + 60
    while (found := jobs.find(job.id)) is None or found.is_live:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found.state == "finished"
