"""Pages for the tests of the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh_caches() -> None:
    """Forget what other tests have cached in this process."""
    import streamlit as st

    st.cache_data.clear()


@pytest.fixture(autouse=True, scope="session")
def counted_pages() -> Iterator[None]:
    """Count the lines of pages where lines are counted: slipcover sees what is imported, and Streamlit runs scripts."""
    from streamlit.runtime.scriptrunner.script_cache import ScriptCache

    counting = getattr(sys.modules.get("slipcover.pytest_plugin"), "_slipcover_instance", None)
    if counting is None:
        yield
        return
    compiled = ScriptCache.get_bytecode
    counted = cache(lambda scripts, path: counting.instrument(compiled(scripts, path)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptCache, "get_bytecode", lambda scripts, path: counted(scripts, path))
        yield


@pytest.fixture
def page() -> Callable[..., Any]:
    """Return a function that runs a page of the app, with values in the address."""
    from streamlit.testing.v1 import AppTest

    def run(name: str, **query: str) -> Any:
        test = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
        for key, value in query.items():
            test.query_params[key] = value
        test.run()
        if name != "home":
            test.switch_page(f"app_pages/{name}.py").run()
        return test

    return run
