"""Index expressions as postfix code for :mod:`.evaluation`.

What follows from the PE alone is computed on all PEs at once and becomes a grid; the rest reads the counters of the
loops around it and the runtime scalars.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef, names_in
from meshrt.program.proofs.records import (
    ADD,
    CONSTANT,
    ENTRY,
    EQ,
    FLOOR_DIVIDE,
    GE,
    GENERAL,
    GRID,
    GT,
    JUMP_IF_ZERO,
    JUMP_TO,
    LE,
    LT,
    MAXIMUM,
    MINIMUM,
    MODULO,
    MUL,
    NE,
    OF_SCALARS,
    PUSH,
    PUSH_COUNTER,
    PUSH_GRID,
    PUSH_SCALAR,
    RETURN,
    SUB,
)
from meshrt.program.proofs.stretches import Stretch
from meshrt.program.scope import Scope, StaticFailure

_OPERATIONS = {
    "+": ADD,
    "-": SUB,
    "*": MUL,
    "//": FLOOR_DIVIDE,
    "%": MODULO,
    "min": MINIMUM,
    "max": MAXIMUM,
    "==": EQ,
    "!=": NE,
    "<": LT,
    "<=": LE,
    ">": GT,
    ">=": GE,
}


class Expressions:
    """The expressions of one stretch, each compiled once and known by a number."""

    def __init__(self, stretch: Stretch):
        region = stretch.region
        self.scope = Scope.of(region)
        self._homes = dict(stretch.homes)
        self._areas = [part.area for part in stretch.parts]
        self._scalars = {scalar.name: i for i, scalar in enumerate(region.scalars)}
        self._tables = {table.name: i for i, table in enumerate(region.tables)}
        self._read: set[str] = set()
        self._stops: set[str] = set()
        self._dynamic: dict[str, Expr] = {}
        self._numbers: dict[tuple[Expr, tuple[tuple[str, int], ...]], int] = {}
        self._rows: list[tuple[int, int]] = []
        self._code: list[tuple[int, int]] = []
        self._grids: dict[tuple[int | None, bytes], int] = {}
        # The rows of grids, and whose values each holds; those of several parts lie beside each other.
        self._grid_rows: list[np.ndarray] = []
        self._grid_users: list[set[int | None]] = []
        self._depth = 1
        for i, param in enumerate(region.params):
            self.scope.define_param(param.name, param.rect, param.value)
            if param.name not in self.scope.values:
                # On its rectangle the parameter is this expression, elsewhere what it was before.
                mask = f"@param {i}"
                self.scope.values[mask] = self.scope.mask(param.rect).astype(np.int64)
                if param.name in self._homes:
                    self._homes[mask] = self._homes[param.name]
                before = self._dynamic.get(param.name, Int(0))
                self._dynamic[param.name] = Select(Name(mask), self.resolve(param.value), before)

    def resolve(self, expr: Expr) -> Expr:
        """The expression without parameters that depend on scalars: their own expressions in their place."""
        match expr:
            case Name(name):
                return self._dynamic.get(name, expr)
            case Binary(op, left, right):
                return Binary(op, self.resolve(left), self.resolve(right))
            case Select(condition, then, otherwise):
                return Select(self.resolve(condition), self.resolve(then), self.resolve(otherwise))
            case TableRef(table, index):
                return TableRef(table, self.resolve(index))
        return expr

    def number(self, expr: Expr, counters: Mapping[str, int], decides: bool = True) -> int:
        """The number of an expression; ``counters`` are the places of the counters of the loops around it.

        It ``decides`` something unless what is proven for the highest values of its scalars holds for all.
        """
        expr = self.resolve(expr)
        used = names_in(expr)
        if decides:
            self._read |= used & self._scalars.keys()
        mine = {name: place for name, place in counters.items() if name in used}
        key = (expr, tuple(sorted(mine.items())))
        if key not in self._numbers:
            self._numbers[key] = len(self._rows)
            self._rows.append(self._compile(expr, mine))
        return self._numbers[key]

    def note_stop(self, scalar: str) -> None:
        """A loop that a flag may end stops at this scalar: of its values the lowest and the highest decide."""
        self._stops.add(scalar)

    def scalars_read(self) -> frozenset[str]:
        """The runtime scalars of which every value decides something."""
        return frozenset(self._read)

    def scalars_at_stops(self) -> frozenset[str]:
        """Those of which only the lowest and the highest value do."""
        return frozenset(self._stops - self._read)

    def _compile(self, expr: Expr, counters: Mapping[str, int]) -> tuple[int, int]:
        if isinstance(expr, Int):
            return CONSTANT, expr.value
        grid = self._grid(expr, counters)
        if grid is not None:
            return (CONSTANT, int(grid.flat[0])) if (grid == grid.flat[0]).all() else (GRID, self._keep(expr, grid))
        start = len(self._code)
        self._emit(expr, counters, 1)
        self._code.append((RETURN, 0))
        return (OF_SCALARS if names_in(expr) & self._scalars.keys() else GENERAL), start

    def _home(self, expr: Expr) -> int | None:
        """The part of the stretch to which an expression belongs; None where it means the same everywhere."""
        return next((self._homes[name] for name in sorted(names_in(expr)) if name in self._homes), None)

    def _area(self, home: int | None) -> tuple[slice, slice]:
        return (slice(None), slice(None)) if home is None else self._areas[home]

    def _grid(self, expr: Expr, counters: Mapping[str, int]) -> np.ndarray | None:
        """The values on the PEs to which the expression belongs, where they follow from the PE alone."""
        if not self.scope.is_static(expr, frozenset(counters)):
            return None
        area = self._area(self._home(expr))
        here = np.zeros((self.scope.region.height, self.scope.region.width), bool)
        here[area] = True
        try:
            self.scope.check_tables(expr, here)
            return np.asarray(self.scope.grid(expr, area), np.int64)
        except StaticFailure:
            # Only PEs that come to it will tell.
            return None

    def _keep(self, expr: Expr, grid: np.ndarray) -> int:
        home = self._home(expr)
        key = home, np.ascontiguousarray(grid).tobytes()
        if key not in self._grids:
            users = self._grid_users
            free = (i for i, used in enumerate(users) if home is not None and not used & {home, None})
            row = next(free, len(users))
            if row == len(users):
                users.append(set())
                self._grid_rows.append(np.zeros((self.scope.region.height, self.scope.region.width), np.int64))
            users[row].add(home)
            self._grid_rows[row][self._area(home)] = grid
            self._grids[key] = row
        return self._grids[key]

    def _emit(self, expr: Expr, counters: Mapping[str, int], depth: int) -> None:
        self._depth = max(self._depth, depth)
        code = self._code
        if isinstance(expr, Int):
            code.append((PUSH, expr.value))
            return
        grid = self._grid(expr, counters)
        if grid is not None:
            uniform = bool((grid == grid.flat[0]).all())
            code.append((PUSH, int(grid.flat[0])) if uniform else (PUSH_GRID, self._keep(expr, grid)))
            return
        match expr:
            case Name(name):
                if name in counters:
                    code.append((PUSH_COUNTER, counters[name]))
                else:
                    code.append((PUSH_SCALAR, self._scalars[name]))
            case Binary(op, left, right):
                self._emit(left, counters, depth)
                self._emit(right, counters, depth + 1)
                code.append((_OPERATIONS[op], 0))
            case Select(condition, then, otherwise):
                self._emit(condition, counters, depth)
                branch = len(code)
                code.append((JUMP_IF_ZERO, 0))
                self._emit(then, counters, depth)
                skip = len(code)
                code.append((JUMP_TO, 0))
                code[branch] = (JUMP_IF_ZERO, len(code))
                self._emit(otherwise, counters, depth)
                code[skip] = (JUMP_TO, len(code))
            case TableRef(table, index):
                self._emit(index, counters, depth)
                code.append((ENTRY, self._tables[table]))

    # What compiled code reads.

    def rows(self) -> np.ndarray:
        """Kind and value, grid or start of every expression: int64 [expressions, 2]."""
        return np.array(self._rows or [(CONSTANT, 0)], np.int64)

    def bytecode(self) -> np.ndarray:
        """All postfix code: int64 [operations, 2]."""
        return np.array(self._code or [(RETURN, 0)], np.int64)

    def grids(self) -> np.ndarray:
        """Values on all PEs: int64 [grids, PEs]."""
        pes = self.scope.region.height * self.scope.region.width
        return np.stack(self._grid_rows).reshape(-1, pes) if self._grid_rows else np.zeros((1, pes), np.int64)

    def stack(self) -> np.ndarray:
        """Room for the deepest expression."""
        return np.zeros(self._depth + 1, np.int64)

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Entries of all tables, and start and length of each."""
        region = self.scope.region
        entries = [e for table in region.tables for e in table.entries]
        places, start = [], 0
        for table in region.tables:
            places.append((start, len(table.entries)))
            start += len(table.entries)
        return np.array(entries or [0], np.int64), np.array(places or [(0, 0)], np.int64)
