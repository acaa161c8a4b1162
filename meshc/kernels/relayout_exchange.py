"""``relayout.exchange``: from any layout to any other of the same orientation, one axis after the other.

Along each axis one of the schemes of :mod:`~meshc.kernels.relayout_plan` moves what must
move; on the ring all PEs of a row (or column) exchange at once, every link carries one
tile at a time, and what a PE keeps follows from index expressions, so neither text nor
code grows with the grid.

- ``pull``: the source tiles go once round; while one is passed on, the PE takes from it
  what is its own. P - 1 shifts of a source tile.
- ``push``: an empty target tile starts for each PE one step behind it, goes once round and
  is given by every PE on the way what belongs there: a reduce-scatter without sums. P - 1
  shifts of a target tile.
- ``spread``: one PE sends its tile once, over a multicast route; no other PE's software is
  on the way.

Critical path: P - 1 shifts of at most 2 hops for each axis on the ring (the longer of tile
and pick where both overlap, their sum for ``push``); the distance for ``spread``. Memory:
source, target and two riding tiles, of the smaller kind, at each stage; one more tile and
a list of a tile's places where a layout is not blocked. Colors: 4 on each axis on the
ring, those of the ring GEMM; 1 for ``spread``.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.relayout_cost import exchange_cycles, exchange_paths, relayout_estimate
from meshc.kernels.relayout_limits import check_bytes, check_rectangles, exchange_bytes
from meshc.kernels.relayout_pick import Ends, Listed, Stretch, Strides, every, list_places, listed, pick, stretch
from meshc.kernels.relayout_plan import Held, along, changed_axis, exchanges, scheme
from meshc.kernels.ring import AXIS_PORTS, extent, logical_position, physical, ring
from meshc.kernels.ring import along as across
from meshrt.program.expr import Expr, Name, as_expr
from meshrt.program.model import DTYPE_BYTES
from meshrt.target import Target


def applies(op: Operation, width: int, height: int) -> str | None:
    """Why the kernel cannot run the operation on that grid, or None."""
    source, target = shard_of(op.operands[0]), shard_of(op.result)
    return None if source.transposed == target.transposed else "tokens and features lie the other way round"


def check(op: Operation, width: int, height: int, target: Target | None) -> None:
    """Raise M0409 for a rectangle outside the grid, M0410 for tiles beyond the SRAM."""
    check_rectangles(op, width, height)
    check_bytes(op, target, {"exchange": exchange_bytes(exchanges(*wire_types(op)))})


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: the stages follow one another."""
    source, result = wire_types(op)
    way = exchanges(source, result)
    cycles = exchange_cycles(way, (site.width, site.height), site.target)
    return relayout_estimate(op, site, cycles, exchange_bytes(way), exchange_paths([way], site))


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    type, buffer = on_the_wire(op, lowering)
    follow(lowering, exchanges(type, shard_of(op.result)), buffer, op)


def wire_types(op: Operation) -> tuple[ShardType, ShardType]:
    """Operand and result in the dtype in which words travel: the narrower one, so that none is widened before."""
    source, target = shard_of(op.operands[0]), shard_of(op.result)
    dtype = target.dtype if DTYPE_BYTES[target.dtype] < DTYPE_BYTES[source.dtype] else source.dtype
    return source.with_dtype(dtype), target.with_dtype(dtype)


def on_the_wire(op: Operation, lowering: Lowering) -> tuple[ShardType, MeshBuffer]:
    """The operand in the dtype in which it travels."""
    type, buffer = wire_types(op)[0], lowering.buffer_of(op.operands[0])
    if type.dtype == buffer.dtype:
        return type, buffer
    narrow = lowering.temporary("narrow", type.dtype, *type.tile)
    lowering.builder.emit("copy", narrow, buffer)
    return type, narrow


