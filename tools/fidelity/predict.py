"""What the emulator says of a measured row: the cycles of one round of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from meshc.standalone import GemmRing, Gemv
from meshrt.program.cost import unit_cycles
from meshrt.program.model import Program
from meshrt.run import RunOptions, run_program
from meshrt.target import Rates, Target, load_target
from tools.fidelity.measured import Row

#: Rounds after which a program is in its steady state: the first ones start with idle links and PEs in step.
WARM_UP = 2
#: Sides of grids from which a larger ring GEMM is extrapolated: a step more takes the same cycles more.
_SMALL = (16, 32)

_OPTIONS = RunOptions(timing_only=True)


@cache
def _program(kernel: Gemv | GemmRing) -> Program:
    """The program's text depends on the sizes of a target, not on its costs."""
    return kernel.program(load_target("wse3"))


def round_cycles(kernel: Gemv | GemmRing, target: Target) -> int:
    """Cycles of one round in the steady state of rounds run back to back."""
    ends = [
        int(run_program(_program(replace(kernel, rounds=rounds)), target, options=_OPTIONS).clocks.max())
        for rounds in (WARM_UP, WARM_UP + 1)
    ]
    return ends[1] - ends[0]


@cache
def extrapolated_cycles(kernel: GemmRing, target: Target) -> int:
    """:func:`round_cycles` of a ring GEMM on a large grid of even side, from two small ones: exact, and quick."""
    near, far = (round_cycles(replace(kernel, parts=side), target) for side in _SMALL)
    return near + (far - near) * (kernel.parts - _SMALL[0]) // (_SMALL[1] - _SMALL[0])


@cache
def predicted(row: Row, target: Target) -> int:
    """The cycles of a row on a target, large ring GEMMs extrapolated."""
    kernel = row.program
    if isinstance(kernel, GemmRing) and kernel.parts > _SMALL[1] and kernel.parts % 2 == 0:
        return extrapolated_cycles(replace(kernel, rounds=1), target)
    return round_cycles(kernel, target)


def with_costs(target: Target, cycles: Mapping[str, float]) -> Target:
    """The target with other cycles per event, by cause (see :mod:`meshrt.program.cost`); of a rate, one over it."""
    for cause, value in cycles.items():
        key, _, dtype = cause.partition(".")
        if dtype:
            rates = getattr(target, key)
            target = replace(target, **{key: Rates(tuple((d, 1 / value if d == dtype else rates[d]) for d in rates))})
        else:
            target = replace(target, **{key: round(value)})
    return target


def cost_of(target: Target, cause: str) -> float:
    """Cycles of one event of a cause."""
    return float(unit_cycles(target, cause))
