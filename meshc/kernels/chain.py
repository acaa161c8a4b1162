"""Software chains along x or y: reduce to a root and broadcast from one, the root being any expression.

Every PE of the chain adds (or copies) word by word while the words pass, toward the
root in a reduction, away from it in a broadcast. Four static colors per axis serve all
chains: up (toward higher coordinates) and down, each for senders of even and of odd
coordinates, so that a PE never sends on the color that it receives on. The root may be
another PE at every step and in every row, because no route depends on it.

Cost of a chain of P PEs and B words, root at the middle: B + (2 T_R + hop + 1) P / 2
cycles (*Near-Optimal Wafer-Scale Reduce*, HPDC'24, chain), P/2 stages, one buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.ring import AXIS_PORTS
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, maximum, minimum, select
from meshrt.program.model import Rect, View

#: The combining instructions of each reduction.
COMBINE = {"add": ("recv_add", "stream_add"), "max": ("recv_max", "stream_max")}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of an axis: this PE's position in it, its length, and where it applies (1: everywhere)."""

    axis: str
    position: Expr
    length: int
    condition: Expr


def whole_axis(builder: MeshBuilder, axis: str) -> Segment:
    """The axis from edge to edge."""
    return Segment(axis, Name(axis), builder.width if axis == "x" else builder.height, as_expr(1))


@dataclass(frozen=True, slots=True)
class ChainColors:
    """Colors of this PE: sending up and down, receiving from below (up-going) and from above (down-going)."""

    up_out: Expr
    up_in: Expr
    down_out: Expr
    down_in: Expr


def chain_colors(builder: MeshBuilder, axis: str) -> ChainColors:
    """Declare the four chain streams of an axis (once) and give this PE's colors."""
    streams = {way: _streams(builder, axis, way) for way in ("up", "down")}
    return ChainColors(*(color for way in streams for color in _colors(builder, axis, way, *streams[way])))


def chain_colors_one_way(builder: MeshBuilder, axis: str, way: str) -> tuple[Expr, Expr]:
    """Declare only the streams that lead ``up`` or ``down``: this PE's colors to send and to receive."""
    return _colors(builder, axis, way, *_streams(builder, axis, way))


def _streams(builder: MeshBuilder, axis: str, way: str) -> tuple[Expr, Expr]:
    """The streams of one way, of senders of even and of odd coordinates."""
    parts = builder.width if axis == "x" else builder.height
    up, down = AXIS_PORTS[axis]
    ahead, behind = (up, down) if way == "up" else (down, up)

    def span(start: int, stop: int) -> Rect:
        return Rect(start, stop, 0, builder.height, 2, 1) if axis == "x" else Rect(0, builder.width, start, stop, 1, 2)

    def stream(parity: int) -> Expr:
        # Senders have this parity; the PE after each of them receives.
        if way == "up":
            first, receivers, last_sender = parity, parity + 1, parts - 1
        else:
            first, receivers, last_sender = parity if parity else 2, 1 - parity, parts
        routes = []
        if first < last_sender:
            routes.append(StreamRoute(span(first, last_sender), "RAMP", (ahead,)))
        stop = parts if way == "up" else parts - 1
        if receivers < stop:
            routes.append(StreamRoute(span(receivers, stop), behind, ("RAMP",)))
        name = f"chain.{axis}.{way}.{('even', 'odd')[parity]}"
        return builder.stream(name, routes) if routes else as_expr(0)

    return stream(0), stream(1)


def _colors(builder: MeshBuilder, axis: str, way: str, even: Expr, odd: Expr) -> tuple[Expr, Expr]:
    """This PE's colors to send and to receive."""
    is_odd = Name(axis) % 2
    return (
        builder.param(f"chain_{axis}_{way}_out", select(is_odd, odd, even)),
        builder.param(f"chain_{axis}_{way}_in", select(is_odd, even, odd)),
    )


