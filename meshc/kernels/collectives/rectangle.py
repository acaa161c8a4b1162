"""All-reduce over a rectangle: every row to one column, that column to one PE, and from there to all.

Rows reduce at the same time; then one column carries the payload once more, and a multicast along the
root's row and from there up and down every column brings the result back. Any reduction along
lines will do, another one for rows than for the column if need be.

Cost: the two reductions, and B + (W + H) / 2 + 2 T_R with the root in the middle. Memory: that of the
reductions. Colors: those of both in the root's column, and one. Critical path: both reductions' and one stage more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives import broadcast, k_tree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import collective
from meshc.kernels.estimate import Estimate
from meshrt.program.cost import word_period
from meshrt.program.model import Rect, View

#: No parameters.
NONE: Parameters = {}


def all_reduce_rectangle(
    builder: MeshBuilder,
    rect: Rect,
    data: MeshBuffer | View,
    op: Operator = "add",
    algorithm: str = "chain",
    along_x: Mapping[str, object] = NONE,
    along_y: Mapping[str, object] = NONE,
    payload: Payload | None = None,
) -> None:
    """Replace ``data`` in every PE of a rectangle without steps by its combination over all of them.

    ``algorithm`` is one of ``reduce.*``, with its parameters along either axis but for the root, which lies in the
    middle, or where the groups of ``k_tree`` put it; ``auto`` takes the ``payload`` that it is to be good for.
    """
    width, height = rect.x1 - rect.x0, rect.y1 - rect.y0
    reduction = collective(f"reduce.{algorithm}")
    priced = {"payload": payload} if reduction.priced else {}
    (x_root, x_options), (y_root, y_options) = (
        _rooted(reduction, length, options) for length, options in ((width, along_x), (height, along_y))
    )
    column, row = rect.x0 + x_root, rect.y0 + y_root
    rows = Line("x", width, (rect.y0, rect.y1), rect.x0)
    reduction.emit(builder, rows, data, op, **priced, **x_options)
    reduction.emit(builder, Line("y", height, (column, column + 1), rect.y0), data, op, **priced, **y_options)
    broadcast.emit_rectangle(builder, rect, (column, row), data)


def rectangle_estimate(
    width: int,
    height: int,
    payload: Payload,
    algorithm: str = "chain",
    along_x: Mapping[str, object] = NONE,
    along_y: Mapping[str, object] = NONE,
) -> Estimate:
    """What :func:`all_reduce_rectangle` costs; ``payload.partial`` where the rectangle is not the whole region."""
    reduction, target = collective(f"reduce.{algorithm}"), payload.target
    (x_root, x_options), (y_root, y_options) = (
        _rooted(reduction, length, options) for length, options in ((width, along_x), (height, along_y))
    )
    rows = reduction.estimate(width, payload, **x_options)
    column_payload = replace(payload, partial=payload.partial or width > 1)
    column = reduction.estimate(height, column_payload, **y_options)
    far = max(x_root, width - 1 - x_root) + max(y_root, height - 1 - y_root)
    several = int(width * height > 1)
    back = payload.asked + target.branch_cycles + payload.launch + payload.words - 1 + payload.flight(far)
    back += word_period(target, "move", payload.dtype)
    return Estimate(
        rows.cycles + column.cycles + several * back,
        max(rows.bytes, column.bytes),
        rows.colors + column.colors + several,
        rows.hops + column.hops + far,
        rows.stages + column.stages + several,
    )


def _rooted(reduction: Collective, length: int, options: Mapping[str, object]) -> tuple[int, dict[str, object]]:
    """Where the root of a reduction along so many PEs lies, and all its parameters."""
    if "root" in reduction.takes:
        return length // 2, {**options, "root": length // 2}
    return k_tree.draw(length, **options).root, dict(options)
