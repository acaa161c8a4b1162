"""A collective on its own: data in the PEs' memories, and what they hold afterwards out to the south."""

from __future__ import annotations

from collections.abc import Callable

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.standalone.region import assemble
from meshrt.program.expr import Name, as_expr
from meshrt.program.model import Program, Rect
from meshrt.target import Target

#: Appends a collective over the buffer that every PE holds.
Append = Callable[[MeshBuilder, MeshBuffer], None]


def collective_program(
    width: int, height: int, target: Target, append: Append, elements: int, dtype: str = "f32"
) -> Program:
    """PE (x, y) holds ``data[y, x]``, the collective runs, and what it holds then is ``result[y, x]``.

    Both tensors are [height, width, elements]. Each column drains to the south, its last row
    first: a PE sends what it holds, then turns its router to pass what comes from the north.
    Raises M0401 and M0406 where the target's memory or colors do not suffice.
    """
    x, y, i, e = (Name(name) for name in "xyie")

    def everything(builder: MeshBuilder) -> None:
        data = builder.buffer("data", dtype, elements)
        builder.place(data, [("i", 0, elements)], "data", [y, x, i])
        append(builder, data)
        drain = builder.stream("result", [StreamRoute(builder.everywhere, "RAMP", ("S",))])
        builder.port(
            "result",
            "out",
            side="S",
            rect=Rect(0, width, height - 1, height),
            color=drain,
            dtype=dtype,
            shape=(height, width, elements),
            count=as_expr(height * elements),
            indices=(height - 1 - e // elements, x, e % elements),
        )
        builder.emit("send", data, color=drain)
        if height > 1:
            with builder.when(y.gt(0)):
                builder.emit("route", color=drain, from_="N", to=("S",))

    return assemble(width, height, target, everything)
