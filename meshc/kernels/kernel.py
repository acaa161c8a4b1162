"""What a kernel is: a distributed algorithm for one tile operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.lowering import Lowering
from meshc.kernels.schedule import Schedule
from meshrt.target import Target


def everywhere(op: Operation, width: int, height: int) -> str | None:
    """The condition of a kernel that runs on any grid."""
    return None


def unlimited(op: Operation, width: int, height: int, target: Target | None) -> None:
    """The check of a kernel whose only limits are those of the passes behind it."""


def one_schedule(op: Operation, width: int, height: int) -> Sequence[Schedule]:
    """The schedules of a kernel that leaves nothing to choose."""
    return ({},)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A distributed algorithm: which tile operation it carries out, on which grids, and how.

    ``applies(op, width, height)`` gives the reason why it cannot run an operation on a
    grid, or None. ``emit`` appends its buffers and code. ``meaning`` is one line. ``check(op,
    width, height, target)`` raises a diagnostic where a chosen kernel cannot do what is asked of
    it, and the reason says more than that no kernel applies.

    ``schedules(op, width, height)`` lists what may be chosen besides the algorithm, the default
    first (:mod:`meshc.kernels.schedule`); ``applies`` has said before that the kernel can run.
    ``estimate(op, site)`` predicts what the operation costs there, with the ``schedule`` that
    it carries: see :class:`meshc.kernels.estimate.Estimate`. The kernel and schedule of the
    fewest cycles that fit are chosen. One without an estimate is chosen where none has one, or
    where it is pinned; without a target there are no prices, and the lowest ``rank`` is
    chosen, which is also how equals are told apart. ``scaling`` says how costs grow with the grid.
    """

    name: str
    operation: str
    meaning: str
    emit: Callable[[Operation, Lowering], None]
    applies: Callable[[Operation, int, int], str | None] = everywhere
    rank: int = 0
    estimate: Callable[[Operation, Site], Estimate] | None = None
    scaling: Scaling | None = None
    schedules: Callable[[Operation, int, int], Sequence[Schedule]] = one_schedule
    check: Callable[[Operation, int, int, Target | None], None] = unlimited
