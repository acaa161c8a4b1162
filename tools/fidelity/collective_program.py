"""One collective as a program of its own: data in the PEs' memories, what they hold afterwards out to the south."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from meshc.emit.standalone import standalone_program
from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshrt.program.cost import words
from meshrt.program.expr import Name, as_expr
from meshrt.program.model import Program, Rect
from meshrt.run import RunResult
from meshrt.target import Target

#: Appends a collective over the buffer that every PE holds.
Append = Callable[[MeshBuilder, MeshBuffer], None]


def collective_program(
    width: int, height: int, target: Target, append: Append, elements: int, dtype: str = "f32"
) -> Program:
    """PE (x, y) holds ``data[y, x]``, the collective runs, and what it holds then is ``result[y, x]``.

    Both tensors are [height, width, elements]. Each column drains to the south, its last row
    first: a PE sends what it holds, then turns its router to pass what comes from the north.
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

    return standalone_program(width, height, target, everything)


def collective_cycles(result: RunResult, width: int, height: int, elements: int, dtype: str = "f32") -> int:
    """When the last PE of the last row had its part, on a target where only words take time.

    What that row sends to the south leaves at once, one word a cycle.
    """
    clocks = np.asarray(result.clocks).reshape(height, width)
    return int(clocks[-1].max()) - words(elements, dtype)
