"""The fit of a target's costs to the measured rows.

The cycles of a row are, on its critical path, a sum of events times their costs. Around a
target the counts of events are what a cycle more of each cost adds to the row
(:func:`counted`); with them the relative errors of all rows are linear in the costs, and a
small non-negative least squares gives better ones (:func:`solved`). Costs are whole cycles,
so of the whole numbers around the solution the best are taken, rates solved anew. Then
the critical path may be another one, and all is done again, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor

import numpy as np

from meshrt.target import Target
from tools.fidelity.measured import Row
from tools.fidelity.predict import cost_of, predicted, with_costs

#: What is fitted: causes that share one number. How a move's cycles divide between its launch and
#: its end cannot be seen in the rows, where both come together.
FITTED = (
    ("vector_setup_cycles",),
    ("vector_issue_cycles",),
    ("ramp_cycles",),
    ("async_launch_cycles", "task_wakeup_cycles"),
    ("fma_elements_per_cycle.f16",),
)
#: How much more a cost of whole cycles, or the cycles of one element, is made to count its events.
_STEP, _RATE_STEP = 1.0, 0.05
#: Rates are given with this many decimals.
_DECIMALS = 1
#: Rounds after which a fit that does not settle is given up.
_MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """Around one target: the cycles of each row, and its events of each fitted number, [rows, numbers]."""

    costs: np.ndarray
    cycles: np.ndarray
    events: np.ndarray

    def at(self, costs: np.ndarray) -> np.ndarray:
        """The cycles of each row at other costs, as long as the critical path is the same."""
        return self.cycles + self.events @ (costs - self.costs)


def _is_rate(causes: Sequence[str]) -> bool:
    return "." in causes[0]


def counted(rows: Sequence[Row], target: Target) -> Counts:
    """Cycles and events of rows on a target."""
    cycles = np.array([predicted(row, target) for row in rows], float)
    events = np.zeros((len(rows), len(FITTED)))
    for i, causes in enumerate(FITTED):
        step = _RATE_STEP if _is_rate(causes) else _STEP
        more = with_costs(target, {cause: cost_of(target, cause) + step for cause in causes})
        events[:, i] = (np.array([predicted(row, more) for row in rows]) - cycles) / step
    return Counts(np.array([cost_of(target, causes[0]) for causes in FITTED]), cycles, events)


def solved(counts: Counts, measured: np.ndarray) -> np.ndarray:
    """The costs, none negative, with the least squares of relative errors, by the linear model of ``counts``."""
    scale = counts.events / measured[:, None]
    rest = 1 - counts.at(np.zeros(len(FITTED))) / measured
    active = list(range(len(FITTED)))
    while True:
        found = np.zeros(len(FITTED))
        found[active] = np.linalg.lstsq(scale[:, active], rest, rcond=None)[0]
        if (found >= 0).all():
            return found
        active.remove(int(np.argmin(found)))


def _whole(counts: Counts, measured: np.ndarray) -> np.ndarray:
    """The best costs of whole cycles around the solution, and the rates that go with them."""
    best, least = counts.costs, np.inf
    near = solved(counts, measured)
    whole = [i for i, causes in enumerate(FITTED) if not _is_rate(causes)]
    rates = [i for i, causes in enumerate(FITTED) if _is_rate(causes)]
    for chosen in product(*({max(0, floor(near[i])), ceil(near[i])} for i in whole)):
        costs = near.copy()
        costs[whole] = chosen
        costs[rates] = 0
        rest = 1 - counts.at(costs) / measured
        per_element = np.linalg.lstsq(counts.events[:, rates] / measured[:, None], rest, rcond=None)[0]
        costs[rates] = 1 / np.round(1 / np.maximum(per_element, 1e-3), _DECIMALS)
        error = float(np.square(counts.at(costs) / measured - 1).sum())
        if error < least:
            best, least = costs, error
    return best


def as_costs(numbers: np.ndarray) -> dict[str, float]:
    """Cycles per event by cause."""
    return {cause: float(number) for causes, number in zip(FITTED, numbers, strict=True) for cause in causes}


def fit(rows: Sequence[Row], target: Target, note: Callable[[str], None]) -> tuple[Target, Counts]:
    """The target with fitted costs, and the counts around it. ``note`` is told of every round."""
    measured = np.array([row.cycles for row in rows])
    tried: list[tuple[float, ...]] = []
    while True:
        counts = counted(rows, target)
        note(f"{_costs(counts.costs)}: {errors(counts.cycles, measured)}")
        costs = _whole(counts, measured)
        if np.allclose(costs, counts.costs) or tuple(costs) in tried or len(tried) == _MOST_ROUNDS:
            return target, counts
        tried.append(tuple(costs))
        target = with_costs(target, as_costs(costs))


def left_out(counts: Counts, rows: Sequence[Row], group: Callable[[Row], Hashable]) -> np.ndarray:
    """Relative errors of rows predicted by fits to the rows of other groups."""
    measured = np.array([row.cycles for row in rows])
    found = np.zeros(len(rows))
    for key in dict.fromkeys(map(group, rows)):
        out = np.array([group(row) == key for row in rows])
        rest = Counts(counts.costs, counts.cycles[~out], counts.events[~out])
        found[out] = (counts.at(solved(rest, measured[~out])) / measured - 1)[out]
    return found


def errors(cycles: np.ndarray, measured: np.ndarray) -> str:
    """Mean and worst absolute relative error, as text."""
    error = np.abs(cycles / measured - 1)
    return f"mean {error.mean():.2%}, worst {error.max():.2%}"


def _costs(costs: np.ndarray) -> str:
    return ", ".join(
        f"{' + '.join(causes)} {1 / cost if _is_rate(causes) else cost:g}"
        for causes, cost in zip(FITTED, costs, strict=True)
    )
