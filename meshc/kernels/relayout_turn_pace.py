"""What the turning stage of ``relayout.turn`` takes: the clocks of one column of PEs, step by step.

The steps are those of :mod:`meshc.kernels.relayout_turn`. In each of them the pivots of the
column broadcast the tile that has come, and every PE keeps what is its own: which PEs find
something depends on the column that the tile is from. Neighbouring columns are taken to keep step.
"""

from __future__ import annotations

from meshc.dialects.shard import ShardType
from meshc.kernels.estimate import Site
from meshc.kernels.line_pace import LinePace
from meshc.kernels.relayout_plan import Held, along, elements, most_pivots
from meshrt.program.cost import element_cycles
from meshrt.program.expr import evaluate


def turn_cycles(before: ShardType, after: ShardType, site: Site) -> int:
    """Cycles of the turning stage: of the column with most pivots, in the middle or at an edge, that takes longest."""
    columns = [_Column(before, after, site, x) for x in range(site.width)]
    most = max(len(column.pivots) for column in columns)
    busy = [column for column in columns if len(column.pivots) == most]
    return max(busy[number].run() for number in sorted({0, len(busy) // 2, len(busy) - 1}))


class _Column:
    """One column while it goes through the steps."""

    def __init__(self, before: ShardType, after: ShardType, site: Site, x: int):
        self.before, self.after, self.site, self.x = before, after, site, x
        self.line = LinePace(site, site.height)
        self.dtype = before.dtype
        # A from y to x, B from x to y.
        self.a = along(before, "y").once(), along(after, "x")
        self.b = along(before, "x").once(), along(after, "y")
        self.listed = not (self.b[0].in_stretches and self.b[1].in_stretches)
        self.pivots = self._pivots()
        self.kept: list[range] = []

    def run(self) -> int:
        """Cycles until the last PE is done."""
        site, line, width = self.site, self.line, self.site.width
        self.kept = [_range(self.b[1], y) for y in range(site.height)]
        self._spend(self._move(elements(self.after)))
        if self.listed:
            self._spend(element_cycles(site.target, "move", self.b[1].layout.tile, "i32"))
        if width == 1:
            self._step(0)
            return line.end
        self._spend(self._move(elements(self.before)) + site.issue)
        words = site.words(elements(self.before), self.dtype)
        partly = len(range(self.b[0].start, self.b[0].stop)) < width
        for step in range(width):
            o = (step + 1 + self.x) % width
            owner = min(max(2 * o - 1, 0), 2 * (width - o)) if o else 0
            self._spend(site.round)
            line.launch_shift(words, min(width - 1, 2))
            self._spend(site.branch if partly else 0)
            if self.b[0].start <= owner < self.b[0].stop:
                self._step(owner)
            line.settle_shift()
            self._spend(site.issue)
        return line.end

    def _step(self, owner: int) -> None:
        """The broadcasts of one step, of tiles from column ``owner``."""
        most = most_pivots(*self.a)
        self._spend(self.site.issue if most > 1 else 0)
        for number in range(most):
            self._spend(self.site.round if most > 1 else 0)
            self._spend(self.site.branch)
            if number < len(self.pivots):
                self._broadcast(*self.pivots[number], _range(self.b[0], owner))

    def _broadcast(self, pivot: int, common: int, given: range) -> None:
        site, line = self.site, self.line
        size = elements(self.before)
        self._spend(site.branch)
        line.now[pivot] += self._move(size)
        line.broadcast(pivot, size, self.dtype)
        self._spend(site.branch)
        for y, kept in enumerate(self.kept):
            found = len(range(max(given.start, kept.start), min(given.stop, kept.stop)))
            if found and self.listed:
                places = self.b[1].layout.tile * common
                line.now[y] += self._move(places) + element_cycles(site.target, "add", places, self.dtype)
            elif found:
                line.now[y] += self._move(found * common)

    def _pivots(self) -> list[tuple[int, int]]:
        """The rows whose A meets that of this column, and how many elements of it."""
        wanted = _range(self.a[1], self.x)
        found = []
        for y in range(self.site.height):
            held = _range(self.a[0], y)
            common = len(range(max(held.start, wanted.start), min(held.stop, wanted.stop)))
            if common:
                found.append((y, common))
        return found

    def _move(self, count: int) -> int:
        return self.site.move(count, self.dtype)

    def _spend(self, cycles: int) -> None:
        self.line.now = self.line.now + cycles


def _range(held: Held, coordinate: int) -> range:
    """Between which indices lies what the PE at a coordinate holds."""
    if not held.start <= coordinate < held.stop:
        return range(0)
    low, high = held.layout.bounds(coordinate - held.start)
    first, last = (int(evaluate(bound, {}, {})) for bound in (low, high))
    return range(max(first, 0), min(last, held.layout.extent))
