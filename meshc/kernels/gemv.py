"""``gemv``: y[1, n] = x[1, k] W[k, n] with a tree all-reduce (MeshGEMV, WaferLLM section 6).

x lies with k over y, alike in every column; W with k over y and n over x. Each PE
multiplies its part: for each of its elements of x one vector multiply-add as long as its
part of y. Then the parts are summed along y and the sum is everyone's.

Critical path: the tile product and the all-reduce of one row of the result. Memory: the
tiles. Colors: those of the all-reduce.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshc.kernels.all_reduce_k_tree import all_reduce
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshrt.program.model import View


def gemv(
    builder: MeshBuilder,
    x: MeshBuffer,
    w: MeshBuffer,
    y: MeshBuffer,
    groups: Sequence[int],
    summed: MeshBuffer | View,
) -> None:
    """Append y[1, Nt] = the sum over the column of x[1, Kt] w[Kt, Nt].

    ``groups`` are the sizes of the all-reduce's tree over y, from the lowest level on;
    ``summed`` is y, or the part of it that is summed.
    """
    builder.emit("fill", y, value=0.0)
    builder.emit("gemm", y, x, w, vector="n")
    all_reduce(builder, "y", groups, summed)
