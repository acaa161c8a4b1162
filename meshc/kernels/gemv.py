"""``gemv``: y[1, n] = x[1, k] W[k, n], x over one axis and the result over the other (MeshGEMV, WaferLLM section 6).

x lies with k over the axis that is summed along, alike across it; W with k over that axis and n
over the other one. Each PE multiplies its part: for each of its elements of x one vector
multiply-add as long as its part of y. Then an all-reduce along the axis makes the sum
everyone's, so y lies over the other axis, alike along the first: as the x of a gemv that sums
along the other axis. A chain of them alternates axes and transposes nothing.

Critical path: the tile product and the all-reduce of one row of the result. Memory: the
tiles. Colors: those of the all-reduce.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.estimate import Estimate, Site
from meshrt.program.model import View


def gemv(
    builder: MeshBuilder,
    x: MeshBuffer,
    w: MeshBuffer,
    y: MeshBuffer,
    all_reduce: Callable[[MeshBuffer | View], None],
    summed: MeshBuffer | View | None = None,
) -> None:
    """Append y[1, Nt] = the sum over the line of x[1, Kt] w[Kt, Nt].

    ``all_reduce`` appends the sum of its argument along the axis over which k lies
    (:func:`meshc.kernels.collectives.all_reduce.all_reduce`, say); ``summed`` is the part of y
    that it is given, all of it by default.
    """
    builder.emit("fill", y, value=0.0)
    builder.emit("gemm", y, x, w, vector="n")
    all_reduce(y if summed is None else summed)


def gemv_estimate(inputs: int, outputs: int, summed: Estimate, site: Site) -> Estimate:
    """What :func:`gemv` costs with tiles x[1, inputs] and y[1, outputs], given what its all-reduce does.

    The bytes are those of the weights, and of what the all-reduce needs.
    """
    local = site.move(outputs, site.other) + site.product(1, inputs, outputs, "n")
    weights = site.bytes(inputs * outputs)
    return Estimate(local + summed.cycles, weights + summed.bytes, summed.colors, summed.hops, summed.stages)
