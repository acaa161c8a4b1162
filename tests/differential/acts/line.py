"""A stretch of PEs in a row or column: where acts that speak along one axis take place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.expr import Expr, X, Y, minimum, select
from meshrt.program.model import Statement
from tests.differential.sheet import PE, Configuration, Sheet
from tests.differential.statements import Body, when

#: Ports of a line that runs along an axis, forward and backward.
PORTS = {"x": ("E", "W"), "y": ("S", "N")}


@dataclass(frozen=True)
class Line:
    """As it is drawn: ``start`` and ``length`` are reduced to what the region has when the act is written.

    ``lanes`` says in which rows (or columns) the act takes place: in all of them, in those of a parity, or in one.
    """

    axis: str = "x"
    reverse: bool = False
    start: int = 0
    length: int = 8
    lanes: str = "all"

    def on(self, sheet: Sheet) -> PlacedLine:
        extent, lanes = (sheet.width, sheet.height) if self.axis == "x" else (sheet.height, sheet.width)
        start = self.start % extent
        length = min(self.length, extent - start)
        chosen = {"all": range(lanes), "even": range(0, lanes, 2), "odd": range(1, lanes, 2), "first": range(1)}
        return PlacedLine(sheet, self.axis, self.reverse, start, length, tuple(chosen[self.lanes]), lanes)


@dataclass(frozen=True)
class PlacedLine:
    """A line in a region: positions 0 to ``length - 1`` run forward, on each of its lanes."""

    sheet: Sheet
    axis: str
    reverse: bool
    start: int
    length: int
    lanes: tuple[int, ...]
    all_lanes: int

    @property
    def empty(self) -> bool:
        """Whether there are no two PEs to speak to each other."""
        return self.length < 2 or not self.lanes

    @property
    def position(self) -> Expr:
        along = X if self.axis == "x" else Y
        return (self.start + self.length - 1) - along if self.reverse else along - self.start

    def port(self, way: str) -> str:
        """``forward`` and ``backward`` as ports of the routers; ``RAMP`` is itself."""
        forward, backward = PORTS[self.axis][:: -1 if self.reverse else 1]
        return {"forward": forward, "backward": backward, "RAMP": "RAMP"}[way]

    def color(self, configuration: Callable[[int], tuple[str, tuple[str, ...]] | None]) -> int:
        """A color with these routes on every lane; ``configuration`` of a position is in terms of the line."""
        routers: dict[PE, Configuration] = {}
        for position in range(self.length):
            found = configuration(position)
            if found is not None:
                here = (self.port(found[0]), tuple(self.port(way) for way in found[1]))
                routers |= {self.pe(position, lane): here for lane in self.lanes}
        return self.sheet.color(routers)

    def stream(self, start: int, stop: int) -> Callable[[int], tuple[str, tuple[str, ...]] | None]:
        """The routes of a stream from one position to another, for :meth:`color`."""
        way, back = ("forward", "backward") if start < stop else ("backward", "forward")
        low, high = min(start, stop), max(start, stop)

        def configuration(position: int) -> tuple[str, tuple[str, ...]] | None:
            if not low <= position <= high:
                return None
            source = "RAMP" if position == start else back
            return source, ("RAMP" if position == stop else way,)

        return configuration

    def hops(self) -> tuple[Expr, Expr]:
        """The colors of streams from every PE to the next one: what it sends on, and what it receives on."""
        hops = [self.stream(p, p + 1) for p in range(self.length - 1)]
        colors = [
            self.color(lambda p, of=of: next((found for hop in of if (found := hop(p))), None))
            for of in (hops[::2], hops[1::2])
            if of
        ]
        even = (self.position % 2).eq(0)
        return select(even, colors[0], colors[-1]), select(even, colors[-1], colors[0])

    def pe(self, position: int, lane: int) -> PE:
        along = self.start + (self.length - 1 - position if self.reverse else position)
        return (along, lane) if self.axis == "x" else (lane, along)

    def here(self, body: tuple[Statement, ...]) -> Body:
        """The statements on the PEs of the line alone."""
        along, across = (X, Y) if self.axis == "x" else (Y, X)
        extent = self.sheet.width if self.axis == "x" else self.sheet.height
        tests = []
        if self.start:
            tests.append(along.ge(self.start))
        if self.start + self.length < extent:
            tests.append(along.lt(self.start + self.length))
        if len(self.lanes) < self.all_lanes:
            tests.append(across.eq(self.lanes[0]) if len(self.lanes) == 1 else (across % 2).eq(self.lanes[0]))
        condition = None
        for test in tests:
            condition = test if condition is None else minimum(condition, test)
        return when(condition, body)


lines = st.builds(
    Line,
    axis=st.sampled_from("xy"),
    reverse=st.booleans(),
    start=st.sampled_from((0, 0, 0, 1, 2)),
    length=st.sampled_from((8, 8, 8, 3, 4)),
    lanes=st.sampled_from(("all", "all", "even", "odd", "first")),
)
