"""What an index expression of a region may read, and its values on all PEs at once.

Static values are those that do not depend on runtime scalars, loop counters or element
indices: the checker computes them for every PE of a region as int64 [height, width].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef, evaluate, names_in, tables_in
from meshrt.program.memory_map import rect_slices
from meshrt.program.model import Buffer, Rect, Region


class StaticFailure(Exception):
    """An index expression that has no value on some PE; the text says why."""


@dataclass
class Scope:
    """The names of one region. All grids are [height, width].

    ``values`` holds the values of each static name, ``coverage`` the PEs that define a name,
    ``elements`` how many elements a buffer has on each PE (0 where there is none).
    """

    region: Region
    tables: dict[str, np.ndarray]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    coverage: dict[str, np.ndarray] = field(default_factory=dict)
    elements: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: frozenset[str] = frozenset()

    @staticmethod
    def of(region: Region) -> Scope:
        """Coordinates, scalars and tables; parameters and buffers are added as they are checked."""
        shape = (region.height, region.width)
        y, x = np.meshgrid(np.arange(region.height), np.arange(region.width), indexing="ij")
        everywhere = np.ones(shape, bool)
        scope = Scope(region, {t.name: np.array(t.entries, np.int64) for t in region.tables})
        scope.values = {"x": x.astype(np.int64), "y": y.astype(np.int64)}
        scope.scalars = frozenset(s.name for s in region.scalars)
        scope.coverage = dict.fromkeys(("x", "y", *(s.name for s in region.scalars)), everywhere)
        return scope

    def mask(self, rect: Rect) -> np.ndarray:
        """The PEs of a rectangle: bool [height, width]."""
        mask = np.zeros((self.region.height, self.region.width), bool)
        mask[rect_slices(rect)] = True
        return mask

    def define_param(self, name: str, rect: Rect, value: Expr) -> None:
        """Add a parameter on a rectangle; it stays without a static value where its expression has none."""
        known = name in self.coverage
        static = self.is_static(value) and (not known or name in self.values)
        if not known:
            self.coverage[name] = np.zeros((self.region.height, self.region.width), bool)
        area = rect_slices(rect)
        if static:
            grid = self.values.setdefault(name, np.zeros(self.coverage[name].shape, np.int64))
            grid[area] = self.grid(value, area)
        else:
            self.values.pop(name, None)
        self.coverage[name][area] = True

    def define_buffer(self, buffer: Buffer) -> None:
        """Note on which PEs the buffer lies."""
        if buffer.name not in self.elements:
            self.elements[buffer.name] = np.zeros((self.region.height, self.region.width), np.int64)
        self.elements[buffer.name][rect_slices(buffer.rect)] = buffer.elements

    def is_static(self, expr: Expr, hidden: frozenset[str] = frozenset()) -> bool:
        """Whether the value follows from the PE alone. ``hidden`` are names that a loop has taken over."""
        names = names_in(expr)
        return names <= self.values.keys() and not names & hidden and tables_in(expr) <= self.tables.keys()

    def grid(self, expr: Expr, area: tuple[slice, slice] = (slice(None), slice(None))) -> np.ndarray:
        """The value of a static expression on every PE of an area of the region."""
        values = {name: grid[area] for name, grid in self.values.items()}
        tables = {name: entries if len(entries) else np.zeros(1, np.int64) for name, entries in self.tables.items()}
        try:
            return np.broadcast_to(np.asarray(evaluate(expr, values, tables)), values["x"].shape)
        except ZeroDivisionError as error:
            raise StaticFailure("divides by zero") from error

    def check_tables(self, expr: Expr, mask: np.ndarray, hidden: frozenset[str] = frozenset()) -> None:
        """Raise StaticFailure where a table is read outside its entries on a PE of the mask.

        Only indices with static values are looked at; of a select, only the branch that is taken.
        """
        match expr:
            case Int() | Name():
                return
            case Binary(_, left, right):
                self.check_tables(left, mask, hidden)
                self.check_tables(right, mask, hidden)
            case Select(condition, then, otherwise):
                self.check_tables(condition, mask, hidden)
                if self.is_static(condition, hidden):
                    taken = self.grid(condition) != 0
                    self.check_tables(then, mask & taken, hidden)
                    self.check_tables(otherwise, mask & ~taken, hidden)
            case TableRef(table, index):
                self.check_tables(index, mask, hidden)
                if self.is_static(index, hidden) and table in self.tables:
                    at = self.grid(index)
                    outside = mask & ((at < 0) | (at >= len(self.tables[table])))
                    if outside.any():
                        y, x = np.argwhere(outside)[0]
                        raise StaticFailure(
                            f"reads entry {at[y, x]} of table {table!r} on PE ({x}, {y}); "
                            f"it has entries 0 to {len(self.tables[table]) - 1}"
                        )


def possible_values(scope: Scope, expr: Expr, mask: np.ndarray, hidden: frozenset[str]) -> np.ndarray | None:
    """Every value that the expression takes on PEs of the mask, sorted, or None where that is not static.

    A select between constants counts both of them when its condition is not static.
    """
    if scope.is_static(expr, hidden):
        return np.unique(scope.grid(expr)[mask])
    if isinstance(expr, Select):
        parts = [possible_values(scope, part, mask, hidden) for part in (expr.then, expr.otherwise)]
        if all(part is not None for part in parts):
            return np.unique(np.concatenate([part for part in parts if part is not None]))
    return None