def follow(lowering: Lowering, way: list[ShardType], buffer: MeshBuffer, op: Operation) -> None:
    """Carry ``buffer`` over the stages of :func:`~meshc.kernels.relayout_plan.exchanges` into the result."""
    result = shard_of(op.result)
    last = len(way) - 1
    for number, (source, target) in enumerate(pairwise(way), start=1):
        own = number == last and target.dtype == result.dtype
        into = (
            lowering.result_buffer(op.result, "relayout")
            if own
            else lowering.temporary("between", target.dtype, *target.tile)
        )
        exchange(lowering, source, target, buffer, into)
        buffer = into
    if op.result not in lowering.values:
        lowering.builder.emit("copy", lowering.result_buffer(op.result, "relayout"), buffer)


def exchange(lowering: Lowering, source: ShardType, target: ShardType, buffer: MeshBuffer, result: MeshBuffer) -> None:
    """One stage: ``buffer`` holds the source shards, ``result`` gets the target's, which differ along one axis."""
    stage = _Stage(lowering, source, target, buffer, result)
    builder = lowering.builder
    builder.emit("fill", result, value=0.0)
    with builder.when(stage.takes_part()):
        match scheme(stage.source, stage.target):
            case "pick":
                own = replace(stage.source, start=0)
                stage.take(buffer, result, own, as_expr(0), stage.at)
            case "spread":
                stage.spread()
            case "pull":
                stage.pull()
            case "push":
                stage.push()


class _Stage:
    """The sizes and buffers of one exchange while its code is appended."""

    def __init__(
        self, lowering: Lowering, source: ShardType, target: ShardType, buffer: MeshBuffer, result: MeshBuffer
    ):
        self.lowering, self.builder = lowering, lowering.builder
        self.axis = changed_axis(source, target)
        self.source, self.target = along(source, self.axis), along(target, self.axis)
        self.across = along(source, "y" if self.axis == "x" else "x")
        self.buffer, self.result = buffer, result
        self.length = extent(self.builder, self.axis)
        self.at = Name(self.axis)
        if self.axis == "x":
            self.moved, self.kept = Strides(1, 1), Strides(source.x.tile, target.x.tile)
        else:
            self.moved, self.kept = Strides(source.x.tile, target.x.tile), Strides(1, 1)
        self._lists: tuple[MeshBuffer, MeshBuffer] | None = None

    def takes_part(self) -> Expr:
        """Whether this PE lies in a row (or column) that holds any of the value."""
        across = "y" if self.axis == "x" else "x"
        return self.across.covers(Name(across), extent(self.builder, across))

    def take(
        self, source: MeshBuffer, target: MeshBuffer, held: Held, source_at: Expr, target_at: Expr, anew: bool = True
    ) -> None:
        """Move what the source tile of one PE and the target tile of another have in common.

        ``anew`` is false where the places are listed already, for the same target PE.
        """
        ends = Ends(held, source_at, self.target, target_at, self.length)
        kept = every(self.across.layout.tile, self.kept)
        moved: Stretch | Listed
        if ends.in_stretches:
            moved = stretch(ends, self.moved)
        else:
            codes, found = self._listing()
            if anew:
                list_places(self.builder, codes, ends)
            moved = listed(ends, self.moved, codes, found)
        pick(self.builder, source, target, kept, moved)

    def _listing(self) -> tuple[MeshBuffer, MeshBuffer]:
        if self._lists is None:
            places = self.target.layout.tile
            codes = self.lowering.temporary("places", "i32", places)
            found = self.lowering.temporary("found", self.buffer.dtype, places, self.across.layout.tile)
            self._lists = codes, found
        return self._lists

    def spread(self) -> None:
        """Multicast from the first PE that holds everything."""
        builder, root = self.builder, self.source.start
        stream = multicast(builder, self.axis, root, self.target)
        if stream is not None:
            with builder.when(self.at.eq(root)):
                builder.emit("send", self.buffer, color=stream)
            with builder.otherwise(), builder.when(self.target.covers(self.at, self.length)):
                builder.emit("recv", self.result, color=stream)
        if self.target.start <= root < self.target.stop:
            with builder.when(self.at.eq(root)):
                builder.emit("copy", self.result, self.buffer)

    def pull(self) -> None:
        """Source tiles ride the ring; the pick of one overlaps with its shift."""
        builder, length, held = self.builder, self.length, self.source.once()
        if length == 1:
            self.take(self.buffer, self.result, held, as_expr(0), self.at)
            return
        tile = self.lowering.temporary("tile", self.buffer.dtype, *self.buffer.shape)
        following = self.lowering.temporary("following", self.buffer.dtype, *self.buffer.shape)
        builder.emit("copy", tile, self.buffer)
        on, position = ring(builder, self.axis), logical_position(builder, self.axis)
        if not Ends(held, self.at, self.target, self.at, length).in_stretches:
            list_places(builder, self._listing()[0], Ends(held, self.at, self.target, self.at, length))
        with builder.loop("s", length - 1) as step:
            handles = shift(builder, [(on, tile, following)])
            owner = physical((position + step) % length, length)
            self.take(tile, self.result, held, owner, self.at, anew=False)
            settle(builder, handles)
            builder.emit("rotate", tile, following)
        owner = builder.param(f"last_{self.axis}", physical((position + length - 1) % length, length))
        self.take(tile, self.result, held, owner, self.at, anew=False)

    def push(self) -> None:
        """Target tiles ride the ring, each beginning one step behind the PE that it is for."""
        builder, length, held = self.builder, self.length, self.source.once()
        if length == 1:
            self.take(self.buffer, self.result, held, as_expr(0), self.at)
            return
        # Tiles of their own: what a ring exchanges must live as long as both, and the result outlives this stage.
        tile = self.lowering.temporary("tile", self.result.dtype, *self.result.shape)
        following = self.lowering.temporary("following", self.result.dtype, *self.result.shape)
        builder.emit("fill", tile, value=0.0)
        on, position = ring(builder, self.axis), logical_position(builder, self.axis)
        first = builder.param(f"next_{self.axis}", physical((position + 1) % length, length))
        self.take(self.buffer, tile, held, self.at, first)
        with builder.loop("s", length, start=1) as step:
            settle(builder, shift(builder, [(on, tile, following)]))
            builder.emit("rotate", tile, following)
            owner = physical((position + 1 + step) % length, length)
            self.take(self.buffer, tile, held, self.at, owner)
        builder.emit("copy", self.result, tile)


