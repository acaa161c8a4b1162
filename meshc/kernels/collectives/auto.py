"""``auto``: the tree found for the payload and the target, or a known one where that is faster (HPDC'24, auto-gen).

The search (:mod:`meshc.kernels.collectives.search`) goes through pre-order trees and those with
heads amid their stretches; of what it finds and of the chains, binary trees, two phases and K-trees
that the colors allow, ``auto`` takes the one that is predicted to end first. So it is never slower than
these in the cost model.

Memory: none beside the data. Colors: as many as are allowed at most, 6 by default; with 4 an
all-reduce takes a few percent longer on 720 PEs. Critical path: what the search balances, stages against hops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from meshc.kernels.collectives import chain, k_tree, tree, two_phase
from meshc.kernels.collectives.by_tree import ByTree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.pace import Payload, all_reduce_estimate, reduce_estimate
from meshc.kernels.collectives.plan import Plan
from meshc.kernels.collectives.search import fastest
from meshc.kernels.estimate import Scaling

#: Colors that a tree may take of a router where nothing else is said.
COLORS = 6


@lru_cache(maxsize=64)
def draw_all_reduce(length: int, payload: Payload, colors: int = COLORS) -> Plan:
    """The tree of the all-reduce that is predicted to end first."""
    middle = length // 2
    known = [
        chain.draw(length, 0),
        chain.draw(length, middle),
        tree.draw(length, middle),
        two_phase.draw(length, middle),
        *(k_tree.draw(length, groups) for groups in k_tree.choices(length)),
    ]
    plans = _fitting(known, fastest(length, middle, payload, colors), colors)
    return min(plans, key=lambda plan: all_reduce_estimate(plan, payload).cycles)


@lru_cache(maxsize=64)
def draw_reduce(length: int, payload: Payload, root: int = 0, colors: int = COLORS) -> Plan:
    """The tree of the reduction to ``root`` that is predicted to end first."""
    known = [draw(length, root) for draw in (chain.draw, tree.draw, two_phase.draw)]
    plans = _fitting(known, fastest(length, root, payload, colors), colors)
    return min(plans, key=lambda plan: reduce_estimate(plan, payload).cycles)


def _fitting(known: Iterable[Plan], found: Plan | None, colors: int) -> list[Plan]:
    """The known plans of so many colors at most, and what was found with them."""
    return [plan for plan in known if plan.color_count <= colors] + ([found] if found is not None else [])


def candidates(length: int, payload: Payload) -> Iterator[Parameters]:
    """One of few colors and one of the usual number."""
    yield {"colors": 4}
    yield {"colors": COLORS}


_ALL_REDUCE, _REDUCE = ByTree("auto", draw_all_reduce, priced=True), ByTree("auto_to", draw_reduce, priced=True)
_MEANING = "the fastest tree that a search finds for the payload and the target"
_SCALING = Scaling("1", "O(C)", "N / 2", "about log N", "Luczynski et al., HPDC'24")
ALL_REDUCE = Collective(
    "all_reduce.auto",
    _MEANING,
    _ALL_REDUCE.all_reduce,
    _ALL_REDUCE.all_reduce_estimate,
    _SCALING,
    candidates,
    priced=True,
)
REDUCE = Collective(
    "reduce.auto",
    _MEANING,
    _REDUCE.reduce,
    _REDUCE.reduce_estimate,
    _SCALING,
    candidates,
    takes=frozenset({"root"}),
    priced=True,
)