def chain_reduce(builder: MeshBuilder, segment: Segment, root: ExprLike, data: MeshBuffer | View, op: str) -> None:
    """Combine ``data`` over the segment into the root's ``data``; elsewhere it is left as it was.

    ``op`` is ``add`` or ``max``. Words travel in the buffer's dtype, partial sums too.
    """
    if segment.length == 1:
        return
    receive, stream = COMBINE[op]
    colors = chain_colors(builder, segment.axis)
    root = as_expr(root)
    p, last = segment.position, segment.length - 1
    # Toward the root from below, then from above; the root takes the lower side first.
    with builder.when(minimum(segment.condition, p.lt(root))):
        with builder.when(p.eq(0)):
            builder.emit("send", data, color=colors.up_out)
        with builder.otherwise():
            builder.emit(stream, data, in_=colors.up_in, out=colors.up_out)
    with builder.when(minimum(segment.condition, p.gt(root))):
        with builder.when(p.eq(last)):
            builder.emit("send", data, color=colors.down_out)
        with builder.otherwise():
            builder.emit(stream, data, in_=colors.down_in, out=colors.down_out)
    with builder.when(minimum(segment.condition, p.eq(root))):
        with builder.when(p.gt(0)):
            builder.emit(receive, data, color=colors.up_in)
        with builder.when(p.lt(last)):
            builder.emit(receive, data, color=colors.down_in)


def launch_chain_reduce(
    builder: MeshBuilder, segment: Segment, root: ExprLike, data: MeshBuffer, above: MeshBuffer, op: str
) -> None:
    """Begin :func:`chain_reduce` and go on; :func:`settle_chain_reduce` ends it.

    ``data`` is held meanwhile. The root takes what comes from above it into ``above``, so
    that both sides come in at once.
    """
    receive, stream = COMBINE[op]
    colors = chain_colors(builder, segment.axis)
    root = as_expr(root)
    p, last = segment.position, segment.length - 1
    with builder.when(minimum(segment.condition, p.lt(root))):
        with builder.when(p.eq(0)):
            builder.emit("send", data, color=colors.up_out, async_="reduce")
        with builder.otherwise():
            builder.emit(stream, data, in_=colors.up_in, out=colors.up_out, async_="reduce")
    with builder.when(minimum(segment.condition, p.gt(root))):
        with builder.when(p.eq(last)):
            builder.emit("send", data, color=colors.down_out, async_="reduce")
        with builder.otherwise():
            builder.emit(stream, data, in_=colors.down_in, out=colors.down_out, async_="reduce")
    with builder.when(minimum(segment.condition, p.eq(root))):
        with builder.when(p.gt(0)):
            builder.emit(receive, data, color=colors.up_in, async_="reduce")
        with builder.when(p.lt(last)):
            builder.emit("recv", above, color=colors.down_in, async_="reduce_above")


def settle_chain_reduce(
    builder: MeshBuilder, segment: Segment, root: ExprLike, data: MeshBuffer, above: MeshBuffer, op: str
) -> None:
    """Wait for the end of :func:`launch_chain_reduce`; the root then has the combination in ``data``."""
    root = as_expr(root)
    p, last = segment.position, segment.length - 1
    with builder.when(minimum(segment.condition, maximum(p.ne(root), p.gt(0)))):
        builder.emit("wait", handle="reduce")
    with builder.when(minimum(segment.condition, minimum(p.eq(root), p.lt(last)))):
        builder.emit("wait", handle="reduce_above")
        builder.emit(op, data, data, above)


def chain_broadcast(builder: MeshBuilder, segment: Segment, root: ExprLike, data: MeshBuffer | View) -> None:
    """Copy the root's ``data`` into everyone's ``data`` over the segment."""
    if segment.length == 1:
        return
    colors = chain_colors(builder, segment.axis)
    root = as_expr(root)
    p, last = segment.position, segment.length - 1
    with builder.when(minimum(segment.condition, p.eq(root))):
        with builder.when(p.lt(last)):
            builder.emit("send", data, color=colors.up_out)
        with builder.when(p.gt(0)):
            builder.emit("send", data, color=colors.down_out)
    with builder.when(minimum(segment.condition, p.gt(root))):
        with builder.when(p.lt(last)):
            builder.emit("stream_copy", data, in_=colors.up_in, out=colors.up_out)
        with builder.otherwise():
            builder.emit("recv", data, color=colors.up_in)
    with builder.when(minimum(segment.condition, p.lt(root))):
        with builder.when(p.gt(0)):
            builder.emit("stream_copy", data, in_=colors.down_in, out=colors.down_out)
        with builder.otherwise():
            builder.emit("recv", data, color=colors.down_in)


def chain_all_reduce(builder: MeshBuilder, segment: Segment, data: MeshBuffer | View, op: str) -> None:
    """Everyone's ``data`` becomes the combination over the segment: reduce to the middle, broadcast back."""
    middle = segment.length // 2
    chain_reduce(builder, segment, middle, data, op)
    chain_broadcast(builder, segment, middle, data)
