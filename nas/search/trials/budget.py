"""The limits that a search must keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nas.errors import UsageError
from nas.latency.units import (
    format_bytes,
    format_count,
    format_ms,
    parse_bytes,
    parse_count,
    parse_duration_ms,
)

COSTS: tuple[str, ...] = ("latency_ms", "macs", "params", "size_bytes")
"""Everything a subnet costs, in the order of the search's cost matrices."""
_WORDS = {"latency_ms": "latency", "macs": "MACs", "params": "parameters", "size_bytes": "size"}
_FORMATS = {"latency_ms": format_ms, "macs": format_count, "params": format_count, "size_bytes": format_bytes}


def format_cost(name: str, value: float) -> str:
    """Write a cost with its unit: ("latency_ms", 20.0) as "20 ms"."""
    return _FORMATS[name](value)


@dataclass(frozen=True)
class Budget:
    """Upper limits, any subset of them, at least one: milliseconds, MACs, parameters, bytes of fp32 weights."""

    latency_ms: float | None = None
    macs: int | None = None
    params: int | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        given = self.to_dict()
        if not given:
            raise UsageError(
                "no budget is given; give at least one of --latency, --macs, --params and --size, for example "
                "--latency 20ms"
            )
        for name, value in given.items():
            if not (value > 0 and np.isfinite(value)):
                raise UsageError(f"the budget's {name} is {value!r}; give a number above zero")

    @classmethod
    def parse(
        cls,
        latency: str | None = None,
        macs: str | None = None,
        params: str | None = None,
        size: str | None = None,
    ) -> Budget:
        """Read limits as people write them, "20ms", "20M", "1.5MB"; anything else raises `UsageError`."""
        return cls(
            latency_ms=None if latency is None else parse_duration_ms(latency),
            macs=None if macs is None else parse_count(macs),
            params=None if params is None else parse_count(params),
            size_bytes=None if size is None else parse_bytes(size),
        )

    @property
    def primary(self) -> str:
        """The limit along which other budgets are tried: latency where it is limited, else the first one given."""
        return next(iter(self.to_dict()))

    def limits(self) -> np.ndarray:
        """Return the limits (4,) in the order of `COSTS`, infinite where there is none."""
        given = self.to_dict()
        return np.array([given.get(name, np.inf) for name in COSTS], dtype=np.float64)

    def broken_by(self, costs: Mapping[str, float]) -> list[str]:
        """Return the names of the limits that `costs` exceed."""
        return [name for name, limit in self.to_dict().items() if costs[name] > limit]

    def to_dict(self) -> dict[str, Any]:
        """Return the limits that are given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Budget:
        """Read the JSON object; an unknown limit raises `UsageError`."""
        unknown = [name for name in value if name not in COSTS]
        if unknown:
            raise UsageError(f"{unknown[0]!r} is no limit of a budget; choose from {', '.join(COSTS)}")
        return cls(**value)

    @property
    def slug(self) -> str:
        """A short name for a folder: "20ms", "0.8ms-1.5MB"."""
        parts = [format_cost(name, value).replace(" ", "") for name, value in self.to_dict().items()]
        marks = {"macs": "macs", "params": "params"}
        return "-".join(part + marks.get(name, "") for name, part in zip(self.to_dict(), parts, strict=True))

    def __str__(self) -> str:
        parts = [f"{_WORDS[name]} ≤ {format_cost(name, value)}" for name, value in self.to_dict().items()]
        return ", ".join(parts)
