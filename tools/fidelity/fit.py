"""The fit of a target's costs to the measured rows.

The cycles of a row are, on its critical path, a sum of events times their costs, and the
engine counts these events (:func:`counted`). So the relative errors of all rows are linear
in the costs, and a small non-negative least squares gives better ones (:func:`solved`).
Costs are whole cycles: of the whole numbers around the solution the best are taken. Then
the critical path may be another one, and all is done again, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, floor

import numpy as np

from meshrt.target import Target
from tools.fidelity.measured import Row
from tools.fidelity.predict import price, row_events

#: What is fitted: causes that share one number, which is their sum. How a move's cycles divide between its launch
#: and its end cannot be seen in the rows, where both come together.
FITTED = (
    ("vector_setup_cycles",),
    ("branch_cycles",),
    ("ramp_cycles",),
    ("async_launch_cycles", "task_wakeup_cycles"),
)
#: Rounds after which a fit that does not settle is given up.
_MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Linear:
    """Cycles of rows as long as their critical paths stay: ``rest`` [rows] and ``events`` [rows, numbers] x numbers."""

    rest: np.ndarray
    events: np.ndarray

    def at(self, numbers: np.ndarray) -> np.ndarray:
        """The cycles of each row."""
        return self.rest + self.events @ numbers

    def of(self, chosen: np.ndarray) -> Linear:
        """Only the chosen rows."""
        return Linear(self.rest[chosen], self.events[chosen])


def numbers_of(target: Target) -> np.ndarray:
    """The fitted numbers of a target, [numbers]."""
    return np.array([sum(getattr(target, cause) for cause in causes) for causes in FITTED], float)


def with_numbers(target: Target, numbers: Sequence[float]) -> Target:
    """The target with other fitted numbers, in whole cycles, each split evenly, the later cause having what is over."""
    costs: dict[str, int] = {}
    for causes, number in zip(FITTED, numbers, strict=True):
        for i, cause in enumerate(causes):
            costs[cause] = (round(number) + i) // len(causes)
    return replace(target, **costs)


def counted(rows: Sequence[Row], target: Target) -> Linear:
    """What the rows' critical paths on a target are made of."""
    counts = [row_events(row, target) for row in rows]
    events = np.array([[sum(c.get(cause, 0) for cause in causes) / len(causes) for causes in FITTED] for c in counts])
    fitted = {cause for causes in FITTED for cause in causes}
    rest = [price({cause: n for cause, n in c.items() if cause not in fitted}, target) for c in counts]
    return Linear(np.array(rest), events)


def solved(linear: Linear, measured: np.ndarray) -> np.ndarray:
    """The numbers, none negative, with the least squares of relative errors."""
    scale = linear.events / measured[:, None]
    rest = 1 - linear.rest / measured
    active = list(range(len(FITTED)))
    while True:
        found = np.zeros(len(FITTED))
        found[active] = np.linalg.lstsq(scale[:, active], rest, rcond=None)[0]
        if (found >= 0).all():
            return found
        active.remove(int(np.argmin(found)))


def _whole(linear: Linear, measured: np.ndarray) -> np.ndarray:
    """The best whole numbers around the solution."""
    near = solved(linear, measured)
    around = product(*(sorted({floor(number), ceil(number)}) for number in near))
    return min(
        (np.array(numbers, float) for numbers in around),
        key=lambda numbers: float(np.square(linear.at(numbers) / measured - 1).sum()),
    )


def fit(rows: Sequence[Row], target: Target, note: Callable[[str], None]) -> tuple[Target, Linear]:
    """The target with fitted costs, and what the rows are made of on it. ``note`` is told of every round."""
    measured = np.array([row.cycles for row in rows])
    tried: list[tuple[float, ...]] = []
    while True:
        linear, numbers = counted(rows, target), numbers_of(target)
        note(f"{_text(numbers)}: {errors(linear.at(numbers), measured)}")
        found = _whole(linear, measured)
        if (found == numbers).all() or tuple(found) in tried or len(tried) == _MOST_ROUNDS:
            return target, linear
        tried.append(tuple(found))
        target = with_numbers(target, found)


def left_out(linear: Linear, rows: Sequence[Row], group: Callable[[Row], Hashable]) -> np.ndarray:
    """Relative errors of rows predicted by fits to the rows of other groups."""
    measured = np.array([row.cycles for row in rows])
    found = np.zeros(len(rows))
    for key in dict.fromkeys(map(group, rows)):
        out = np.array([group(row) == key for row in rows])
        found[out] = linear.of(out).at(solved(linear.of(~out), measured[~out])) / measured[out] - 1
    return found


def errors(cycles: np.ndarray, measured: np.ndarray) -> str:
    """Mean and worst absolute relative error, as text."""
    error = np.abs(cycles / measured - 1)
    return f"mean {error.mean():.2%}, worst {error.max():.2%}"


def _text(numbers: np.ndarray) -> str:
    return ", ".join(f"{' + '.join(causes)} {n:g}" for causes, n in zip(FITTED, numbers, strict=True))
