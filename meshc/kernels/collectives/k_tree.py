"""``k_tree``: K levels of groups, each a chain from both of its ends to its middle (WaferLLM section 6, K-tree).

The P PEs of a line lie in groups of ``g_0``, the roots of those in groups of ``g_1``, and so
on, until one is left; a last group may be shorter. In a level every group is a two-sided
streaming chain to its member ``g // 2``. Members of a higher level are far apart; the PEs
between them only route. Nine PEs in groups of 3 x 3::

    PE        0    1    2    3    4    5    6    7    8
    level 0   0 -> 1 <- 2    3 -> 4 <- 5    6 -> 7 <- 8
    level 1        1 -----------> 4 <----------- 7

Cost of a level whose members are s hops apart, for B words: 2 B + (s hop + 2 T_R + 1) g / 2
cycles and g / 2 stages; with K levels of P^(1/K) about K P^(1/K) / 2 stages. Critical path: the
last group's farther half in every level. Colors: two for each level. Memory: none beside the data.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshc.kernels.collectives.plan import Plan
from meshrt.diagnostics import MeshError


def draw(length: int, groups: Sequence[int]) -> Plan:
    """The tree of groups, their sizes from the lowest level on.

    Raises M0616 where a size is below 1 or more than one PE is left after the last level.
    """
    children: list[list[int]] = [[] for _ in range(length)]
    members = list(range(length))
    for size in groups if min(groups, default=1) > 0 else ():
        cut = [members[at : at + size] for at in range(0, len(members), size)]
        members = []
        for group in cut:
            middle = len(group) // 2
            # The shorter side first: it is there first.
            for at in range(len(group) - 2, middle - 1, -1):
                children[group[at]].append(group[at + 1])
            for at in range(1, middle + 1):
                children[group[at]].append(group[at - 1])
            members.append(group[middle])
    if len(members) > 1 or min(groups, default=1) < 1:
        raise _misfit(length, groups, len(members))
    return Plan(members[0], tuple(map(tuple, children)))


def _misfit(length: int, groups: Sequence[int], left: int) -> MeshError:
    sizes = " x ".join(map(str, groups)) or "no groups"
    wrong = (
        "a group has one PE at least" if min(groups, default=1) < 1 else f"{left} PEs would be left, each with a part"
    )
    return MeshError(
        "M0616",
        f"a tree of {sizes} does not cover the line: the axis has {length} PEs, and {wrong}",
        helps=["choose group sizes, from the lowest level on, whose product is at least the PEs of the line"],
    )
