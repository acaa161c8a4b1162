"""What a PE takes from a tile that comes by, or puts into one: the elements that two tiles have in common.

Along each dimension the common elements are either one *stretch* (both tiles hold
consecutive indices), copied with an extent that follows from the coordinates; or they are
*listed*: a buffer tells, for each place of the target tile, the number of its place among
all source tiles, and ``gather`` takes those that lie in the tile at hand and zero for the
rest, which is added to the target. Each element comes from one tile, so the sum is exact;
only the sign of a zero may be lost.

Cost of a pick that finds m of n elements: m moves for stretches (and one branch where
there is nothing in common), n moves and n additions for listed ones; those are skipped
where the bounds of the two tiles do not meet.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.dialects.layout import Heads
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.relayout_plan import Held
from meshrt.program.expr import Expr, Name, as_expr, maximum, minimum, select


@dataclass(frozen=True, slots=True)
class Ends:
    """One dimension of two tiles: the source tile of the PE at ``source_at``, the target tile of that at ``target_at``.

    Coordinates are those of the axis along which each lies; the target's axis has ``length`` PEs.
    """

    source: Held
    source_at: Expr
    target: Held
    target_at: Expr
    length: int

    @property
    def holds(self) -> Expr:
        """Whether the target's PE holds a part at all."""
        return self.target.covers(self.target_at, self.length)

    @property
    def in_stretches(self) -> bool:
        """Whether what the tiles have in common is one stretch."""
        return self.source.in_stretches and self.target.in_stretches


@dataclass(frozen=True, slots=True)
class Strides:
    """How far apart (elements) neighbours of a dimension lie in the source tile and in the target tile."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive elements: how many, where they begin in each tile, and whether there are any."""

    strides: Strides
    length: Expr
    source: Expr
    target: Expr
    condition: Expr


@dataclass(frozen=True, slots=True)
class Listed:
    """Elements by a list: ``codes`` has the place of each of the target's ``count``, of which a tile has ``places``.

    ``base`` is the first place of the tile at hand, ``found`` scratch of the target's size.
    """

    strides: Strides
    places: int
    count: int
    codes: MeshBuffer
    found: MeshBuffer
    base: Expr
    condition: Expr


def every(extent: int, strides: Strides) -> Stretch:
    """A dimension of which both tiles hold the same elements."""
    return Stretch(strides, as_expr(extent), as_expr(0), as_expr(0), as_expr(1))


def stretch(ends: Ends, strides: Strides) -> Stretch:
    """What two tiles of consecutive elements have in common."""
    first, last = ends.source.layout.bounds(ends.source.part(ends.source_at))
    low, high = ends.target.layout.bounds(ends.target.part(ends.target_at))
    # Parts that do not exist lie below 0 or past the end.
    start, stop = maximum(maximum(first, low), 0), minimum(minimum(last, high), ends.source.layout.extent)
    return Stretch(strides, stop - start, start - first, start - low, minimum(start.lt(stop), ends.holds))


def list_places(builder: MeshBuilder, codes: MeshBuffer, ends: Ends) -> None:
    """Fill ``codes`` for the target's PE: -1 where it holds padding or no part."""
    layout = ends.target.layout
    index = layout.index(ends.target.part(ends.target_at), Name("i0"))
    # Blocks are padded past the end only, heads with -1 only.
    above = index.ge(0) if not ends.target.in_stretches else as_expr(1)
    below = index.lt(layout.extent) if not isinstance(layout, Heads) else as_expr(1)
    valid = minimum(minimum(above, below), ends.holds)
    builder.emit("index", codes, value=select(valid, ends.source.layout.place(index), -1))


def listed(ends: Ends, strides: Strides, codes: MeshBuffer, found: MeshBuffer) -> Listed:
    """What two tiles have in common, once ``codes`` is filled for the target's PE."""
    p = ends.source.part(ends.source_at)
    first, last = ends.source.layout.bounds(p)
    low, high = ends.target.layout.bounds(ends.target.part(ends.target_at))
    meet = minimum(maximum(first, low).lt(minimum(last, high)), ends.holds)
    places = ends.source.layout.tile
    return Listed(strides, places, ends.target.layout.tile, codes, found, p * places, meet)


def pick(builder: MeshBuilder, source: MeshBuffer, target: MeshBuffer, one: Stretch, other: Stretch | Listed) -> None:
    """Append the move of what ``source`` and ``target`` have in common in both dimensions.

    Where one is listed, the target must be zero where nothing has been put in.
    """
    leave, arrive = one.source * one.strides.source, one.target * one.strides.target
    along_one = (one.length, one.strides.source), (one.length, one.strides.target)
    with builder.when(minimum(one.condition, other.condition)):
        if isinstance(other, Stretch):
            leave += other.source * other.strides.source
            arrive += other.target * other.strides.target
            taken = source.at(leave, (other.length, other.strides.source), along_one[0])
            builder.emit("copy", target.at(arrive, (other.length, other.strides.target), along_one[1]), taken)
        else:
            found = other.found.at(0, other.count, one.length)
            table = source.at(leave, (other.places, other.strides.source), along_one[0])
            builder.emit("gather", found, table, other.codes, base=other.base)
            into = target.at(arrive, (other.count, other.strides.target), along_one[1])
            builder.emit("add", into, into, found)
