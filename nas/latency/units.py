"""Durations, counts and sizes as people write them, read exactly and written short.

Three significant digits are written, so what is written reads back within half a percent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from nas.errors import UsageError

_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµμ]*)", re.ASCII)
_LARGEST = Decimal("1e18")

_DURATIONS = {"us": "0.001", "µs": "0.001", "μs": "0.001", "ms": "1", "s": "1000", "min": "60000"}
_COUNTS = {"": "1", "k": "1e3", "m": "1e6", "g": "1e9", "b": "1e9", "t": "1e12"}
_BYTES = {
    "b": "1",
    "kb": "1e3",
    "mb": "1e6",
    "gb": "1e9",
    "tb": "1e12",
    "kib": str(2**10),
    "mib": str(2**20),
    "gib": str(2**30),
    "tib": str(2**40),
}


def parse_duration_ms(text: str) -> float:
    """Read "20ms", "0.8ms", "1s", "500us" as milliseconds; anything else raises `UsageError`."""
    return float(_parse(text, _DURATIONS, "duration", "20ms, 0.8ms, 500us or 1s"))


def parse_count(text: str) -> int:
    """Read "20M", "2.5k", "300000" as a whole number; anything else raises `UsageError`."""
    return _whole(text, _parse(text, _COUNTS, "count", "300000, 20M or 1.5G"), "count")


def parse_bytes(text: str) -> int:
    """Read "1.5MB" (millions of bytes), "2MiB" (2 × 1,048,576 bytes), "900kB"; anything else raises `UsageError`."""
    return _whole(text, _parse(text, _BYTES, "size", "900kB, 1.5MB or 2MiB"), "size in bytes")


def _parse(text: str, units: Mapping[str, str], kind: str, examples: str) -> Decimal:
    hint = f"give a number above zero with its unit, such as {examples}"
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no {kind}; {hint}")
    number, unit = match.groups()
    factor = units.get(unit.lower())
    if factor is None:
        problem = f"has the unit {unit!r}, which is none of a {kind}" if unit else "has no unit"
        raise UsageError(f"{text!r} {problem}; {hint}")
    try:
        value = Decimal(number) * Decimal(factor)
    except InvalidOperation:
        value = _LARGEST + 1
    if value <= 0:
        raise UsageError(f"{text!r} is not above zero; {hint}")
    if value > _LARGEST or float(value) == 0.0:
        raise UsageError(f"{text!r} is beyond any {kind} that can be meant; {hint}")
    return value


def _whole(text: str, value: Decimal, kind: str) -> int:
    if value != value.to_integral_value():
        raise UsageError(f"{text!r} is {value.normalize():f}, but a {kind} is a whole number; round it")
    return int(value)


def format_ms(ms: float) -> str:
    """Write milliseconds with three significant digits: "850 us", "12.3 ms", "1.2 s"."""
    return _format(ms, [(1000.0, " s"), (1.0, " ms"), (0.001, " us")])


def format_count(count: float) -> str:
    """Write a count with three significant digits: "950", "18.7M"."""
    return _format(count, [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")])


def format_bytes(size: float) -> str:
    """Write a size in decimal units with three significant digits: "1.5 MB"."""
    return _format(size, [(1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")])


def _format(value: float, units: Sequence[tuple[float, str]]) -> str:
    # Rounded first, so that 999.7 ms becomes "1 s" and not "1e+03 ms".
    rounded = float(f"{value:.3g}")
    scale, unit = next(((s, u) for s, u in units if abs(rounded) >= s), units[-1])
    return f"{float(f'{rounded / scale:.3g}'):.12g}{unit}"
