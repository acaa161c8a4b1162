"""All-reduce along a line by the name of an algorithm: a reduction to one PE, then a multicast from it.

What each PE holds becomes the combination of what all PEs of its line held. Routes are static,
so that the same all-reduce may stand in a loop, or twice in a row, without a barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives import broadcast, chain, k_tree, tree, two_phase
from meshc.kernels.collectives.emission import emit_plan
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.plan import Plan
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class TreeShape:
    """A way to draw the tree of an all-reduce over so many PEs: ``draw(length, **parameters)``."""

    meaning: str
    draw: Callable[..., Plan]


#: The shapes by the name of the algorithm.
SHAPES: Mapping[str, TreeShape] = MappingProxyType(
    {
        "chain": TreeShape("a chain to one end", lambda length: chain.draw(length, 0)),
        "chain_two_sided": TreeShape("chains from both ends to the middle", lambda n: chain.draw(n, n // 2)),
        "tree": TreeShape("binary trees on both sides of the middle", lambda n: tree.draw(n, n // 2)),
        "two_phase": TreeShape(
            "chains in groups, then of their roots", lambda n, group=None: two_phase.draw(n, n // 2, group)
        ),
        "k_tree": TreeShape("K levels of two-sided chains in groups", k_tree.draw),
    }
)


def all_reduce(
    builder: MeshBuilder,
    line: Line,
    data: MeshBuffer | View,
    op: str = "add",
    algorithm: str = "chain_two_sided",
    **parameters: object,
) -> None:
    """Replace ``data`` in every PE by its sum (``op="max"``: largest) over the PE's line.

    ``parameters`` are the algorithm's: ``groups`` of ``k_tree`` (sizes from the lowest level on),
    ``group`` of ``two_phase``. All moves block. Words travel in the buffer's dtype, partial
    results too. Raises M0616 where group sizes do not cover the line.
    """
    plan = plan_of(algorithm, line.length, **parameters)
    emit_plan(builder, line, plan, stream_name(algorithm, **parameters), data, op)
    broadcast.emit_line(builder, line, plan.root, data)


def plan_of(algorithm: str, length: int, **parameters: object) -> Plan:
    """The tree of an algorithm over so many PEs."""
    if algorithm not in SHAPES:
        raise MeshError(
            "M0617", f"there is no all-reduce {algorithm!r}", helps=did_you_mean(algorithm, SHAPES, "algorithms")
        )
    return SHAPES[algorithm].draw(length, **parameters)


def stream_name(algorithm: str, **parameters: object) -> str:
    """A name that two all-reduces of one algorithm share only with equal parameters."""
    values = (value if isinstance(value, list | tuple) else (value,) for _, value in sorted(parameters.items()))
    return "_".join([algorithm, *(str(each) for value in values for each in value)])
