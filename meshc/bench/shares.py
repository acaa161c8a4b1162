"""What a critical path is made of: computing, transferring, waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshrt.program.cost import unit_cycles
from meshrt.target import Target

#: Where the cycles of a cause go; those that are not named here are computing: instructions at work in a PE.
TRANSFER = (
    "ramp_cycles",
    "hop_cycles",
    "word_cycles",
    "async_launch_cycles",
    "task_wakeup_cycles",
    "route_write_cycles",
)
WAIT = ("waited_cycles",)


@dataclass(frozen=True, slots=True)
class Shares:
    """Cycles of a critical path. They add up to its length.

    ``compute``: instructions at work. ``transfer``: launching, moving and taking words.
    ``wait``: words that waited for a link or for room.
    """

    compute: float
    transfer: float
    wait: float

    def less(self, compute: float) -> Shares:
        """Without so many cycles of computing."""
        return Shares(self.compute - compute, self.transfer, self.wait)


def shares_by_event(events: Mapping[str, float], target: Target) -> Shares:
    """The shares of the events of a critical path (``latency.events`` of a report), at the target's prices."""
    cycles = {"compute": 0.0, "transfer": 0.0, "wait": 0.0}
    for cause, count in events.items():
        kind = "transfer" if cause in TRANSFER else "wait" if cause in WAIT else "compute"
        cycles[kind] += float(count) if cause == "rounding_cycles" else float(count * unit_cycles(target, cause))
    return Shares(**cycles)
