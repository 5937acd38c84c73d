"""Words for readers. Whatever comes from a user, a file or a process is shown as text and never as markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import streamlit as st

from nas.errors import NasError
from nas.latency.units import format_bytes, format_count, format_ms
from nas.models import quality_text

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#|~$:&]|^[-+!]|^\d+(?=[.)]))")


def plain(text: object, longest: int = 400) -> str:
    """Return text that Markdown shows as it is: markup escaped, control characters gone, cut to `longest`."""
    letters = "".join(" " if letter in "\n\t\r" else letter for letter in str(text))
    letters = "".join(letter for letter in letters if unicodedata.category(letter)[0] != "C")
    if len(letters) > longest:
        letters = letters[: longest - 1] + "…"
    return _MARKUP.sub(_escaped, letters)


def _escaped(found: re.Match[str]) -> str:
    mark = found[1]
    return f"{mark}\u2060" if mark.isdigit() else f"\\{mark}"  # a joiner of no width: "1." begins no list


def quality_words(value: float | None, quality: Mapping[str, Any]) -> str:
    """Return a quality with its unit, a dash where it is not known."""
    return "–" if value is None else quality_text(float(value), str(quality.get("unit", "")))


def ms(value: float | None) -> str:
    """Return a latency, a dash where it is not known."""
    return "–" if value is None or value != value else format_ms(float(value))


def pace_words(pace: float | None) -> str:
    """Return what to say of a machine's pace after a latency: "" where it was calm."""
    return "" if pace is None or pace < 1.05 else f" at its calm pace (it was {pace:.2f} times slower then)"


def budget_words(budget: Mapping[str, float]) -> str:
    """Return the limits of a budget: "20 ms, 5M MACs"."""
    forms = {
        "latency_ms": format_ms,
        "macs": lambda value: f"{format_count(value)} MACs",
        "params": lambda value: f"{format_count(value)} parameters",
        "size_bytes": format_bytes,
    }
    return ", ".join(forms[name](value) for name, value in budget.items() if name in forms)


def ago(moment: float, now: float | None = None) -> str:
    """Return how long a moment lies back: "just now", "5 min ago", or the day."""
    seconds = (datetime.now().timestamp() if now is None else now) - moment
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{datetime.fromtimestamp(moment):%d %B %Y}"


def seconds_words(seconds: float) -> str:
    """Return a duration: "8 s", "3 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


@contextmanager
def told() -> Iterator[None]:
    """Show what a user can mend as a sentence on the page, and leave out the rest of the block."""
    try:
        yield
    except NasError as error:
        st.error(plain(error), icon=":material/error:")
