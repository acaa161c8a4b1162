"""How a relayout is broken into stages, and how each dimension moves along its axis.

A stage changes what lies along one axis (an *exchange*) or turns the value over (a
*transposition*). Between shards of one orientation there are two exchanges, and their
order is free: with tiles of a x b before and c x d after, the value in between has tiles
of c x b or of a x d. The smaller of the two is no larger than the larger of the ends,
because ``(c b) (a d) = (a b) (c d)``; so no stage needs more than O(tile) memory, where a
gather along one axis before the scatter along the other would bring the tensor together.

Schemes of an exchange on an axis of P PEs, for tiles of n words (``source``, ``target``):

========== ================================================= ======================= ======
scheme     when                                              cycles, about           colors
========== ================================================= ======================= ======
``keep``   nothing changes along the axis                    0                       0
``pick``   every PE has what it needs already                local moves             0
``spread`` from one PE, whole, to several                    n + distance            1
``pull``   source tiles ride the ring, each PE takes its own P (n source + a shift)  4
``push``   target tiles ride the ring, each PE puts in       P (n target + a shift)  4
           what it has
========== ================================================= ======================= ======

The smaller of the tiles rides, so that a gather costs what the gatherer must take in
anyway, and a scatter what the scatterer must give out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from meshc.dialects.layout import Block, Layout, Replicated
from meshc.dialects.shard import ShardType
from meshrt.program.expr import Expr, ExprLike, as_expr, minimum


@dataclass(frozen=True, slots=True)
class Held:
    """How a dimension lies along an axis: its layout, and the coordinate of the first PE that holds any of it."""

    layout: Layout
    start: int = 0

    @property
    def stop(self) -> int:
        """The coordinate behind the last PE."""
        return self.start + self.layout.parts

    @property
    def whole(self) -> bool:
        """Whether each of its PEs holds everything, in order."""
        return isinstance(self.layout, Replicated) or (isinstance(self.layout, Block) and self.layout.parts == 1)

    @property
    def in_stretches(self) -> bool:
        """Whether what a PE holds is one stretch of consecutive indices."""
        return isinstance(self.layout, Block | Replicated)

    def once(self) -> Held:
        """The same with each element in one PE only: of a replicated dimension, the first PE's."""
        return Held(Block(self.layout.extent, 1), self.start) if isinstance(self.layout, Replicated) else self

    def part(self, coordinate: ExprLike) -> Expr:
        """Which of its parts the PE at a coordinate is; outside 0 to parts where it holds none."""
        return as_expr(coordinate) - self.start

    def covers(self, coordinate: ExprLike, length: int) -> Expr:
        """Whether the PE at a coordinate of the axis of that length holds a part: 1 where all do."""
        at = as_expr(coordinate)
        above = at.ge(self.start) if self.start else as_expr(1)
        return minimum(above, at.lt(self.stop)) if self.stop < length else above


def along(type: ShardType, axis: str) -> Held:
    """What lies along an axis of a shard."""
    return Held(type.x, type.origin[0]) if axis == "x" else Held(type.y, type.origin[1])


def with_axis(type: ShardType, axis: str, held: Held) -> ShardType:
    """The shard with something else along one axis."""
    column, row = type.origin
    if axis == "x":
        return replace(type, x=held.layout, origin=(held.start, row))
    return replace(type, y=held.layout, origin=(column, held.start))


def scheme(source: Held, target: Held) -> str:
    """The cheapest scheme of an exchange between the two; see the module's text."""
    if source == target:
        return "keep"
    if source.whole and source.start <= target.start and target.stop <= source.stop:
        return "pick"
    if source.whole and target.whole:
        return "spread"
    return "pull" if source.once().layout.tile <= target.layout.tile else "push"


def exchanges(source: ShardType, target: ShardType) -> list[ShardType]:
    """The shards on the way between two of one orientation, both included: one axis changes at each stage."""
    between = min(
        with_axis(source, "x", along(target, "x")),
        with_axis(source, "y", along(target, "y")),
        key=elements,
    )
    way = [source, between, replace(target, dtype=source.dtype)]
    return [way[0], *(new for old, new in pairwise(way) if new != old)]


def most_pivots(source: Held, target: Held) -> int:
    """The most parts of a blocked source that a part of the target meets."""
    tile, extent = source.layout.tile, source.layout.extent
    size = target.layout.tile
    starts = range(0, extent, size) if isinstance(target.layout, Block) else (0,)
    return max((min(start + size, extent) - 1) // tile - start // tile + 1 for start in starts)


def elements(type: ShardType) -> int:
    """Elements in each PE."""
    return type.tile[0] * type.tile[1]


def changed_axis(source: ShardType, target: ShardType) -> str:
    """The axis along which a stage of :func:`exchanges` changes something."""
    return "x" if along(source, "x") != along(target, "x") else "y"
