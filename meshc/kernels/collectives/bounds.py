"""Energy of the best pre-order tree of each depth, and the bound that the paper's model draws from it (HPDC'24).

A pre-order tree over r PEs in a line has its root at an end; the message of its last child's s PEs
passes the r - s PEs before them. With d messages at most in a row the least energy,
in hops of one word, is::

    e(r, d) = min(e(r, d - 1), min over s of e(s, d - 1) + e(r - s, d) + r - s)

The model's lower bound for B words over P PEs is the least over d of B e(P, d) / (P - 1) + P - 1 +
d (2 T_R + 1): every link carries its share, then comes the way. A program may end sooner where words are under way on
some links while others carry theirs: a star of 8 PEs and one word takes 12 cycles, and its bound is 16.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from meshc.kernels.collectives.plan import Plan


@lru_cache(maxsize=8)
def energies(length: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """e(r, d) and the size of the last child, for r up to ``length`` (rows) and d up to ``depth`` (columns).

    A tree of more than one PE has no depth 0.
    """
    energy = np.full((length + 1, depth + 1), 1 << 40, np.int64)
    split = np.zeros_like(energy)
    energy[1] = 0
    for d in range(1, depth + 1):
        for r in range(2, length + 1):
            sizes = np.arange(1, r)
            found = energy[sizes, d - 1] + energy[r - sizes, d] + (r - sizes)
            best = int(found.argmin())
            energy[r, d], split[r, d] = found[best], sizes[best]
    return energy, split


def least_energy_tree(length: int, depth: int) -> Plan:
    """The pre-order tree of least energy with at most ``depth`` messages in a row, its root at position 0."""
    _, split = energies(length, depth)
    children: list[list[int]] = [[] for _ in range(length)]
    waiting = [(0, length, depth)]
    while waiting:
        root, size, levels = waiting.pop()
        while size > 1:
            last = int(split[size, levels])
            size -= last
            children[root].insert(0, root + size)
            waiting.append((root + size, last, levels - 1))
    return Plan(0, tuple(map(tuple, children)))


def lower_bound(length: int, words: int, ramp_cycles: int = 2, hop_cycles: int = 1) -> float:
    """The paper's bound for a reduction of so many words along a line, in cycles."""
    if length == 1:
        return 0.0
    stage = 2 * ramp_cycles + 1
    least = float("inf")
    depth = 1
    while depth < length and depth * stage < least:
        energy, _ = energies(length, min(length - 1, 1 << (depth - 1).bit_length()))
        flowing = words * energy[length, depth] / (length - 1) + (length - 1) * hop_cycles
        least = min(least, flowing + depth * stage)
        depth += 1
    return least
