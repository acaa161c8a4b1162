"""What the emulator says of a measured row: the cycles of one round of many, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from meshc.standalone import GemmRing, Gemv
from meshrt.program.cost import unit_cycles
from meshrt.program.model import Program
from meshrt.run import RunOptions, run_program
from meshrt.target import Rates, Target, load_target

#: Rounds after which a program is in its steady state: the first ones start with idle links and PEs in step.
WARM_UP = 3

_OPTIONS = RunOptions(timing_only=True)


@cache
def _program(kernel: Gemv | GemmRing) -> Program:
    """The program's text depends on the sizes of a target, not on its costs."""
    return kernel.program(load_target("wse3"))


def round_cycles(kernel: Gemv | GemmRing, target: Target, warm_up: int = WARM_UP) -> int:
    """Cycles of one round in the steady state of rounds run back to back."""
    ends = (
        run_program(_program(replace(kernel, rounds=rounds)), target, options=_OPTIONS).clocks.max()
        for rounds in (warm_up, warm_up + 1)
    )
    first, second = map(int, ends)
    return second - first


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


def costs_of(target: Target, causes: tuple[str, ...]) -> dict[str, float]:
    """Cycles per event of these causes."""
    return {cause: float(unit_cycles(target, cause)) for cause in causes}
