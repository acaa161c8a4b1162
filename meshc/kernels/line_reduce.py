"""Sums and maxima that every PE of a line ends up with: the one place where a kernel's all-reduce is chosen.

In prefill they are software chains, whose four colors for each axis also serve reductions to
moving roots. In decode, where a step is mostly reductions of few words, they are trees. One tree
serves all reductions of a line, so that colors suffice for them: the one that a search finds for
the target and a payload of few words, which is near the best for others too (on 96 PEs of a wse2
predicted within 4 % for 1 to 18 words); where the target is not known, two levels of groups (WaferLLM's
K-tree), about the root of P stages in place of P. A function may ask for others
(:mod:`meshc.kernels.line_trees`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from meshc.dialects.layout import Heads, ceil_div
from meshc.kernels.all_reduce_k_tree import all_reduce as meshgemv_all_reduce
from meshc.kernels.all_reduce_k_tree import balanced_groups
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import chain_all_reduce
from meshc.kernels.collectives.all_reduce import all_reduce
from meshc.kernels.collectives.line import Line, whole
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.lowering import Lowering
from meshrt.program.model import View

#: Up to so many PEs one level is as good as two.
SHORT = 6
#: Elements of the payload, and colors of a router, that the tree of decode is sought for; colors of one along a part
#: of a line, such as a group of heads.
ELEMENTS, COLORS, PART_COLORS = 8, 4, 3


def head_lines(builder: MeshBuilder, layout: Heads) -> Line:
    """The stretches of the rows that hold one group of heads each."""
    return Line("x", layout.columns, (0, builder.height), 0, layout.groups)


def combine(
    lowering: Lowering,
    line: Line,
    data: MeshBuffer | View,
    op: str = "add",
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Replace ``data`` in every PE of the lines by its sum (``max``: largest) over the PE's line.

    Words travel in the buffer's dtype, partial results too. ``meanwhile`` appends work that does not touch ``data``:
    where the line has a tree that allows it, PEs do it between giving theirs and taking the result.
    """
    builder, trees = lowering.builder, lowering.trees
    entire = line == whole(builder, line.axis)
    planned = lowering.position is not None and line.length > 1
    if planned and trees.algorithm == "meshgemv" and entire:
        meshgemv_all_reduce(builder, line.axis, trees.groups or balanced_groups(line.length), data, op)
    elif planned:
        algorithm, parameters = _tree(lowering, line, entire)
        all_reduce(builder, line, data, op, algorithm, meanwhile=meanwhile, **parameters)
        return
    elif line.length > 1:
        chain_all_reduce(builder, line.segment(builder), data, op)
    if meanwhile is not None:
        meanwhile()


def _tree(lowering: Lowering, line: Line, entire: bool) -> tuple[str, dict[str, object]]:
    """The algorithm for a line of decode, with its parameters."""
    trees = lowering.trees
    if trees.algorithm != "auto" or lowering.target is None:
        groups = trees.groups if entire and trees.groups else tree_groups(line.length)
        return "k_tree", {"groups": groups}
    payload = Payload(ELEMENTS, lowering.other, "add", lowering.target)
    return "auto", {"payload": payload, "colors": COLORS if entire else PART_COLORS}


def tree_groups(length: int) -> tuple[int, ...]:
    """Group sizes of a tree over so many PEs, from the lowest level on.

    A stage of the upper level is longer by the hops between the roots of the lower one, so
    the lower groups are the larger ones.
    """
    if length <= SHORT:
        return (length,)
    lower = next(size for size in range(isqrt(length), length + 1) if size * size >= length)
    return lower, ceil_div(length, lower)
