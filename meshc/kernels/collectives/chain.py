"""``reduce.chain``: each PE adds its own words to those that pass, toward the root (HPDC'24, chain).

The software chain of :mod:`meshc.kernels.chain` with a root that stays: the PE farthest
out sends, those between stream through, the root receives one side, then the other.

Cost, P PEs and B words: B + (2 T_R + 2)(P - 1) cycles with the root at an end; best for
many words. Contention B, depth P - 1. Memory: none besides the data. Colors: four for an
axis, two in each direction, shared by all chains. Critical path: P - 1 streams, then B words.
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import chain_reduce
from meshc.kernels.collectives.by_tree import ByTree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.plan import Plan, both_sides
from meshc.kernels.collectives.reduction import Reduction, any_root
from meshc.kernels.estimate import Scaling
from meshrt.program.model import View


def cost(length: int, words: int) -> PatternCost:
    """Every link carries the words once."""
    hops = length - 1
    return PatternCost(contention=words if hops else 0, energy=words * hops, links=hops, distance=hops, depth=hops)


def draw(length: int, root: int = 0) -> Plan:
    """The chain as a plan: two colors, whatever its length."""
    return both_sides(length, root, lambda count: [*((d + 1,) for d in range(count - 1)), ()])


def emit(builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, op: str) -> None:
    """Combine ``data`` over the line into the root's ``data``."""
    chain_reduce(builder, line.segment(builder), root, data, op)


REDUCTION = Reduction("reduce.chain", "each PE adds its words to those that pass", emit, any_root, cost)


def draw_two_sided(length: int) -> Plan:
    """Chains from both ends to the middle."""
    return draw(length, length // 2)


def candidates(length: int, payload: Payload) -> tuple[Parameters, ...]:
    """There is nothing to choose."""
    return ({},)


_CHAIN, _TWO_SIDED = ByTree("chain", draw), ByTree("chain_two_sided", draw_two_sided)
_PAPER = "Luczynski et al., HPDC'24"
ALL_REDUCE = Collective(
    "all_reduce.chain",
    "a chain to one end, each PE adding as the words pass",
    _CHAIN.all_reduce,
    _CHAIN.all_reduce_estimate,
    Scaling("1", "O(1)", "N - 1", "N", _PAPER),
    candidates,
)
ALL_REDUCE_TWO_SIDED = Collective(
    "all_reduce.chain_two_sided",
    "chains from both ends to the middle",
    _TWO_SIDED.all_reduce,
    _TWO_SIDED.all_reduce_estimate,
    Scaling("1", "O(1)", "N / 2", "N / 2", _PAPER),
    candidates,
)
REDUCE = Collective(
    "reduce.chain",
    "chains to the root, each PE adding as the words pass",
    _CHAIN.reduce,
    _CHAIN.reduce_estimate,
    Scaling("1", "O(1)", "1", "N", _PAPER),
    candidates,
    takes=frozenset({"root"}),
)
