"""The cost model of *Near-Optimal Wafer-Scale Reduce* (Luczynski et al., HPDC'24).

A pattern of messages costs T = max(C, E/N + L) + (2 T_R + 1) D cycles, one word per link
and cycle: no PE takes its words faster than they come over its RAMP, the links carry what
they are given, and every message that waits for another one pays both RAMPs and a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PatternCost:
    """What a pattern of messages asks of the machine.

    ``contention`` (C): the most words into or out of one PE. ``energy`` (E): word-hops of
    all messages. ``links`` (N): links that may carry them. ``distance`` (L): hops of the
    longest way. ``depth`` (D): messages of the longest chain of those that wait for one another.
    """

    contention: int
    energy: int
    links: int
    distance: int
    depth: int

    def cycles(self, ramp_cycles: int = 2, hop_cycles: int = 1) -> float:
        """T, with the machine's T_R (``ramp_cycles``) and hop; the paper's machine by default."""
        flowing = self.energy / self.links + self.distance * hop_cycles if self.links else 0.0
        return max(self.contention, flowing) + (2 * ramp_cycles + 1) * self.depth
