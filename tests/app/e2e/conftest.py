"""The app as a person meets it: `nas app` in a process of its own, and Debian's Chromium."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import end_jobs, on_one_core

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
WIDE, NARROW = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}


class Server:
    """A running app."""

    def __init__(self, runs: Path, cache: Path) -> None:
        self.runs = runs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._environment = os.environ | {"ANYFIT_CACHE": str(cache)}
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["app", "--runs", str(self.runs), "--port", str(self.port), "--no-browser"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nas", *words], env=self._environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=on_one_core,
        )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2)
                return
            except OSError:
                assert time.monotonic() < end and self.process.poll() is None, "the app did not start"
                time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, own_cache: Path, made: Path) -> Iterator[Server]:
    if not Path(CHROMIUM).is_file():
        pytest.skip(f"needs a browser: {CHROMIUM} is missing (apt install chromium)")
    found = Server(tmp_path_factory.mktemp("app") / "runs", own_cache)
    yield found
    found.kill()
    end_jobs(found.runs)


@pytest.fixture(scope="session")
def browser(server: Server) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Return a function that opens an address in a session of its own."""
    opened = []

    def visit(path: str = "", *, viewport: dict[str, int] = WIDE, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}/{path}")
        page.wait_for_selector("h1")
        return page

    yield visit
    for context in opened:
        context.close()


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, str], None]:
    """Return a function that keeps a screenshot in `$ANYFIT_SCREENSHOTS`, or among the test's files."""
    named = os.environ.get("ANYFIT_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def shot(page: Any, name: str) -> None:
        settle(page)
        if (
            not named
        ):  # as it is seen; the whole page takes seconds to draw, and is for those who asked for pictures
            page.screenshot(path=str(folder / f"{name}.png"))
            return
        size = page.viewport_size
        inner = (
            "[...document.querySelectorAll('[data-testid=stMain]')].map(main => main.scrollHeight)[0] || 0"
        )
        tall = min(4000, max(size["height"], int(page.evaluate(inner)) + 20))
        page.set_viewport_size({"width": size["width"], "height": tall})
        settle(page)
        page.screenshot(path=str(folder / f"{name}.png"))
        page.set_viewport_size(size)

    return shot


def settle(page: Any) -> None:
    """Wait until the page is not being drawn any more."""
    page.wait_for_timeout(300)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_timeout(300)


def no_error(page: Any) -> None:
    """Fail where the page shows an exception."""
    assert page.locator("[data-testid=stException]").count() == 0, page.inner_text("body")


__all__ = ["CHROMIUM", "NARROW", "WIDE", "Server", "no_error", "settle"]
