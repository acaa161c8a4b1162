"""Programs that are all steps: the ring of the two-hop GEMM, and a GEMV with its two-level tree, on any grid.

They are made of the same parts as the kernels (the ring's routes and shifts) and hold
nothing else, so that what is timed is the emulation of steps.
"""

from __future__ import annotations

from meshc.emit.program import emit_program
from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.ring import ring
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.pipeline import run_pipeline
from meshc.passes.plan_memory import PlanMemory
from meshrt.program.expr import Name
from meshrt.program.model import Program, Rect

X, Y = Name("x"), Name("y")


def _module(width: int, height: int) -> tuple[Module, MeshBuilder]:
    module = Module("mesh")
    module.attributes["ops"] = ()
    region = Operation(
        "mesh.region",
        attributes={"name": "main", "origin": (0, 0), "width": width, "height": height},
        regions=[Block()],
    )
    module.body.append(region)
    return module, MeshBuilder(region, width, height)


def _program(module: Module, builder: MeshBuilder) -> Program:
    builder.finish()
    run_pipeline(module, [AllocateColors(), PlanMemory(sram_bytes=49152)])
    return emit_program(module)


def ring_gemm(
    parts: int, tile: tuple[int, int, int], steps: int, slow_row: int | None = None, dtype: str = "f16"
) -> Program:
    """The main loop of the two-hop-ring GEMM on ``parts`` x ``parts`` PEs: C[m, n] += X[m, k] W[k, n] in every step.

    ``tile`` is (m, k, n). The PEs of ``slow_row`` have more to do in every step.
    """
    m, k, n = tile
    module, builder = _module(parts, parts)
    x, x_next = (builder.buffer(name, dtype, m, k) for name in ("x_tile", "x_next"))
    w, w_next = (builder.buffer(name, dtype, k, n) for name in ("w_tile", "w_next"))
    c = builder.buffer("c", dtype, m, n)
    for buffer in (x, w, c):
        builder.emit("fill", buffer, value=0.0)
    along_x, along_y = ring(builder, "x"), ring(builder, "y")
    with builder.loop("s", steps):
        handles = shift(builder, [(along_x, x, x_next), (along_y, w, w_next)])
        builder.emit("gemm", c, x, w, vector="n" if n >= m else "m")
        if slow_row is not None:
            with builder.when(Y.eq(slow_row)):
                builder.emit("add", c, c, 1.0)
        settle(builder, handles)
        builder.emit("rotate", x, x_next)
        builder.emit("rotate", w, w_next)
    return _program(module, builder)


def tree_gemv(parts: int, group: int, tile: tuple[int, int], dtype: str = "f16") -> Program:
    """A GEMV on ``parts`` x ``parts`` PEs whose partial sums meet in a two-level tree along each column.

    Groups of ``group`` PEs add up in a chain toward their middle from both sides; the
    middles add up in a chain toward the north, and the sum goes back to all as a multicast.
    ``tile`` is (k, n) of a PE.
    """
    k, n = tile
    module, builder = _module(parts, parts)
    a, w, c = builder.buffer("a", dtype, 1, k), builder.buffer("w", dtype, k, n), builder.buffer("c", dtype, 1, n)
    for buffer in (a, w, c):
        builder.emit("fill", buffer, value=0.0)
    builder.emit("gemm", c, a, w, vector="n")
    middle = group // 2
    groups = parts // group
    rows = range(parts)
    assert groups * group == parts and groups > 1 and group > 2

    def column(name: str, pairs: list[tuple[int, int]]):
        """A stream down or up each column between pairs of rows."""
        routes: dict[tuple[str, str], list[int]] = {}
        for source, target in pairs:
            step = 1 if target > source else -1
            ahead, behind = ("S", "N") if step > 0 else ("N", "S")
            for at in range(source, target + step, step):
                key = ("RAMP" if at == source else behind, "RAMP" if at == target else ahead)
                routes.setdefault(key, []).append(at)
        return builder.stream(
            name,
            [
                StreamRoute(Rect(0, parts, at, at + 1), arrival, (leave,))
                for (arrival, leave), found in sorted(routes.items())
                for at in found
            ],
        )

    inside = [y % group for y in rows]
    down = [
        column(f"down.{i}", [(y, y + 1) for y in rows if inside[y] < middle and inside[y] % 2 == i]) for i in (0, 1)
    ]
    up = [column(f"up.{i}", [(y, y - 1) for y in rows if inside[y] > middle and inside[y] % 2 == i]) for i in (0, 1)]
    roots = [g * group + middle for g in range(groups)]
    level = [column(f"roots.{i}", [(roots[g], roots[g - 1]) for g in range(1, groups) if g % 2 == i]) for i in (0, 1)]
    root = roots[0]
    spread = builder.stream(
        "spread",
        [
            StreamRoute(Rect(0, parts, root, root + 1), "RAMP", ("N", "S")),
            StreamRoute(Rect(0, parts, 1, root), "S", ("N", "RAMP")),
            StreamRoute(Rect(0, parts, 0, 1), "S", ("RAMP",)),
            StreamRoute(Rect(0, parts, root + 1, parts - 1), "N", ("S", "RAMP")),
            StreamRoute(Rect(0, parts, parts - 1, parts), "N", ("RAMP",)),
        ],
    )
    at = builder.param("inside", Y % group)

    def either(streams, index):
        return builder.param(f"pick_{streams[0].name}_{index}".replace("@", ""), _select(index % 2, streams))

    with builder.when(at.eq(0)):
        builder.emit("send", c, color=down[0])
    with builder.otherwise(), builder.when(at.lt(middle)):
        builder.emit("stream_add", c, in_=either(down, at - 1), out=either(down, at))
    with builder.when(at.eq(group - 1)):
        builder.emit("send", c, color=up[(group - 1) % 2])
    with builder.otherwise(), builder.when(at.gt(middle)):
        builder.emit("stream_add", c, in_=either(up, at + 1), out=either(up, at))
    which = builder.param("which", Y // group)
    with builder.when(at.eq(middle)):
        builder.emit("recv_add", c, color=down[(middle - 1) % 2])
        builder.emit("recv_add", c, color=up[(middle + 1) % 2])
        with builder.when(which.eq(groups - 1)):
            builder.emit("send", c, color=level[(groups - 1) % 2])
        with builder.otherwise(), builder.when(which.gt(0)):
            builder.emit("stream_add", c, in_=either(level, which + 1), out=either(level, which))
        with builder.otherwise():
            builder.emit("recv_add", c, color=level[1])
            builder.emit("send", c, color=spread)
    with builder.when(Y.ne(root)):
        builder.emit("recv", c, color=spread)
    return _program(module, builder)


def _select(which, streams):
    from meshrt.program.expr import select

    return select(which, streams[1], streams[0])
