"""A region while acts write on it: which colors, buffers, tables and handles are taken.

An act is valid by itself whatever stands before and after it, so the only things that acts must agree on are here.
Buffers come as four vectors of ``elements`` elements for each dtype of the program: ``f0`` to ``f3`` for f32, ``h0``
to ``h3`` for f16, ``b0`` to ``b3`` for bf16 and ``n0`` to ``n3`` for i32. Some acts declare further ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from meshrt.program.expr import Expr, TableRef
from meshrt.program.model import Buffer, Rect, Route, Table
from meshrt.target import Target

PE = tuple[int, int]
#: The configuration of a color in one router: its input port and its output ports.
Configuration = tuple[str, tuple[str, ...]]

PREFIXES = {"f32": "f", "f16": "h", "bf16": "b", "i32": "n"}
#: Vectors of each dtype.
VECTORS = 4
#: Where the buffers begin: behind the code of the longest program.
FIRST_ADDRESS = 32768
#: The counter of the loops around by depth.
COUNTERS = ("k", "l", "m")


class OutOfColors(Exception):
    """Every color has a route in one of the routers that a stream crosses."""


@dataclass
class Sheet:
    """What acts have taken so far. ``dtypes`` are those of the program; acts name them by number."""

    target: Target
    width: int
    height: int
    dtypes: tuple[str, ...]
    elements: int
    scalars: Mapping[str, tuple[int, int]]
    routes: dict[int, dict[PE, Configuration]] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    #: Counters of the loops around with the number of their rounds at most.
    counters: list[tuple[str, int]] = field(default_factory=list)
    #: Vectors that asynchronous moves around are writing, and reading.
    written: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    handles: int = 0
    #: How many loops without a counter stand around.
    untils: int = 0

    def __post_init__(self) -> None:
        for dtype in self.dtypes:
            for number in range(VECTORS):
                self.declare(PREFIXES[dtype] + str(number), dtype, self.elements)

    @property
    def whole(self) -> Rect:
        """The rectangle of all PEs."""
        return Rect(0, self.width, 0, self.height)

    @property
    def looped(self) -> bool:
        """Whether what is written now runs more than once."""
        return bool(self.counters) or self.untils > 0

    def declare(self, name: str, dtype: str, elements: int) -> str:
        """A new buffer on every PE, behind the others."""
        last = self.buffers[-1].address + self.buffers[-1].bytes if self.buffers else FIRST_ADDRESS
        self.buffers.append(Buffer(self.whole, name, dtype, (elements,), -(-last // 4) * 4))
        return name

    def dtype(self, number: int) -> str:
        return self.dtypes[number % len(self.dtypes)]

    def vector(self, dtype: int, number: int) -> str:
        """A vector by the number of its dtype and its own, each as large as one likes."""
        return PREFIXES[self.dtype(dtype)] + str(number % VECTORS)

    def table(self, entries: list[int], index: Expr) -> Expr:
        """``table[index]`` of a table with these entries; equal tables are one."""
        for table in self.tables:
            if table.entries == tuple(entries):
                return TableRef(table.name, index)
        self.tables.append(Table(f"t{len(self.tables)}", tuple(entries)))
        return TableRef(self.tables[-1].name, index)

    def handle(self, kind: str) -> str:
        """A name for an asynchronous move."""
        self.handles += 1
        return f"{kind}{self.handles}"

    def color(self, configurations: Mapping[PE, Configuration]) -> int:
        """The lowest color that none of these routers uses yet; it is theirs from now on."""
        for color in range(self.target.program_colors):
            used = self.routes.setdefault(color, {})
            if used.keys().isdisjoint(configurations):
                used.update(configurations)
                return color
        raise OutOfColors

    def host(self, color: int, configurations: Mapping[PE, Configuration]) -> int:
        """The color number ``color`` of those kept for host ports, with these routes."""
        number = self.target.program_colors + color
        self.routes.setdefault(number, {}).update(configurations)
        return number

    @contextmanager
    def holding(self, written: set[str], read: set[str]) -> Iterator[None]:
        """What is written meanwhile leaves these vectors alone, as asynchronous moves ask."""
        before = self.written, self.read
        self.written, self.read = self.written | written, self.read | read
        try:
            yield
        finally:
            self.written, self.read = before

    def route_lines(self) -> tuple[Route, ...]:
        """All routes, those of one configuration in as few rectangles as are easily found."""
        lines = []
        for color, routers in sorted(self.routes.items()):
            for configuration in sorted(set(routers.values())):
                pes = {pe for pe, other in routers.items() if other == configuration}
                lines += [Route(rect, color, *configuration) for rect in rectangles(pes)]
        return tuple(lines)


def rectangles(pes: set[PE]) -> list[Rect]:
    """The PEs as one strided rectangle where they are one, else as one for each row and run."""
    columns, rows = sorted({x for x, _ in pes}), sorted({y for _, y in pes})
    steps = (_step(columns), _step(rows))
    if steps[0] and steps[1] and len(columns) * len(rows) == len(pes):
        return [Rect(columns[0], columns[-1] + 1, rows[0], rows[-1] + 1, *steps)]
    found = []
    for y in rows:
        row = sorted(x for x, other in pes if other == y)
        step = _step(row)
        found += [Rect(row[0], row[-1] + 1, y, y + 1, step)] if step else [Rect(x, x + 1, y, y + 1) for x in row]
    return found


def _step(values: list[int]) -> int:
    """The distance of values that are evenly apart, 0 where they are not."""
    steps = {b - a for a, b in itertools.pairwise(values)}
    return steps.pop() if len(steps) == 1 else int(not steps)
