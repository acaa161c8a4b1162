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

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from meshc.kernels.collectives.by_tree import ByTree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.plan import Plan
from meshc.kernels.estimate import Scaling
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


#: Sizes to try in all levels but the last, relative to those of equal levels, by the number of levels.
_FACTORS = {2: (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0), 3: (0.7, 1.0, 1.4), 4: (0.8, 1.2)}


def choices(length: int) -> Iterator[tuple[int, ...]]:
    """Group sizes worth pricing, for K of 2 to 4: those near equal levels, one way and the other."""
    if length < 4:
        return
    for levels, factors in _FACTORS.items():
        size = length ** (1 / levels)
        found = set()
        for lower in product(factors, repeat=levels - 1):
            sizes = [max(2, round(size * factor)) for factor in lower]
            rest = -(-length // prod(sizes))
            if rest > 1:
                found.add((*sizes, rest))
        yield from sorted(found)


def candidates(length: int, payload: Payload) -> Iterator[Parameters]:
    """The choices, as parameters."""
    for groups in choices(length):
        yield {"groups": groups}


_TREE = ByTree("k_tree", draw)
_SCALING = Scaling("1", "O(K)", "N / 2", "K N^(1/K) / 2", "WaferLLM, OSDI'25, section 6")
ALL_REDUCE = Collective(
    "all_reduce.k_tree",
    "K levels of groups, each a chain from both ends to its middle",
    _TREE.all_reduce,
    _TREE.all_reduce_estimate,
    _SCALING,
    candidates,
)
REDUCE = Collective("reduce.k_tree", ALL_REDUCE.meaning, _TREE.reduce, _TREE.reduce_estimate, _SCALING, candidates)
