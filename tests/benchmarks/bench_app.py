"""The app in a real browser: first paint, the slider, a large study, memory, several visitors at once.

    python -m tests.benchmarks.bench_app [--results FILE]

Times are those of Debian's Chromium on the same machine as the app, so both share its cores: from the request to the
title and the first content drawn (`first paint`), and from the press of a key on the slider to the chosen subnet's name
on the page. Memory is the resident size of the app's process. Results go to results/app.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import streamlit

from nas.files import write_atomic
from nas.latency.measuring.fingerprint import machine_fingerprint
from tests.app.e2e.conftest import CHROMIUM, WIDE, Server, settle
from tests.app.invented import write_run

RESULTS = Path(__file__).with_name("results") / "app.csv"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_PRESSES, _REPEATS, _VISITORS = 50, 5, 10


def opened(browser: Any, url: str, words: str) -> tuple[Any, float]:
    """Open an address in a session of its own; return the page and the seconds until `words` are on it."""
    page = browser.new_context(viewport=WIDE).new_page()
    page.set_default_timeout(60_000)
    start = time.perf_counter()
    page.goto(url)
    page.get_by_text(words).first.wait_for()
    return page, time.perf_counter() - start


def painted(browser: Any, url: str, words: str) -> float:
    """Return the median seconds of opening an address with a warm cache, one visitor after the other."""
    times = []
    for _ in range(1 + _REPEATS):
        page, seconds = opened(browser, url, words)
        times.append(seconds)
        settle(page)
        page.context.close()
    return statistics.median(times[1:])


def slider_seconds(page: Any, presses: int) -> list[float]:
    """Press a slider's key some times; return the seconds until the answer was drawn, each."""
    slider = page.get_by_role("slider", name="Latency budget").first
    slider.focus()
    found = []
    for number in range(presses):
        before = page.url
        start = time.perf_counter()
        slider.press("ArrowLeft" if number // 10 % 2 == 0 else "ArrowRight")
        page.wait_for_function("url => location.href !== url", arg=before, timeout=20_000)
        found.append(time.perf_counter() - start)
        settle(page)
    return found


def resident_mb(server: Server) -> float:
    """Return the resident memory of the app in MB."""
    return psutil.Process(server.process.pid).memory_info().rss / 1e6


def measured(server: Server, browser: Any) -> dict[str, float]:
    """Return every figure by name."""
    url, found = server.url, {}
    explore = f"{url}/explore?run=small"
    found["first paint, home (s)"] = painted(browser, url, "Train once")
    found["first paint, explore, 500 candidates (s)"] = painted(
        browser, explore, "the best within the budget"
    )
    first, found["a study of 10,000 trials, opened for the first time (s)"] = opened(
        browser, f"{url}/explore?run=large", "the best within the budget"
    )
    first.context.close()
    page, found["a study of 10,000 trials, opened again (s)"] = opened(
        browser, f"{url}/explore?run=large", "the best within the budget"
    )
    settle(page)
    times = slider_seconds(page, _PRESSES)
    found["slider, 10,000 trials, median (ms)"] = 1e3 * statistics.median(times)
    found["slider, 10,000 trials, p90 (ms)"] = 1e3 * statistics.quantiles(times, n=10)[-1]
    before = resident_mb(server)
    slider_seconds(page, _PRESSES)
    after = resident_mb(server)
    found["memory before 50 interactions (MB)"], found["memory after (MB)"] = before, after
    small, _ = opened(browser, explore, "the best within the budget")
    settle(small)
    found["slider, 500 candidates, median (ms)"] = 1e3 * statistics.median(slider_seconds(small, _PRESSES))
    pages = [opened(browser, explore, "the best within the budget")[0] for _ in range(_VISITORS)]
    answers = [seconds for page in pages for seconds in slider_seconds(page, 5)]
    found["slider, 10 visitors with open pages, median (ms)"] = 1e3 * statistics.median(answers)
    found["memory with 10 visitors (MB)"] = resident_mb(server)
    return found


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch, sync_playwright() as playwright:
        runs = Path(scratch, "runs")
        write_run(runs / "small", 500)
        write_run(runs / "large", 10_000)
        server = Server(runs, Path(scratch, "cache"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            found = measured(server, browser)
        finally:
            browser.close()
            server.kill()
    where = {"machine": str(machine_fingerprint("cpu")), "streamlit": streamlit.__version__}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["figure", "value", *where])
    for name, value in found.items():
        print(f"{name}: {value:.3g}", flush=True)
        writer.writerow([name, f"{value:.4g}", *where.values()])
    write_atomic(chosen.results, text.getvalue())


if __name__ == "__main__":
    main()
