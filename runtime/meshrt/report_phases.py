"""The report's phases: what each of them took of the machine, from what the engine counted.

A phase ends when the last PE has left it; it lasts from the end of the one before. What its
operations did belongs to it whenever they did it, so a PE that is ahead works for a phase that
has not begun. What it waited there does not: the other phase is what it waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meshrt.energy import row_joules, summed
from meshrt.engines.result import Finished, Row
from meshrt.program.fabric import neighbours
from meshrt.program.memory_map import memory_map
from meshrt.program.model import Program, Region
from meshrt.program.phases import Phases
from meshrt.target import Target

_CLOCK, _HOPS, _STAGES, _BEGIN = range(4)


@dataclass(frozen=True, slots=True)
class _Moment:
    """The end of a phase, and the critical path to it."""

    cycle: int = 0
    hops: int = 0
    stages: int = 0


def report_phases(program: Program, target: Target, finished: Finished, name: str) -> list[dict[str, Any]]:
    """One object for each phase, in the order in which they end; ``name`` is that of one that has none."""
    phases = Phases.of(program)
    sizes = [region.width * region.height for region in program.regions]
    bounds = np.cumsum([0, *sizes])
    moments = [_end(ends) for ends in finished.phase_ends]
    order = sorted(range(len(moments)), key=lambda p: moments[p].cycle)
    # The run ends with the last of them, and with what it tells the host.
    moments[order[-1]] = _Moment(finished.cycles, finished.hops, finished.stages)
    before = _Moment()
    told = []
    for p in order:
        clocks = finished.phase_ends[p][:, _CLOCK]
        present = [r for r in range(len(sizes)) if len(order) == 1 or clocks[bounds[r] : bounds[r + 1]].any()]
        inside = np.concatenate([np.arange(bounds[r], bounds[r + 1]) for r in present] or [np.zeros(0, np.int64)])
        early = int((before.cycle - finished.phase_ends[p][inside, _BEGIN]).clip(0).sum())
        rows = [row for row in finished.rows if (phases.of_op[row.op] if row.op >= 0 else -1 - row.op) == p]
        phase = _Phase(program, target, finished, present, inside, rows, before, moments[p], early)
        told.append({"name": phases.names[p] or name, **phase.report()})
        before = moments[p]
    return told


def _end(ends: np.ndarray) -> _Moment:
    """When the last PE left a phase; of critical paths that end at once the one with fewer stages, then hops."""
    if not len(ends):
        return _Moment()
    last = ends[ends[:, _CLOCK] == ends[:, _CLOCK].max()]
    cycle, hops, stages = last[np.lexsort((last[:, _HOPS], last[:, _STAGES]))[0], :_BEGIN].tolist()
    return _Moment(cycle, hops, stages)


@dataclass(frozen=True, slots=True)
class _Phase:
    """One phase: its regions by number, their PEs, and the rows of its operations, from one moment to another.

    ``early`` are the PE cycles that passed before it began and in which its PEs had come to it.
    """

    program: Program
    target: Target
    finished: Finished
    regions: Sequence[int]
    pes: np.ndarray
    rows: Sequence[Row]
    start: _Moment
    end: _Moment
    early: int

    def report(self) -> dict[str, Any]:
        """All fields but the name."""
        cycles = max(0, self.end.cycle - self.start.cycle)
        pe_cycles = max(1, len(self.pes) * cycles)
        macs = sum(row.macs for row in self.rows)
        peak_rate = max(self.target.fma_elements_per_cycle.values())
        waits = max(0, sum(row.waits for row in self.rows) - self.early)
        regions = [self.program.regions[r] for r in self.regions]
        memory = [memory_map(replace(self.program, regions=(region,)), self.target) for region in regions]
        return {
            "regions": [region.name for region in regions],
            "cycles": cycles,
            "seconds": cycles / self.target.clock_hz,
            "joules": self._joules(cycles),
            "parallelism": {
                "pes": len(self.pes),
                "busy_fraction": min(1.0, sum(row.busy for row in self.rows) / pe_cycles),
                "macs": macs,
                "mac_utilization": min(1.0, macs / (pe_cycles * peak_rate)),
            },
            "latency": {
                "critical_hops": max(0, self.end.hops - self.start.hops),
                "critical_stages": max(0, self.end.stages - self.start.stages),
                "wait_fraction": min(1.0, waits / pe_cycles),
            },
            "memory": {
                "peak_bytes": max((m.peak_bytes for m in memory), default=0),
                "code_bytes": max((m.code_bytes for m in memory), default=0),
            },
            "routing": self._routing(regions, cycles),
        }

    def _routing(self, regions: Sequence[Region], cycles: int) -> dict[str, Any]:
        links = int((neighbours(regions) >= 0).sum()) * self.target.link_words_per_cycle
        crossed = sum(row.word_hops for row in self.rows)
        told: dict[str, Any] = {
            "colors_peak": int(self.finished.router_colors[self.pes].max(initial=0)),
            "words": sum(row.words for row in self.rows),
            "mean_link_utilization": min(1.0, crossed / max(1, links * cycles)),
        }
        if len(regions) == 1:
            told["max_link_words"] = int(self.finished.link_words[self.pes].max(initial=0))
        return told

    def _joules(self, cycles: int) -> float:
        """Energy of the operations; static power is that of all PEs of the program while the phase lasts."""
        pes = len(self.finished.clocks)
        joules = summed(row_joules(self.target, row, pes) for row in self.rows)
        joules["static"] = self.target.pe_static_watts * pes * cycles / self.target.clock_hz
        return sum(joules.values())
