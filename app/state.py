"""What a view is, in the address: so that it can be shared, reloaded and gone back to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def get(name: str, default: T, kind: Callable[[str], T] = str) -> T:  # type: ignore[assignment]
    """Return the value of `name` in the address; the default where it is missing or makes no sense."""
    text = st.query_params.get(name)
    if text is None:
        return default
    try:
        return kind(text)
    except (ValueError, TypeError, OverflowError):
        return default


def put(**values: Any) -> None:
    """Write values into the address; None takes one out."""
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != str(value):
            st.query_params[name] = str(value)


def choose(label: str, options: Sequence[str], name: str, default: str | None = None, **more: Any) -> str:
    """Show a select box whose choice is in the address as `name`; return the choice."""
    wanted = get(name, default or options[0])
    index = options.index(wanted) if wanted in options else 0
    key = f"choose-{name}-{'|'.join(options)}"
    chosen = st.selectbox(label, options, index=index, key=key, **more)
    put(**{name: chosen})
    return chosen
