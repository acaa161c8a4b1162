"""How a PE goes through the inner dimension of a product where the grid is not square.

The inner dimension of C = X W is cut twice: in W tiles over the columns (X) and in H over
the rows (W). The classical answer, lcm(W, H) equal blocks, is one product per block, and
each block padded: 143 products on 13 x 11 PEs. Here both cuts stay as they are, and a PE
multiplies the stretches between one boundary and the next, of either cut: at most W + H
products, none padded. Where one of W and H divides the other, these are the lcm blocks.

A PE starts at a position of its own and goes once around: it meets the X tiles in their
cyclic order and the W tiles in theirs, so each can ride a ring, at its own pace. On a
square grid all boundaries fall together, and the walk is Cannon's sequence of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from meshc.dialects.layout import ceil_div
from meshc.kernels.builder import MeshBuilder
from meshrt.program.expr import Expr, Int, maximum, minimum

#: A position, or the number of a tile: as an integer or as an index expression.
Position = TypeVar("Position", int, Expr)


@dataclass(frozen=True, slots=True)
class Cut:
    """``total`` positions cut into ``parts`` tiles, as equal as whole positions allow.

    Tiles are numbered on past the end: tile j + parts is tile j again, ``total`` further.
    """

    total: int
    parts: int

    @property
    def size(self) -> int:
        """Positions of the longest tile."""
        return ceil_div(self.total, self.parts)

    @property
    def even(self) -> bool:
        """Whether all tiles are of one size."""
        return self.total % self.parts == 0

    def boundary(self, j: Position) -> Position:
        """The first position of tile ``j``."""
        return j * self.size if self.even else j * self.total // self.parts

    def holding(self, q: Position) -> Position:
        """The last tile that begins at or before position ``q``."""
        return q // self.size if self.even else ((q + 1) * self.parts - 1) // self.total

    def from_on(self, q: Position) -> Position:
        """The first tile that begins at or after position ``q``."""
        return (q + (self.size - 1)) // self.size if self.even else (q * self.parts + (self.total - 1)) // self.total

    def within(self, q: Position) -> Position:
        """Where in its tile position ``q`` lies."""
        return q % self.size if self.even else q - self.boundary(self.holding(q))


class Feed(Protocol):
    """What brings one operand's tiles, one after another."""

    def launch(self, tile: Expr) -> None:
        """Begin to fetch the next tile, number ``tile`` of its cut."""
        ...

    def settle(self, tile: Expr) -> None:
        """Wait for the next tile, number ``tile``, and put it in the place of the present one."""
        ...


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand of the walk: its cut, its feed, the tile that is in place, and whether the start is in its midst.

    ``midst`` is 1 where a PE comes back to its first tile at the end of the walk, else 0.
    """

    cut: Cut
    feed: Feed
    first: Expr = Int(0)
    midst: Expr = Int(0)


class Pace(Protocol):
    """What a walk costs, in the order of its code; the twin of :class:`Feed` and of the product."""

    def spend(self, rounds: int = 0, branches: int = 0) -> None:
        """Rounds of the loop, and conditions."""
        ...

    def launch(self, axis: str) -> None:
        """A feed begins to fetch."""
        ...

    def settle(self, axis: str) -> None:
        """A feed's tile has come."""
        ...

    def product(self, depth: int) -> None:
        """The product over so many positions."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """Where one PE's walk begins: as in :func:`emit_walk`, in numbers, x first and w second."""

    position: int
    first: tuple[int, int]
    midst: tuple[int, int]


def pace_walk(start: Start, x: Cut, w: Cut, pace: Pace) -> None:
    """Take one PE's steps of :func:`emit_walk`."""
    axes = (0, 1) if x.parts >= w.parts else (1, 0)
    (short, long), (own, other) = ((x, w)[i] for i in axes), ("xy"[i] for i in axes)
    first, far_first = (start.first[i] for i in axes)
    midst, far_midst = (start.midst[i] for i in axes)
    end, visits = start.position + short.total, short.parts + midst
    last = far_first + long.parts - 1 + far_midst
    if long.parts > 1:
        pace.launch(other)
    for s in range(visits):
        low = max(start.position, short.boundary(first + s))
        high = min(end, short.boundary(first + s + 1))
        more = s + 1 < visits
        pace.spend(rounds=1, branches=2)
        if more:
            pace.launch(own)
        if long.parts == 1:
            pace.product(high - low)
        else:
            following = long.from_on(low)
            boundary = min(high, long.boundary(following))
            pace.spend(branches=2)
            if boundary > low:
                pace.product(boundary - low)
            if boundary < high:
                pace.spend(branches=1)
                if following > far_first:
                    pace.settle(other)
                    pace.spend(branches=1)
                    if following < last:
                        pace.launch(other)
                pace.product(high - boundary)
        if more:
            pace.settle(own)
    if far_midst and long.boundary(last) == end:
        pace.settle(other)


def emit_walk(builder: MeshBuilder, start: Expr, x: Operand, w: Operand, product: Callable[[Expr, Expr], None]) -> None:
    """Append the walk from position ``start`` once around.

    ``product(low, high)`` appends the product over the positions from low to high, which lie
    in one tile of either operand; positions go on past the end of the dimension.
    """
    short, long = (x, w) if x.cut.parts >= w.cut.parts else (w, x)
    end = start + short.cut.total
    visits = builder.param("visits", short.cut.parts + short.midst)
    last = long.first + (long.cut.parts - 1) + long.midst
    if long.cut.parts > 1:
        long.feed.launch(long.first + 1)
    with builder.loop("s", visits) as s:
        tile = short.first + s
        low = maximum(start, short.cut.boundary(tile))
        high = minimum(end, short.cut.boundary(tile + 1))
        more = (s + 1).lt(visits)
        with builder.when(more):
            short.feed.launch(tile + 1)
        if long.cut.parts == 1:
            product(low, high)
        else:
            following = long.cut.from_on(low)
            boundary = minimum(high, long.cut.boundary(following))
            with builder.when(boundary.gt(low)):
                product(low, boundary)
            with builder.when(boundary.lt(high)):
                # Where the walk begins with a whole tile, that one is in place.
                with builder.when(following.gt(long.first)):
                    long.feed.settle(following)
                    with builder.when(following.lt(last)):
                        long.feed.launch(following + 1)
                product(boundary, high)
        with builder.when(more):
            short.feed.settle(tile + 1)
    if long.cut.parts > 1 and not long.cut.even:
        # A PE whose first tile begins at its start, by rounding, has no use for it again; its neighbours may.
        with builder.when(minimum(long.midst, long.cut.boundary(last).eq(end))):
            long.feed.settle(last)
