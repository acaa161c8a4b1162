"""What the emulator says of a measured row: the cycles of one round of many, and the events that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from meshc.standalone import GemmRing, Gemv
from meshrt.program.cost import CAUSES, unit_cycles
from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import Target, load_target
from tools.fidelity.measured import Row

#: Rounds after which a program is in its steady state: the first ones start with idle links and PEs in step.
WARM_UP = 2
#: Sides of grids from which the events of a larger ring GEMM are extrapolated: a step more has the same events more.
_SMALL = (16, 32)

#: Events on the critical path of a round, by cause; not whole where they are extrapolated, or for rounding.
Counts = Mapping[str, float]


@cache
def _program(kernel: Gemv | GemmRing) -> Program:
    """The program's text depends on the sizes of a target, not on its costs."""
    return kernel.program(load_target("wse3"))


def _ended(kernel: Gemv | GemmRing, target: Target, rounds: int, events: bool) -> RunResult:
    options = RunOptions(timing_only=True, events=events)
    return run_program(_program(replace(kernel, rounds=rounds)), target, options=options)


def round_cycles(kernel: Gemv | GemmRing, target: Target) -> int:
    """Cycles of one round in the steady state of rounds run back to back."""
    before, after = (int(_ended(kernel, target, rounds, False).clocks.max()) for rounds in (WARM_UP, WARM_UP + 1))
    return after - before


def round_events(kernel: Gemv | GemmRing, target: Target) -> Counts:
    """The events of :func:`round_cycles`, by cause: times the costs of the target they make the cycles."""
    before, after = (
        _ended(kernel, target, rounds, True).report["latency"]["events"] for rounds in (WARM_UP, WARM_UP + 1)
    )
    return {cause: after.get(cause, 0) - before.get(cause, 0) for cause in {**before, **after}}


@cache
def extrapolated_events(kernel: GemmRing, target: Target) -> Counts:
    """:func:`round_events` of a ring GEMM on a large grid of even side, from two small ones: exact, and quick."""
    near, far = (round_events(replace(kernel, parts=side), target) for side in _SMALL)
    steps = (kernel.parts - _SMALL[0]) / (_SMALL[1] - _SMALL[0])
    return {c: near.get(c, 0) + (far.get(c, 0) - near.get(c, 0)) * steps for c in {**near, **far}}


@cache
def row_events(row: Row, target: Target) -> Counts:
    """The events of a row on a target; those of large ring GEMMs are extrapolated."""
    kernel = row.program
    if isinstance(kernel, GemmRing) and kernel.parts > _SMALL[1] and kernel.parts % 2 == 0:
        return extrapolated_events(kernel, target)
    return round_events(kernel, target)


@cache
def predicted(row: Row, target: Target) -> int:
    """The cycles of a row on a target, run on a grid of its own side."""
    return round_cycles(row.program, target)


def price(events: Counts, target: Target) -> float:
    """Cycles of events at the costs of a target."""
    return sum(
        count * (float(unit_cycles(target, cause)) if cause in CAUSES else 1.0) for cause, count in events.items()
    )
