"""``broadcast``: one PE sends, and routers copy (HPDC'24, flooding broadcast).

The root sends each word once; every router on the way hands a copy to its own PE and sends
one on, so no PE but the root spends an instruction on it. Along a line both ways from the
root; over a rectangle along the root's row, and from there up and down every column.

Cost, P PEs and B words along a line: B + P + 2 T_R cycles; over M x N PEs: B + M + N - 2
+ 2 T_R + 1. Contention B, depth 1. Memory: none besides the data. Colors: one. Critical
path: one message to the farthest corner.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Line, within
from meshrt.program.expr import Expr, Name, minimum
from meshrt.program.model import Rect, View


def line_cost(length: int, words: int) -> PatternCost:
    """Every link carries the words once."""
    hops = length - 1
    return PatternCost(words, words * hops, hops, hops, 1)


def rectangle_cost(width: int, height: int, words: int) -> PatternCost:
    """A link of every PE but the root's carries the words once."""
    links = width * height - 1
    return PatternCost(words, words * links, links, width + height - 2, 1)


def emit_line(
    builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, meanwhile: Callable[[], None] | None = None
) -> None:
    """Copy the root's ``data`` into the ``data`` of all PEs of its line.

    ``meanwhile`` appends what PEs do before they take it, the root after it has sent it: words that come early wait in
    the queues of the way, and hold up those for PEs behind if they are more than a queue holds.
    """
    arms = line.arms(root)
    if not arms:
        return
    routes: list[StreamRoute] = [*arms[0].routes(0, 1, 1, "RAMP", *(arm.outward for arm in arms))]
    for arm in arms:
        routes += arm.routes(1, arm.length, 1, arm.inward, "RAMP", arm.outward)
        routes += arm.routes(arm.length, arm.length + 1, 1, arm.inward, "RAMP")
    stream = builder.stream(f"broadcast.{line.name}.{root}", routes)
    with builder.when(line.condition(builder)):
        _send_or_receive(builder, line.position.eq(root), data, stream, meanwhile)


def emit_rectangle(builder: MeshBuilder, rect: Rect, root: tuple[int, int], data: MeshBuffer | View) -> None:
    """Copy the root's ``data`` into the ``data`` of all PEs of a rectangle without steps that holds the root."""
    if rect.count == 1:
        return
    row, column = root[1], root[0]
    routes: list[StreamRoute] = []
    vertical = tuple(port for port, more in (("N", row > rect.y0), ("S", row < rect.y1 - 1)) if more)
    # Along the root's row: from the root's side on to the far side, and into the columns.
    for x0, x1, source, onward in (
        (column, column + 1, "RAMP", tuple(p for p, m in (("W", column > rect.x0), ("E", column < rect.x1 - 1)) if m)),
        (column + 1, rect.x1 - 1, "W", ("RAMP", "E")),
        (max(column + 1, rect.x1 - 1), rect.x1, "W", ("RAMP",)),
        (rect.x0 + 1, column, "E", ("RAMP", "W")),
        (rect.x0, min(column, rect.x0 + 1), "E", ("RAMP",)),
    ):
        if x0 < x1:
            routes.append(StreamRoute(Rect(x0, x1, row, row + 1), source, (*onward, *vertical)))
    for y0, y1, source, onward in (
        (row + 1, rect.y1 - 1, "N", ("RAMP", "S")),
        (max(row + 1, rect.y1 - 1), rect.y1, "N", ("RAMP",)),
        (rect.y0 + 1, row, "S", ("RAMP", "N")),
        (rect.y0, min(row, rect.y0 + 1), "S", ("RAMP",)),
    ):
        if y0 < y1:
            routes.append(StreamRoute(Rect(rect.x0, rect.x1, y0, y1), source, onward))
    stream = builder.stream(f"broadcast.{rect.x0}_{rect.x1}_{rect.y0}_{rect.y1}.{column}_{row}", routes)
    inside = minimum(within("x", rect.x0, rect.x1, builder.width), within("y", rect.y0, rect.y1, builder.height))
    with builder.when(inside):
        _send_or_receive(builder, minimum(Name("x").eq(column), Name("y").eq(row)), data, stream)


def _send_or_receive(
    builder: MeshBuilder,
    is_root: Expr,
    data: MeshBuffer | View,
    stream: Expr,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    with builder.when(is_root):
        builder.emit("send", data, color=stream)
    if meanwhile is None:
        receives = builder.otherwise()
    else:
        meanwhile()
        receives = builder.when(is_root.eq(0))
    with receives:
        builder.emit("recv", data, color=stream)
