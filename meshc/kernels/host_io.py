"""Token ids in, logits out: the only places where data crosses the edge of the wafer.

Ids enter at PE (0, 0) and are multicast: down the first column, east along every row.
Results leave at the east edge, row by row: each PE sends its tile, then turns its router
from sending to passing, so the row drains from east to west over one color (rule R3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.gemm_ring_transposed import last_token_row
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, select
from meshrt.program.model import Rect


def emit_input(value: Value, name: str, lowering: Lowering) -> None:
    """Append the arrival of the token ids [batch, sequence] in every PE."""
    assert isinstance(value.type, TensorType)
    # Rows read their own block of tokens, so the buffer is padded to whole blocks.
    shape = lowering.batch, lowering.sequence
    lowering.inputs[value] = receive_everywhere(lowering.builder, name, shape, lowering.tokens.padded)


def receive_everywhere(builder: MeshBuilder, name: str, shape: tuple[int, int], room: int) -> MeshBuffer:
    """Append the arrival of an integer input in every PE, in a buffer of ``room`` elements with zeros at its end."""
    width, height = builder.width, builder.height
    count = shape[0] * shape[1]
    tokens = builder.buffer(name, "i32", room)
    east = ("E",) if width > 1 else ()
    routes = [StreamRoute(Rect(0, 1, 0, 1), builder.inlet, ("RAMP", *east, *(("S",) if height > 1 else ())))]
    if height > 2:
        routes.append(StreamRoute(Rect(0, 1, 1, height - 1), "N", ("RAMP", *east, "S")))
    if height > 1:
        routes.append(StreamRoute(Rect(0, 1, height - 1, height), "N", ("RAMP", *east)))
    if width > 2:
        routes.append(StreamRoute(Rect(1, width - 1, 0, height), "W", ("RAMP", "E")))
    if width > 1:
        routes.append(StreamRoute(Rect(width - 1, width, 0, height), "W", ("RAMP",)))
    stream = builder.stream(f"host.in.{name}", routes)
    element = Name("e")
    builder.port(
        name,
        "in",
        side=builder.inlet,
        rect=Rect(0, 1, 0, 1),
        color=stream,
        dtype="i32",
        shape=shape,
        count=as_expr(count),
        indices=(element // shape[1], element % shape[1]),
    )
    if room != count:
        builder.emit("fill", tokens, value=0.0)
    builder.emit("recv", tokens.at(0, count), color=stream)
    return tokens


def emit_output(op: Operation, lowering: Lowering) -> None:
    """Append the departure of every result, all positions or only the last token's."""
    for value, name, shape in zip(op.operands, op.attributes["names"], op.attributes["shapes"], strict=True):
        _emit_result(value, name, shape, lowering)


def _emit_result(value: Value, name: str, shape: tuple[int, int, int], lowering: Lowering) -> None:
    """One result [batch, sequence, features]; with ``--logits last`` only the prompt's last token has a place in it."""
    builder, tokens = lowering.builder, lowering.tokens
    type = shard_of(value)
    inner = type.tile[1]
    wanted = lowering.holds_tokens()
    if lowering.logits == "last":
        wanted = last_token_row(lowering)
        shape = (shape[0], 1, shape[2])

    def indices(source: Expr, element: Expr) -> tuple[Expr, ...]:
        token = tokens.index(Name("y"), element // inner)
        batch, position = token // lowering.sequence, token % lowering.sequence
        if tokens.padded != tokens.extent:
            batch = select(token.lt(tokens.extent), batch, -1)
        if lowering.logits == "last":
            position = select(position.eq(lowering.length - 1), 0, -1)
        return batch, position, type.x.index(source, element % inner)

    drain_rows(builder, name, lowering.buffer_of(value), shape, indices, wanted)


def drain_rows(
    builder: MeshBuilder,
    name: str,
    tile: MeshBuffer,
    shape: Sequence[int],
    indices: Callable[[Expr, Expr], tuple[ExprLike, ...]],
    wanted: ExprLike = 1,
) -> None:
    """Append the departure of every PE's tile at the east edge, in the rows where ``wanted`` holds.

    ``indices(source, element)`` says where in the result, of that shape, an element of the
    tile of column ``source`` belongs.
    """
    width, height = builder.width, builder.height
    stream = builder.stream(f"host.out.{name}", [StreamRoute(Rect(0, width, 0, height), "RAMP", ("E",))])
    element, size = Name("e"), tile.elements
    builder.port(
        name,
        "out",
        side="E",
        rect=Rect(width - 1, width, 0, height),
        color=stream,
        dtype=tile.dtype,
        shape=tuple(shape),
        count=select(wanted, width * size, 0),
        # The row drains from east to west.
        indices=tuple(as_expr(i) for i in indices(width - 1 - element // size, element % size)),
    )
    with builder.when(wanted):
        builder.emit("send", tile, color=stream)
        if width > 1:
            with builder.when(Name("x").gt(0)):
                builder.emit("route", color=stream, from_="W", to=("E",))
