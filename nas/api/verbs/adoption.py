"""What adopting a network gives: what may be chosen, what is fixed and why, what both ends cost here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas._table import Table
from nas.api.model import Model
from nas.derive import DerivedDimension, FixedAxis, Proof, Report
from nas.errors import NasError
from nas.files import read_json
from nas.latency import Measurement, format_count, format_ms
from nas.models.sources import SourceNetwork

REPORT = "adoption.json"
"""What was derived, in a model's folder."""
_PLACES = 2


@dataclass(frozen=True)
class Adoption:
    """A network that became a supernet.

    Attributes:
        path: The model's folder.
        network: What was adopted; its module holds the weights that were given.
        report: What was derived of it.
        latency: Of the smallest and the largest subnet on this machine; None where it was not measured.
        measured_with: The runtime and threads of that, for readers.
        loaded: The model, from its new folder.
    """

    path: Path
    network: SourceNetwork
    report: Report
    latency: tuple[Measurement, Measurement] | None
    measured_with: str
    loaded: Model

    def model(self) -> Model:
        """Return the model."""
        return self.loaded

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that `nas adopt --json` prints."""
        latency = self.latency and {
            name: each.to_dict() for name, each in zip(("smallest", "largest"), self.latency, strict=True)
        }
        return {
            "model": str(self.path),
            "network": self.network.name,
            "weights": self.network.weights,
            "licence": self.network.licence,
            "subnets": self.loaded.space.size,
            "latency": latency,
            **self.report.to_dict(),
        }

    def table(self) -> Table:
        """Return a row for each dimension: its choices, what one unit is, and which axes it decides."""
        rows = [
            (each.name, each.kind, _choices(each), str(each.unit), _places(each.where), _marks(each))
            for each in self.report.dimensions
        ]
        return Table(
            ("dimension", "kind", "choices", "unit", "where", ""), rows, ("kind", "choices", "where")
        )

    def fixed(self) -> Table:
        """Return why axes of parameters are of one length in every subnet."""
        rows = [(_places(each.where), str(each.length), each.reason) for each in self.report.fixed]
        return Table(("fixed", "length", "why"), rows, ("why",))

    def costs(self) -> Table:
        """Return what the smallest and the largest subnet cost, measured here if they were."""
        rows = [
            ("MACs", *map(format_count, self.report.macs)),
            ("parameters", *map(format_count, self.report.params)),
        ]
        if self.latency is not None:
            rows.append(
                (f"latency, {self.measured_with}", *(format_ms(each.median_ms) for each in self.latency))
            )
        return Table(("", "smallest", "largest"), rows)

    def remarks(self) -> list[str]:
        """Return what else is worth knowing, a sentence each."""
        report = self.report
        found = [
            f"weights: {self.network.weights}"
            + (f"; licence: {self.network.licence}" if self.network.licence else "")
        ]
        if report.proof is not None:
            found.append(
                f"proved: {report.proof.trials} sliced and masked networks differ by at most {report.proof.error:.0e} "
                "of the largest output"
            )
            found += [f"{name} is fixed: {reason}" for name, reason in report.proof.refuted]
        if report.note:
            found.append(report.note)
        if report.without_rule:
            told = ", ".join(f"{name} ({count})" for name, count in report.without_rule.items())
            found.append(f"operations without a rule, whose inputs stay fixed: {told}")
        if renormalised := report.renormalised:
            found.append(
                f"{len(renormalised)} dimensions (~) change a mean or a norm: train their subnets, or calibrate them"
            )
        return found

    def _repr_html_(self) -> str:
        return self.table()._repr_html_() + self.costs()._repr_html_()


def _choices(dimension: DerivedDimension) -> str:
    choices = dimension.choices
    if len(choices) <= 4:
        return ", ".join(map(str, choices))
    return f"{choices[0]} … {choices[-1]} ({len(choices)})"


def _marks(dimension: DerivedDimension) -> str:
    return "~" if dimension.renormalised else ""


def _places(where: Sequence[str]) -> str:
    more = f" and {len(where) - _PLACES} more" if len(where) > _PLACES else ""
    return ", ".join(where[:_PLACES]) + more


def read_report(path: Path) -> Report:
    """Read what was derived; raises `NasError` for a file that is none."""
    value = read_json(path)
    try:
        dimensions = tuple(DerivedDimension(**_tuples(each)) for each in value["dimensions"])
        fixed = tuple(FixedAxis(**_tuples(each)) for each in value["fixed"])
        proof = None if value["proof"] is None else Proof(**value["proof"])
        return Report(**{**_tuples(value), "dimensions": dimensions, "fixed": fixed, "proof": proof})
    except (KeyError, TypeError) as error:
        raise NasError(f"{path} is no report of an adoption ({error}); adopt the network again") from error


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}


__all__ = ["REPORT", "Adoption", "read_report"]
