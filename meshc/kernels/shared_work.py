"""Work that all PEs of a line would do alike, shared among neighbours: each a part, and then everyone's parts together.

In decode a value is alike in every row, or in every column of a group of heads, so that each PE
would apply the same function to the same elements. Scalar code takes tens of cycles for an
element. So the line is cut into stretches of equal length; a PE of one does its part of the
elements, has zeros in place of the others, and an all-reduce along the stretch makes everyone
whole. One addend of each sum is not zero, so the result is exact in any dtype::

    elements          0 1 2 3 4 5        PEs 0, 1, 2 of a stretch
    PE 0 has          a b 0 0 0 0
    PE 1 has          0 0 c d 0 0   ->   a b c d e f everywhere
    PE 2 has          0 0 0 0 e f

Cost: the function's cycles for a part, a fill, and a short all-reduce. Either along stretches, by chains from both
of their ends to the middle, which take three colors: their length is the one of the fewest predicted cycles among
those that divide the line. Or along the whole line, by the tree that it has for other sums. Where neither is worth it,
nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from meshc.dialects.layout import ceil_div
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.collectives.all_reduce import all_reduce
from meshc.kernels.collectives.auto import draw_all_reduce
from meshc.kernels.collectives.chain import draw_two_sided
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.pace import Payload, all_reduce_estimate
from meshc.kernels.line_reduce import PART_COLORS, combine
from meshc.kernels.lowering import Lowering
from meshrt.program.cost import element_cycles
from meshrt.program.expr import minimum
from meshrt.program.model import View

#: The longest stretches that are considered.
MOST = 32
#: Cycles below which sharing gains too little for the code that it takes in every PE, about eight instructions.
WORTH = 500


@dataclass(frozen=True, slots=True)
class Share:
    """Stretches of a line (or all of it, with ``entire``), and how many of the elements a PE takes at most."""

    line: Line
    elements: int
    part: int
    entire: bool

    @property
    def members(self) -> int:
        """The PEs of a stretch that have a part; those behind them have none."""
        return ceil_div(self.elements, self.part)

    def of(self, buffer: MeshBuffer) -> View:
        """This PE's part of a buffer."""
        start = minimum(self.line.position, self.members - 1) * self.part
        return buffer.at(start, minimum(self.part, self.elements - start))

    def work(self, lowering: Lowering, target: MeshBuffer, work: Callable[[], None]) -> None:
        """Append the work on this PE's part of ``target``, and what makes everyone's whole."""
        builder = lowering.builder
        builder.emit("fill", target, value=0.0)
        with builder.when(self.line.position.lt(self.members) if self.members < self.line.length else 1):
            work()
        if self.entire:
            combine(lowering, self.line, target)
        else:
            all_reduce(builder, self.line, target, "add", "chain_two_sided")


def share_for(
    lowering: Lowering, line: Line, elements: int, cycles: int, dtype: str, stretches: bool = True
) -> Share | None:
    """How to share a function of so many ``cycles`` for an element among PEs that hold the same along ``line``.

    Without ``stretches`` along all of it only. None where the work of every PE is its own, where sharing is switched
    off or not worth it, or where the target is not known.
    """
    target = lowering.target
    if lowering.position is None or target is None or not lowering.trees.shares or min(elements, line.length) < 2:
        return None
    best, found = elements * cycles - WORTH, None
    lengths = range(2, min(MOST, line.length) + 1) if stretches else (line.length,)
    for length in lengths:
        if line.length % length:
            continue
        payload = Payload(elements, dtype, "add", target, partial=True)
        plan = draw_two_sided(length) if stretches else draw_all_reduce(length, payload, PART_COLORS)
        together = all_reduce_estimate(plan, payload).cycles
        part = ceil_div(elements, length)
        cost = part * cycles + together + element_cycles(target, "move", elements, dtype)
        if cost < best:
            stretch = replace(line, length=length, repeat=line.repeat * (line.length // length))
            best, found = cost, Share(stretch, elements, part, not stretches)
    return found