def multicast(builder: MeshBuilder, axis: str, root: int, target: Held) -> Expr | None:
    """A stream from the PE at ``root`` to all others that hold a part of the target; None where there are none."""
    up, down = AXIS_PORTS[axis]
    first, last = min(target.start, root), max(target.stop - 1, root)
    if first == last:
        return None

    ways = (*((up,) if root < last else ()), *((down,) if root > first else ()))
    routes = [StreamRoute(across(builder, axis, (root, root + 1, 1)), "RAMP", ways)]
    for start, stop, end, ahead, behind in ((root + 1, last + 1, last, up, down), (first, root, first, down, up)):
        passed = range(start, stop)
        holding = range(max(start, target.start), min(stop, target.stop))
        inner = [p for p in holding if p != end]
        before = [p for p in passed if p not in holding]
        for positions, ports in ((before, (ahead,)), (inner, ("RAMP", ahead)), ([end] if passed else [], ("RAMP",))):
            if positions:
                line = across(builder, axis, (min(positions), max(positions) + 1, 1))
                routes.append(StreamRoute(line, behind, ports))
    return builder.stream(f"spread.{axis}.{root}.{target.start}.{target.stop}", routes)


KERNEL = Kernel(
    "relayout.exchange",
    "tile.relayout",
    "axis by axis: tiles ride the ring, or a multicast",
    emit,
    applies,
    check=check,
    estimate=estimate,
)
