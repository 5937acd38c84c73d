"""The search space: sampling, mutation, crossover, validation and encoding of subnets.

Work on many subnets at once goes through *codes*: an int16 matrix with a row per subnet and a column per dimension,
holding the index of the choice, or -1 where the dimension is inactive.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.files import read_json
from nas.space._dimension import Choice, Dimension, SpaceError
from nas.space._subnet import FORMAT, FORMAT_VERSION, Subnet

if TYPE_CHECKING:
    import optuna

INACTIVE = -1


class SearchSpace:
    """An immutable set of dimensions; a condition may only name a dimension that stands before it."""

    def __init__(self, name: str, dimensions: Iterable[Dimension], version: int = 1) -> None:
        self.name = name
        self.version = version
        self.dimensions = tuple(dimensions)
        self.names = tuple(dimension.name for dimension in self.dimensions)
        self._position = {name: position for position, name in enumerate(self.names)}
        self._check()
        self._sizes = np.array([len(dimension.choices) for dimension in self.dimensions], dtype=np.int16)

    def _check(self) -> None:
        if len(self._position) != len(self.names):
            raise SpaceError(f"search space {self.name!r} has two dimensions of one name; give each its own")
        for position, dimension in enumerate(self.dimensions):
            if dimension.active_if is None:
                continue
            parent, values = dimension.active_if
            if self._position.get(parent, position) >= position:
                raise SpaceError(
                    f"{dimension.name} depends on {parent!r}, which must be a dimension before it"
                )
            for value in values:
                self.dimensions[self._position[parent]].index(value)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {len(self.dimensions)} dimensions, {self.size:.3g} subnets)"

    def __getitem__(self, name: str) -> Dimension:
        return self.dimensions[self._position[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._position

    @cached_property
    def digest(self) -> str:
        """A hex digest of the definition: files made for one space are refused by another."""
        definition = [self.name, self.version, [[d.name, d.choices, d.active_if] for d in self.dimensions]]
        return hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that describes the space to readers."""
        dimensions = [
            {"name": d.name, "choices": [*d.choices], "active_if": d.active_if and [d.active_if[0], [*d.active_if[1]]]}
            for d in self.dimensions
        ]  # fmt: skip
        return {"name": self.name, "version": self.version, "digest": self.digest, "dimensions": dimensions}

    def grouped(self) -> list[tuple[str, list[Dimension]]]:
        """Return the dimensions by kind: those of one stage with equal choices together, as "stage2.*.kernel"."""
        groups: dict[tuple[str, tuple[Any, ...]], list[Dimension]] = {}
        for dimension in self.dimensions:
            names = dimension.name.split(".")
            pattern = f"{names[0]}.*.{names[-1]}" if len(names) > 2 else dimension.name
            groups.setdefault((pattern, dimension.choices), []).append(dimension)
        return [(name if len(of) > 1 else of[0].name, of) for (name, _), of in groups.items()]

    @cached_property
    def size(self) -> int:
        """The exact number of different subnets."""
        children: dict[str, list[Dimension]] = {}
        for dimension in self.dimensions:
            if dimension.active_if is not None:
                children.setdefault(dimension.active_if[0], []).append(dimension)

        def count(dimension: Dimension) -> int:
            return sum(
                prod(
                    count(c)
                    for c in children.get(dimension.name, [])
                    if c.active_if and choice in c.active_if[1]
                )
                for choice in dimension.choices
            )

        return prod(count(dimension) for dimension in self.dimensions if dimension.active_if is None)

    @cached_property
    def _conditions(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The conditional dimensions, parents before children, those of one depth together.

        Each item has their columns (k,), their parents' columns (k,), and which of a parent's codes make them active
        (k, codes + 1): code -1 (parent inactive) reads the last, which stays False.
        """
        depths: dict[str, int] = {}
        for dimension in self.dimensions:
            condition = dimension.active_if
            depths[dimension.name] = 0 if condition is None else 1 + depths[condition[0]]
        levels = []
        for depth in range(1, max(depths.values(), default=0) + 1):
            own = [
                place for place, dimension in enumerate(self.dimensions) if depths[dimension.name] == depth
            ]
            conditions = [condition for place in own if (condition := self.dimensions[place].active_if)]
            parents = [self._position[name] for name, _ in conditions]
            allowed = np.zeros((len(own), int(self._sizes.max()) + 1), dtype=bool)
            for row, (name, values) in enumerate(conditions):
                allowed[row, [self[name].index(value) for value in values]] = True
            levels.append((np.array(own), np.array(parents), allowed))
        return levels

    # --- one subnet -------------------------------------------------------------------------------------------------

    def subnet(self, choices: Mapping[str, Any]) -> Subnet:
        """Validate `choices`, drop those of inactive dimensions and return the canonical subnet.

        Raises `SpaceError` for an unknown dimension, an illegal choice or a missing active dimension.
        """
        unknown = [name for name in choices if name not in self._position]
        if unknown:
            close = difflib.get_close_matches(str(unknown[0]), self.names, n=1)
            hint = (
                f"did you mean {close[0]!r}?"
                if close
                else f"its dimensions are {', '.join(self.names[:6])}, …"
            )
            raise SpaceError(f"{unknown[0]!r} is no dimension of {self.name}; {hint}")
        kept: dict[str, Choice] = {}
        for dimension in self.dimensions:
            if dimension.name in choices:
                position = dimension.index(choices[dimension.name])
            if not self._is_active(dimension, kept):
                continue
            if dimension.name not in choices:
                raise SpaceError(f"{dimension.name} is missing; it must be one of {list(dimension.choices)}")
            kept[dimension.name] = dimension.choices[position]
        return Subnet(self.name, self.digest, kept)

    @staticmethod
    def _is_active(dimension: Dimension, kept: Mapping[str, Choice]) -> bool:
        return dimension.active_if is None or kept.get(dimension.active_if[0]) in dimension.active_if[1]

    def validate(self, subnet: Subnet) -> None:
        """Raise `SpaceError` unless `subnet` belongs to this space."""
        if subnet.digest != self.digest:
            raise SpaceError(
                f"the subnet belongs to search space {subnet.space!r} ({subnet.digest}), but {self.name!r} "
                f"({self.digest}) is expected; use the model it was made for"
            )

    def from_dict(self, value: Any) -> Subnet:
        """Read the versioned JSON object of a subnet; anything else, or another space's, raises `SpaceError`."""
        if (
            not isinstance(value, dict)
            or value.get("format") != FORMAT
            or not isinstance(value.get("choices"), dict)
        ):
            raise SpaceError(
                f'the value is no subnet: an object with "format": "{FORMAT}" and "choices" is expected'
            )
        if value.get("version") != FORMAT_VERSION:
            raise SpaceError(
                f"the subnet has format version {value.get('version')!r}, but {FORMAT_VERSION} is expected; "
                "write it again with this version of anyfit"
            )
        if value.get("digest") != self.digest:
            raise SpaceError(
                f"the subnet belongs to search space {value.get('space')!r} ({value.get('digest')}), but "
                f"{self.name!r} ({self.digest}) is expected; use the model it was made for"
            )
        return self.subnet(value["choices"])

    def from_json(self, text: str) -> Subnet:
        """Read the versioned JSON text of a subnet."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SpaceError(f"the subnet is not complete JSON ({error}); write it again") from error
        return self.from_dict(value)

    def read(self, path: str | Path) -> Subnet:
        """Read a subnet's JSON file; errors name the file."""
        value = read_json(path)
        try:
            return self.from_dict(value)
        except SpaceError as error:
            raise SpaceError(f"{path}: {error}") from error

    def largest(self) -> Subnet:
        """Return the subnet of every dimension's last choice."""
        return self.subnet({dimension.name: dimension.choices[-1] for dimension in self.dimensions})

    def smallest(self) -> Subnet:
        """Return the subnet of every dimension's first choice."""
        return self.subnet({dimension.name: dimension.choices[0] for dimension in self.dimensions})

    def sample(self, rng: np.random.Generator) -> Subnet:
        """Draw every active dimension's choice uniformly."""
        return self.from_codes(self.sample_codes(rng, 1)[0])

    def mutate(self, subnet: Subnet, rng: np.random.Generator, rate: float = 0.1) -> Subnet:
        """Redraw each dimension with probability `rate`; at least one choice changes (unless there is only one)."""
        return self.from_codes(self.mutate_codes(self.codes([subnet]), rng, rate)[0])

    def crossover(self, first: Subnet, second: Subnet, rng: np.random.Generator) -> Subnet:
        """Take each choice from one of two subnets with equal probability."""
        return self.from_codes(self.crossover_codes(self.codes([first]), self.codes([second]), rng)[0])

    # --- many subnets: codes ----------------------------------------------------------------------------------------

    def codes(self, subnets: Sequence[Subnet]) -> np.ndarray:
        """Return the int16 codes (n, dimensions) of `subnets`."""
        codes = np.full((len(subnets), len(self.dimensions)), INACTIVE, dtype=np.int16)
        for row, subnet in enumerate(subnets):
            self.validate(subnet)
            for name, choice in subnet.items():
                position = self._position[name]
                codes[row, position] = self.dimensions[position].choices.index(choice)
        return codes

    def from_codes(self, row: np.ndarray) -> Subnet:
        """Return the subnet of one row of codes."""
        self._check_range(row[None])
        choices = {
            d.name: d.choices[code]
            for d, code in zip(self.dimensions, row.tolist(), strict=True)
            if code >= 0
        }
        return self.subnet(choices)

    def _check_range(self, codes: np.ndarray) -> None:
        if codes.ndim != 2 or codes.shape[1] != len(self.dimensions):
            raise SpaceError(
                f"codes have shape {codes.shape}, but {self.name} needs (n, {len(self.dimensions)})"
            )
        if ((codes >= self._sizes) | (codes < INACTIVE)).any():
            raise SpaceError("a code lies outside its dimension's choices; give indices of choices")

    def canonical_codes(self, codes: np.ndarray) -> np.ndarray:
        """Return a copy with -1 in every inactive place; an active place without a choice raises `SpaceError`."""
        self._check_range(codes)
        result = np.array(codes, dtype=np.int16)
        active = np.ones(result.shape, dtype=bool)
        for own, parents, allowed in self._conditions:
            active[:, own] = allowed[np.arange(len(own)), result[:, parents]]
            result[~active] = INACTIVE
        missing = (result == INACTIVE) & active
        if missing.any():
            name = self.names[int(np.nonzero(missing)[1][0])]
            raise SpaceError(f"{name} is active but has no choice; give one")
        return result

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.integers(0, self._sizes, size=(count, len(self.dimensions)), dtype=np.int16)

    def sample_codes(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw `count` rows, every active choice uniform."""
        return self.canonical_codes(self._draw(rng, count))

    def mutate_codes(self, codes: np.ndarray, rng: np.random.Generator, rate: float = 0.1) -> np.ndarray:
        """Redraw each place with probability `rate` (each row at least one active place that has several choices)."""
        drawn = self._draw(rng, len(codes))
        redraw = rng.random(codes.shape) < rate
        # One place of each row surely moves to another choice: the active place with the highest lot.
        lots = np.where((codes >= 0) & (self._sizes > 1), rng.random(codes.shape), -1.0)
        rows, sure = np.arange(len(codes)), lots.argmax(axis=1)
        steps = rng.integers(1, np.maximum(self._sizes[sure], 2), dtype=np.int16)
        moved = np.where((codes < 0) | redraw, drawn, codes)
        movable = lots[rows, sure] >= 0
        moved[rows, sure] = np.where(
            movable, (codes[rows, sure] + steps) % self._sizes[sure], moved[rows, sure]
        )
        return self.canonical_codes(moved)

    def crossover_codes(self, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take each place from one of two parents; what neither has is drawn."""
        take = rng.random(first.shape) < 0.5
        mine, other = np.where(take, first, second), np.where(take, second, first)
        child = np.where(mine >= 0, mine, other)
        return self.canonical_codes(np.where(child >= 0, child, self._draw(rng, len(child))))

    # --- one-hot encoding -------------------------------------------------------------------------------------------

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self._sizes[:-1], dtype=np.int64)])

    @cached_property
    def features(self) -> list[str]:
        """The names of the columns of `encode`, as "stage1.depth=3"."""
        return [f"{dimension.name}={choice}" for dimension in self.dimensions for choice in dimension.choices]

    def encode(self, codes: np.ndarray) -> np.ndarray:
        """Return the one-hot matrix (n, features) of active choices; an inactive dimension's columns are zero."""
        width = len(self.features)
        encoded = np.zeros((len(codes), width))
        places = np.arange(0, encoded.size, width)[:, None] + self._offsets + codes
        encoded.ravel()[places[codes >= 0]] = 1.0
        return encoded

    def decode(self, row: np.ndarray) -> Subnet:
        """Return the subnet of one row of `encode`."""
        if len(row) != len(self.features):
            raise SpaceError(
                f"a row has {len(row)} columns, but {self.name} has {len(self.features)} features"
            )
        codes = np.full(len(self.dimensions), INACTIVE, dtype=np.int16)
        for position, (offset, size) in enumerate(
            zip(self._offsets.tolist(), self._sizes.tolist(), strict=True)
        ):
            hot = np.flatnonzero(row[offset : offset + size])
            if len(hot) > 1:
                raise SpaceError(f"{self.names[position]} has {len(hot)} choices at once; give a one-hot row")
            if len(hot):
                codes[position] = hot[0]
        return self.from_codes(codes)

    # --- Optuna -----------------------------------------------------------------------------------------------------

    def distributions(self) -> dict[str, optuna.distributions.CategoricalDistribution]:
        """Return Optuna's distribution of every dimension."""
        from optuna.distributions import CategoricalDistribution

        return {dimension.name: CategoricalDistribution(dimension.choices) for dimension in self.dimensions}

    def suggest(self, trial: optuna.trial.BaseTrial) -> Subnet:
        """Let an Optuna trial choose, active dimensions only, in order."""
        kept: dict[str, Choice] = {}
        for dimension in self.dimensions:
            if self._is_active(dimension, kept):
                choice = trial.suggest_categorical(dimension.name, dimension.choices)
                kept[dimension.name] = dimension.choices[dimension.index(choice)]
        return Subnet(self.name, self.digest, kept)

    @staticmethod
    def params(subnet: Subnet) -> dict[str, Choice]:
        """Return the parameters an Optuna trial of this subnet has (its active dimensions)."""
        return dict(subnet)
