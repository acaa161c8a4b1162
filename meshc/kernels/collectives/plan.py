"""The plan of a reduction along a line: who takes whose messages, and in which order.

Every reduction that is not a ring is a tree over the positions of a line whose subtrees are
stretches of it: a chain, a binary tree, two phases, a tree of groups and whatever a search
finds. An algorithm is a function that draws such a tree; one generator
(:mod:`meshc.kernels.collectives.emission`) makes a program of it, and one model
(:mod:`meshc.kernels.collectives.pace`) says what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import require_root


@dataclass(frozen=True)
class Plan:
    """A tree over the positions 0 to P - 1 of a line.

    ``children[p]`` are the positions whose partial results ``p`` takes, in that order; then it
    sends its own to its parent. What comes from the last one it need not store: it adds
    while the words pass. Every position but ``root`` has a parent.
    """

    root: int
    children: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        """PEs of the line."""
        return len(self.children)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """The parent of every position; the root's is the root."""
        found = [self.root] * self.length
        for parent, children in enumerate(self.children):
            for child in children:
                found[child] = parent
        return tuple(found)

    @property
    def digest(self) -> str:
        """Six digits that tell it from other plans over as many PEs."""
        return sha256(repr((self.root, self.children)).encode()).hexdigest()[:6]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All positions, each after its children."""
        found: list[int] = []
        waiting = [self.root]
        while waiting:
            position = waiting.pop()
            found.append(position)
            waiting += self.children[position]
        return tuple(reversed(found))

    @cached_property
    def longest_path(self) -> tuple[int, int]:
        """The most hops and the most stages from any position to the root."""
        hops, stages = [0] * self.length, [0] * self.length
        for p in reversed(self.order):
            if p != self.root:
                parent = self.parents[p]
                hops[p], stages[p] = hops[parent] + abs(parent - p), stages[parent] + 1
        return max(hops), max(stages)

    @cached_property
    def colors(self) -> tuple[int, ...]:
        """The color, from 0 on, of the message that each position sends; the root sends none and has -1.

        Messages whose paths share a router have different ones. Paths are intervals, so that
        taking the lowest free color from the first end of the line on needs no more of
        them than meet in one router.
        """
        ends = sorted((min(p, q), max(p, q), p) for p, q in enumerate(self.parents) if p != self.root)
        found = [-1] * self.length
        under_way: list[tuple[int, int]] = []
        for start, stop, sender in ends:
            under_way = [(end, color) for end, color in under_way if end >= start]
            taken = {color for _, color in under_way}
            found[sender] = next(color for color in range(len(taken) + 1) if color not in taken)
            under_way.append((stop, found[sender]))
        return tuple(found)

    @property
    def color_count(self) -> int:
        """Colors that the plan's messages need."""
        return max(self.colors, default=-1) + 1

    def cost(self, words: int) -> PatternCost:
        """What the plan asks of the machine of *Near-Optimal Wafer-Scale Reduce*."""
        hops = [abs(p - q) for p, q in enumerate(self.parents)]
        taken = max(len(children) for children in self.children)
        far = max(self.root, self.length - 1 - self.root)
        return PatternCost(words * taken, words * sum(hops), self.length - 1, far, self.longest_path[1])


#: Children by distance from the root, for the PEs on one side of it: entry 0 is the root's.
Arm = Sequence[Sequence[int]]


def both_sides(length: int, root: int, arm: Callable[[int], Arm]) -> Plan:
    """A plan whose root has an ``arm`` on each side, its argument the PEs of the arm with the root.

    The root takes from both sides in turn, the nearer one first. Raises M0618 for a root that is off the line.
    """
    require_root(length, root)
    children: list[tuple[int, ...]] = [()] * length
    at_root: list[tuple[int, int]] = []
    for sign, count in ((1, length - root), (-1, root + 1)):
        for distance, inner in enumerate(arm(count)):
            if distance:
                children[root + sign * distance] = tuple(root + sign * d for d in inner)
            else:
                at_root += [(d, root + sign * d) for d in inner]
    children[root] = tuple(position for _, position in sorted(at_root))
    return Plan(root, tuple(children))
