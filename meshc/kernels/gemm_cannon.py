"""``gemm.cannon``: Cannon's GEMM (1969) on rows and columns closed by a wrap-around.

The steps of :mod:`meshc.kernels.systolic` on lines whose tiles go to the next PE, and from
the end of the line the long way back (:mod:`meshc.kernels.wraparound`). A mesh has no
torus links, so the transfer that closes the ring crosses the whole row.

Critical path on P x P PEs: P - 1 steps of the longer of a tile product and two shifts of
one hop, one more product, floor(P/2) alignment shifts, and P - 2 hops more for the one
tile on either axis that goes the long way. Memory: two X tiles, three W tiles, the
accumulator. Colors in a router: 6 on x (both directions), 3 on y.
"""

from __future__ import annotations

from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import loop_orders
from meshc.kernels.lowering import Lowering
from meshc.kernels.systolic import Topology, emit_systolic, estimate_systolic
from meshc.kernels.wraparound import line_position, wraparound_ring

#: Neighbours in line order, the ends joined over the whole line.
LINE = Topology(wraparound_ring, line_position, line_position, lambda parts: (1, parts - 1))


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    emit_systolic(op, lowering, LINE)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: see :func:`meshc.kernels.systolic.estimate_systolic`."""
    return estimate_systolic(op, site, LINE)


KERNEL = Kernel(
    "gemm.cannon",
    "tile.gemm",
    "neighbour shifts, the long way back over the row (Cannon)",
    emit,
    rank=2,
    estimate=estimate,
    scaling=Scaling("2 X + 3 W + C", "O(1)", "N - 1", "3N/2", "Cannon 1969"),
    schedules=loop_orders,
)
