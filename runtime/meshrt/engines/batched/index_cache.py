"""Values of index expressions for sets of PEs, computed once for each set and the counters they read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.loading.names import RegionNames
from meshrt.program.expr import Expr, Int, evaluate, names_in

#: A value for a whole set: one integer where all its PEs agree, else one per PE.
Value = int | np.ndarray
#: Bytes of remembered arrays before the oldest half is forgotten.
CACHE_BYTES = 256 << 20


class IndexCache:
    """Evaluates expressions for sets of PEs. ``bases[r]`` is the number of region r's first PE."""

    def __init__(self, regions: list[RegionNames], bases: list[int]):
        self._regions = regions
        self._bases = bases
        self._names: dict[int, tuple[Expr, frozenset[str]]] = {}
        self._values: dict[tuple, Value] = {}
        self._bytes = 0

    def names(self, expr: Expr) -> frozenset[str]:
        """Names that an expression reads."""
        known = self._names.get(id(expr))
        if known is None:
            # The expression is kept, so that its id stays its own.
            known = self._names[id(expr)] = (expr, names_in(expr))
        return known[1]

    def value(self, expr: Expr, pes: PeSet, counters: Mapping[str, int], place: str = "") -> Value:
        """The expression for every PE of the set."""
        if type(expr) is Int:
            return expr.value
        names = self.names(expr)
        key = (id(expr), pes.number, *(counters[n] for n in sorted(names) if n in counters))
        found = self._values.get(key)
        if found is None:
            found = _uniform(self._evaluate(expr, names, pes, counters, place), len(pes))
            self._remember(key, found)
        return found

    def elements(self, expr: Expr, pes: PeSet, counters: Mapping[str, int], extents: tuple[int, ...]) -> np.ndarray:
        """The expression over the element indices i0, i1, .. : [PEs or 1, elements or 1]."""
        names = self.names(expr)
        key = (id(expr), pes.number, extents, *(counters[n] for n in sorted(names) if n in counters))
        found = self._values.get(key)
        if found is None:
            grids = np.indices(extents, np.int64).reshape(len(extents), -1)
            extra = {f"i{d}": grids[d][None, :] for d in range(len(extents))}
            value = self._evaluate(expr, names, pes, counters, "", extra)
            found = np.atleast_2d(np.asarray(value, np.int64))
            self._remember(key, found)
        assert isinstance(found, np.ndarray)
        return found

    def _evaluate(
        self,
        expr: Expr,
        names: frozenset[str],
        pes: PeSet,
        counters: Mapping[str, int],
        place: str,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> Value:
        region = self._regions[pes.region]
        bindings: dict[str, int | np.ndarray] = {}
        for name in names:
            if name in counters:
                bindings[name] = counters[name]
            elif extra is not None and name in extra:
                bindings[name] = extra[name]
            elif name in region.scalars:
                bindings[name] = region.scalars[name]
            elif name in region.per_pe:
                array = pes.bindings.get(name)
                if array is None:
                    self._require(name, pes, place)
                    array = pes.bindings[name] = region.per_pe[name][pes.pes - self._bases[pes.region]]
                bindings[name] = array if extra is None else array[:, None]
            else:
                raise MeshError("M0520", f"{name} has no value {place}".rstrip())
        try:
            return evaluate(expr, bindings, region.tables)
        except ZeroDivisionError:
            raise MeshError("M0521", f"an index expression divides by zero {place}".rstrip()) from None

    def _require(self, name: str, pes: PeSet, place: str) -> None:
        """Raise M0520 where a parameter has no value on some PE of the set."""
        region = self._regions[pes.region]
        known = region.known.get(name)
        if known is not None:
            local = pes.pes - self._bases[pes.region]
            lacking = local[~known[local]]
            if len(lacking):
                y, x = divmod(int(lacking[0]), region.region.width)
                raise MeshError("M0520", f"{name} has no value on PE ({x}, {y}) {place}".rstrip())

    def _remember(self, key: tuple, value: Value) -> None:
        self._values[key] = value
        if isinstance(value, np.ndarray):
            self._bytes += value.nbytes
            if self._bytes > CACHE_BYTES:
                for old in list(self._values)[: len(self._values) // 2]:
                    dropped = self._values.pop(old)
                    self._bytes -= dropped.nbytes if isinstance(dropped, np.ndarray) else 0


def _uniform(value: Value, count: int) -> Value:
    if not isinstance(value, np.ndarray):
        return int(value)
    first = int(value[0])
    if np.all(value == first):
        return first
    return np.ascontiguousarray(np.broadcast_to(value, (count,)), np.int64)
