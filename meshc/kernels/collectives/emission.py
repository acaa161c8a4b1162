"""The program of a plan: static routes, tables of roles by position, and a few lines of code for all PEs.

Each message of the tree has a color of its own among those that meet it in a router, so that no router
ever turns: a collective may run again at once, in a loop or after another one, without a
barrier. Where words of a later message come early they wait at their receiver's router.

Text: table entries for each position, and rectangles for each color that are fewer the more regular
the plan is. Code: one receive in a loop, one send, one stream-through. Memory: none beside the data.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.chain import COMBINE
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.plan import Plan
from meshc.kernels.collectives.spans import spans
from meshc.kernels.ring import AXIS_PORTS
from meshrt.program.expr import Expr, ExprLike, TableRef, as_expr, select
from meshrt.program.model import View


def emit_plan(builder: MeshBuilder, line: Line, plan: Plan, name: str, data: MeshBuffer | View, op: Operator) -> None:
    """Combine ``data`` over every line into its root's ``data``; elsewhere it is left undefined.

    ``name`` is that of the streams: the same plan on the same line asked for again shares them.
    """
    if line.length == 1:
        return
    streams = _streams(builder, line, plan, f"{name}.{line.name}.{plan.root}")
    roles = _Roles(builder, line, name)
    sends = pick(streams, roles.of("out", [max(color, 0) for color in plan.colors]))
    taken = [[plan.colors[child] for child in children] for children in plan.children]
    streaming = isinstance(op, str)
    stored = [colors[:-1] if streaming and p != plan.root else colors for p, colors in enumerate(taken)]
    is_leaf = roles.of("leaf", [int(not colors) for colors in taken])
    with builder.when(line.condition(builder)):
        with builder.when(is_leaf):
            builder.emit("send", data, color=sends)
        with builder.otherwise():
            if any(stored):
                _store(builder, roles, streams, stored, data, op)
            with builder.when(line.position.ne(plan.root)):
                if not streaming:
                    builder.emit("send", data, color=sends)
                elif any(colors for p, colors in enumerate(taken) if p != plan.root):
                    last = roles.of("in", [colors[-1] if colors else 0 for colors in taken])
                    builder.emit(COMBINE[op][1], data, in_=pick(streams, last), out=sends)


def _store(
    builder: MeshBuilder,
    roles: _Roles,
    streams: Sequence[Expr],
    stored: Sequence[Sequence[int]],
    data: MeshBuffer | View,
    op: Operator,
) -> None:
    """Take the messages of these colors, by position, one after the other."""
    first, colors = _packed(stored)
    begin = roles.of("first", first)
    table = builder.table(f"{roles.name}_colors", colors)
    other = data if isinstance(op, str) else builder.buffer("other", _buffer(data).dtype, *_buffer(data).shape)
    with builder.loop("message", roles.of("stored", [len(each) for each in stored])) as message:
        color = pick(streams, TableRef(table, begin + message))
        if isinstance(op, str):
            builder.emit(COMBINE[op][0], data, color=color)
        else:
            builder.emit("recv", other, color=color)
            op.combine(builder, _buffer(data), _buffer(other))


def _buffer(data: MeshBuffer | View) -> MeshBuffer:
    assert isinstance(data, MeshBuffer), "what is stored and merged is a buffer of its own"
    return data


def pick(streams: Sequence[Expr], index: Expr) -> Expr:
    """The stream of that index."""
    found = streams[-1]
    for number, stream in reversed(list(enumerate(streams[:-1]))):
        found = select(index.eq(number), stream, found)
    return found


class _Roles:
    """Parameters by position along a line, each from a table; one value for all is a number."""

    def __init__(self, builder: MeshBuilder, line: Line, name: str):
        self.builder, self.line, self.name = builder, line, name

    def of(self, what: str, values: Sequence[int]) -> Expr:
        """This PE's entry; 0 outside the line."""
        if len(set(values)) == 1:
            return as_expr(values[0])
        table = self.builder.table(f"{self.name}_{what}_by_position", values)
        entry: ExprLike = TableRef(table, self.line.position)
        return self.builder.param(f"{self.name}_{what}", select(self.line.condition(self.builder), entry, 0))


def _packed(colors: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Lists end to end, with where each begins; equal ones are stored once."""
    begins: dict[tuple[int, ...], int] = {}
    flat: list[int] = []
    for each in colors:
        if tuple(each) not in begins:
            begins[tuple(each)] = len(flat)
            flat += each
    return [begins[tuple(each)] for each in colors], flat


def _streams(builder: MeshBuilder, line: Line, plan: Plan, name: str) -> list[Expr]:
    """A stream for each color of the plan."""
    up, down = AXIS_PORTS[line.axis]
    routes: list[dict[tuple[str, str], set[int]]] = [{} for _ in range(plan.color_count)]
    for sender, (receiver, color) in enumerate(zip(plan.parents, plan.colors, strict=True)):
        if color < 0:
            continue
        step, ahead, behind = (1, up, down) if receiver > sender else (-1, down, up)
        found = routes[color]
        found.setdefault(("RAMP", ahead), set()).add(sender)
        found.setdefault((behind, "RAMP"), set()).add(receiver)
        found.setdefault((behind, ahead), set()).update(range(sender + step, receiver, step))
    return [
        builder.stream(
            f"{name}.{color}",
            [
                StreamRoute(rect, source, (destination,))
                for (source, destination), positions in sorted(found.items())
                for span in spans(sorted(positions))
                for rect in line.rects(*span)
            ],
        )
        for color, found in enumerate(routes)
    ]
