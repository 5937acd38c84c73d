"""Words for readers: nothing that comes from outside is markup."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli import is_loopback
from app.parts.text import ago, budget_words, ms, plain, quality_words, seconds_words


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "[a](javascript:x)", "**b**", "`c`", ":red[x]", "$x^2$", "# h"]
)
def test_markup_is_escaped(text: str) -> None:
    shown = plain(text)
    assert not re.search(r"(?<!\\)[<>\[\]`*$#:]", shown)


@given(st.text(max_size=600))
def test_text_has_no_control_characters_and_a_limit(text: str) -> None:
    shown = plain(text, 100)
    assert len(shown) <= 200
    assert all(unicodedata.category(letter)[0] != "C" for letter in shown)


def test_figures() -> None:
    assert ms(None) == ms(float("nan")) == "–" and ms(0.85) == "850 us"
    assert budget_words({"latency_ms": 20.0, "macs": 5e6}) == "20 ms, 5M MACs"
    assert quality_words(None, {}) == "–" and quality_words(77.5, {"unit": "%"}) == "77.50%"
    assert ago(0, 30) == "just now" and ago(0, 600) == "10 min ago" and seconds_words(240) == "4 min"


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_only_this_machine_is_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local
