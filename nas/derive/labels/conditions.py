"""Conditions under which entries of axes exist: conjunctions of atoms, in a union-find whose roots may be split.

An *atom* is a number above 0. The condition of an entry is a row of atoms, all of which must be kept; 0 fills a row up,
and the row of zeros is always there. An axis is a table (entries, columns) of rows, or None where all of it is always
there. Operations unify rows (they exist together), split an atom into a conjunction (a channel is head ∧ place in the
head) and freeze atoms (always there). Tables are read lazily: `resolve` gives one in terms of today's atoms, so the
order in which operations are met does not matter.
"""

from __future__ import annotations

import numpy as np

Table = np.ndarray | None
"""An axis: int64 (entries, columns), or None where every entry is always there."""
WIDTH = 8
"""Factors that an atom may be split into; what needs more is frozen."""


class Conditions:
    """The atoms of one graph."""

    def __init__(self) -> None:
        self._parent = np.arange(1024)
        self._is_split = np.zeros(1024, bool)
        self._factors = np.zeros((1024, WIDTH), np.int64)
        self._reasons: dict[int, str] = {}
        self.count = 1

    def fresh(self, entries: int) -> np.ndarray:
        """Return the table of an axis about which nothing is known yet: an atom of its own for each entry."""
        while self.count + entries > len(self._parent):
            size = len(self._parent)
            self._parent = np.concatenate([self._parent, np.arange(size, 2 * size)])
            self._is_split = np.concatenate([self._is_split, np.zeros(size, bool)])
            self._factors = np.concatenate([self._factors, np.zeros((size, WIDTH), np.int64)])
        atoms = np.arange(self.count, self.count + entries)
        self.count += entries
        return atoms[:, None]

    def _find(self, atoms: np.ndarray) -> np.ndarray:
        found = self._parent[atoms]
        while ((up := self._parent[found]) != found).any():
            found = up
        self._parent[atoms] = found
        return found

    def resolve(self, table: Table) -> Table:
        """Return the table in terms of today's atoms; None if all of it is always there."""
        if table is None:
            return None
        table = self._find(table)
        while (split := self._is_split[table]).any():
            columns = []
            for column, own in zip(table.T, split.T, strict=True):
                if own.any():
                    width = max(1, int((self._factors[column[own]] > 0).sum(1).max()))
                    filled = np.zeros((len(column), width), np.int64)
                    filled[:, 0] = column
                    filled[own] = self._factors[column[own], :width]
                    columns.append(filled)
                else:
                    columns.append(column[:, None])
            table = self._find(np.concatenate(columns, 1))
        for place in range(1, table.shape[1]):
            if (double := (table[:, :place] == table[:, place : place + 1]).any(1)).any():
                table = table.copy()
                table[double, place] = 0
        if not (used := table.any(0)).all():
            table = table[:, used]
        return table if table.shape[1] else None

    def freeze(self, table: Table, reason: str) -> None:
        """Have every entry of the table always there; `reason` is kept for atoms that were not frozen before."""
        if (table := self.resolve(table)) is not None:
            atoms = np.unique(table)
            self.freeze_atoms(atoms[atoms > 0], reason)

    def freeze_atoms(self, atoms: np.ndarray, reason: str) -> None:
        """Freeze atoms that are roots."""
        self._is_split[atoms] = True
        self._factors[atoms] = 0
        self._reasons |= dict.fromkeys(atoms.tolist(), reason)

    def reason(self, table: Table) -> str:
        """Return why a table's first entry that is always there is so; empty if none is."""
        if table is None:
            return ""
        for atom in self._find(table).ravel().tolist():
            if atom in self._reasons:
                return self._reasons[atom]
            if self._is_split[atom] and (reason := self.reason(self._factors[atom][None])):
                return reason
        return ""

    def unify(self, first: Table, second: Table, reason: str) -> Table:
        """Have the entries of two axes exist together, pair by pair.

        What the rows share is left out of account. One atom against another: they become one. One against several: it
        becomes their conjunction. Nothing against some: these are frozen, or become what is shared. Several against
        several have no exact answer: they are paired, which is coarser but sound.
        """
        while True:
            first, second = self.resolve(first), self.resolve(second)
            if first is None or second is None:
                self.freeze(second if first is None else first, reason)
                return None
            if first.shape == second.shape and (first == second).all():
                return first
            same = (first[:, :, None] == second[:, None, :]) & (first > 0)[:, :, None]
            left, right = np.where(same.any(2), 0, first), np.where(same.any(1), 0, second)
            more, less = (left > 0).sum(1), (right > 0).sum(1)
            if not (more.any() or less.any()):
                return first
            shared = np.where(same.any(2), first, 0).max(1)
            self._unify_rows(left, right, more, less, shared, reason)

    def _unify_rows(
        self,
        left: np.ndarray,
        right: np.ndarray,
        more: np.ndarray,
        less: np.ndarray,
        shared: np.ndarray,
        reason: str,
    ) -> None:
        """Take one step with the rows that differ: unions first, then what they leave."""
        if (pair := (more == 1) & (less == 1)).any():
            self._union(left[pair].max(1), right[pair].max(1))
        elif (alone := (more == 0) != (less == 0)).any():
            some = np.concatenate([left[alone], right[alone]], 1)
            common = np.broadcast_to(shared[alone][:, None], some.shape)
            self._union(some[some * common > 0], common[some * common > 0])
            lost = np.unique(some[common == 0])
            self.freeze_atoms(lost[lost > 0], reason)
        elif (one := ((more == 1) | (less == 1)) & (more + less > 0)).any():
            swap = (more == 1)[one][:, None]
            width = max(left.shape[1], right.shape[1])
            left, right = (np.pad(side[one], ((0, 0), (0, width - side.shape[1]))) for side in (left, right))
            self._split(np.where(swap, left, right).max(1), np.where(swap, right, left))
        else:
            many = more > 0
            width = max(left.shape[1], right.shape[1])
            left, right = (
                _filled_up(np.pad(side[many], ((0, 0), (0, width - side.shape[1])))) for side in (left, right)
            )
            for place in range(width):
                a, b = left[:, place], right[:, place]
                self._union(np.where(a > 0, a, left[:, 0]), np.where(b > 0, b, right[:, 0]))

    def _union(self, first: np.ndarray, second: np.ndarray) -> None:
        while True:
            first, second = self._find(first), self._find(second)
            low, high = np.minimum(first, second), np.maximum(first, second)
            if not (differ := low != high).any():
                return
            np.minimum.at(self._parent, high[differ], low[differ])

    def _split(self, atoms: np.ndarray, rows: np.ndarray) -> None:
        """Make each atom the conjunction of its row; rows of an atom that comes again wait for the next step."""
        atoms, first = np.unique(atoms, return_index=True)
        rows = _filled_up(rows[first])
        if np.isin(atoms, rows).any():  # a split that reads another one's atom must come after it
            atoms, rows = atoms[:1], rows[:1]
        if rows.shape[1] > WIDTH and rows[:, WIDTH:].any():
            lost = np.unique(rows)
            self.freeze_atoms(lost[lost > 0], "more factors than are followed")
            return
        self._is_split[atoms] = True
        self._factors[atoms] = 0
        self._factors[atoms, : rows.shape[1]] = rows[:, :WIDTH]


def _filled_up(rows: np.ndarray) -> np.ndarray:
    """Return rows with their zeros at the end; factors keep their order, for a column is one factor."""
    return np.take_along_axis(rows, np.argsort(rows == 0, 1, kind="stable"), 1)
