"""Where a collective runs: lines of PEs along an axis, and the arms of a line on both sides of its root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.kernels.chain import Segment
from meshc.kernels.ring import AXIS_PORTS
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, Name, as_expr, minimum
from meshrt.program.model import Rect


@dataclass(frozen=True, slots=True)
class Line:
    """``repeat`` equal lines end to end along ``axis``, ``length`` PEs each, the first from coordinate ``start`` on.

    ``across`` is the range of coordinates of the other axis in which they lie.
    """

    axis: str
    length: int
    across: tuple[int, int]
    start: int = 0
    repeat: int = 1

    @property
    def name(self) -> str:
        """Names the line in streams: two lines of one name are the same PEs."""
        return f"{self.axis}{self.start}_{self.length}x{self.repeat}_{self.across[0]}_{self.across[1]}"

    @property
    def position(self) -> Expr:
        """This PE's position in its line."""
        along = Name(self.axis) - self.start
        return along if self.repeat == 1 else along % self.length

    def condition(self, builder: MeshBuilder) -> Expr:
        """Whether this PE lies in one of the lines: 1 where all PEs of the region do.

        Raises M0618 where they do not lie within the region.
        """
        other = "y" if self.axis == "x" else "x"
        extents = {"x": builder.width, "y": builder.height}
        self._require_room(extents[self.axis], extents[other])
        inside = within(self.axis, self.start, self.start + self.repeat * self.length, extents[self.axis])
        return minimum(inside, within(other, *self.across, extents[other]))

    def _require_room(self, along: int, across: int) -> None:
        stop = self.start + self.repeat * self.length
        names = ("columns", "rows") if self.axis == "x" else ("rows", "columns")
        for name, first, last, extent in ((names[0], self.start, stop, along), (names[1], *self.across, across)):
            if not 0 <= first < last <= extent:
                raise MeshError(
                    "M0618",
                    f"a collective along {self.axis} takes {name} {first} to {last - 1}, "
                    f"and the region has {name} 0 to {extent - 1}",
                    notes=[f"{self.repeat} x {self.length} PEs from {self.axis} = {self.start} on"],
                    helps=["take shorter lines or fewer of them, or a larger region"],
                )

    def segment(self, builder: MeshBuilder) -> Segment:
        """The lines as the software chains of :mod:`meshc.kernels.chain` take them."""
        return Segment(self.axis, self.position, self.length, self.condition(builder))

    def rects(self, start: int, stop: int, step: int = 1) -> Iterator[Rect]:
        """The PEs at the positions ``range(start, stop, step)`` of every line."""
        positions = range(start, stop, step)
        step = step if len(positions) > 1 else 1
        for number in range(self.repeat):
            first = self.start + number * self.length
            along = (first + positions[0], first + positions[-1] + 1)
            if self.axis == "x":
                yield Rect(*along, *self.across, step, 1)
            else:
                yield Rect(*self.across, *along, 1, step)

    def arms(self, root: int) -> tuple[Arm, ...]:
        """The PEs on each side of the root, where there are any. Raises M0618 for a root that is off the line."""
        require_root(self.length, root)
        return tuple(arm for arm in (Arm(self, root, 1), Arm(self, root, -1)) if arm.length)


def require_root(length: int, root: int) -> None:
    """Raise M0618 where a line of so many PEs has no such position."""
    if not 0 <= root < length:
        raise MeshError(
            "M0618",
            f"there is no PE {root} on a line of {length} to be the root",
            helps=[f"choose a root from 0 to {length - 1}, a position along the line"],
        )


def whole(builder: MeshBuilder, axis: str) -> Line:
    """Every row (``x``) or every column (``y``) of the region, from edge to edge."""
    width, height = builder.width, builder.height
    return Line("x", width, (0, height)) if axis == "x" else Line("y", height, (0, width))


def within(axis: str, start: int, stop: int, extent: int) -> Expr:
    """Whether this PE's coordinate is in ``range(start, stop)``, on an axis of ``extent`` PEs."""
    at = Name(axis)
    above = at.ge(start) if start > 0 else as_expr(1)
    return minimum(above, at.lt(stop)) if stop < extent else above


@dataclass(frozen=True, slots=True)
class Arm:
    """The PEs of a line on one side of its root, counted by their distance from it; the root is at distance 0.

    ``sign`` is 1 for those at higher coordinates, -1 for those at lower ones.
    """

    line: Line
    root: int
    sign: int

    @property
    def name(self) -> str:
        """Names the arm in streams."""
        return f"{self.line.name}.{self.root}.{'up' if self.sign > 0 else 'down'}"

    @property
    def length(self) -> int:
        """PEs of the arm, the root not counted: the largest distance."""
        return self.line.length - 1 - self.root if self.sign > 0 else self.root

    @property
    def distance(self) -> Expr:
        """This PE's distance from the root; negative on the other side."""
        position = self.line.position
        return position - self.root if self.sign > 0 else self.root - position

    @property
    def inward(self) -> str:
        """The port that leads toward the root."""
        up, down = AXIS_PORTS[self.line.axis]
        return down if self.sign > 0 else up

    @property
    def outward(self) -> str:
        """The port that leads away from the root."""
        up, down = AXIS_PORTS[self.line.axis]
        return up if self.sign > 0 else down

    def routes(self, start: int, stop: int, step: int, source: str, *destinations: str) -> Iterator[StreamRoute]:
        """One configuration in the routers at the distances ``range(start, stop, step)``, in every line."""
        distances = range(start, stop, step)
        if not distances:
            return
        nearest, farthest = distances[0], distances[-1]
        step = step if len(distances) > 1 else 1
        for number in range(self.line.repeat):
            root = self.line.start + number * self.line.length + self.root
            first, last = (root + nearest, root + farthest) if self.sign > 0 else (root - farthest, root - nearest)
            along, across = (first, last + 1), self.line.across
            if self.line.axis == "x":
                rect = Rect(*along, *across, step, 1)
            else:
                rect = Rect(*across, *along, 1, step)
            yield StreamRoute(rect, source, destinations)


def off_multiples(period: int) -> Iterator[tuple[int, int]]:
    """Cover the positive integers that are no multiples of ``period`` by few progressions (start, step).

    One digit of a mixed radix at a time: of the multiples of the primes taken so far, those
    that the next prime does not divide. A period of 2^k takes k progressions.
    """
    taken, rest, prime = 1, period, 2
    while rest > 1:
        if rest % prime:
            prime += 1
            continue
        for digit in range(1, prime):
            yield digit * taken, prime * taken
        taken, rest = taken * prime, rest // prime
