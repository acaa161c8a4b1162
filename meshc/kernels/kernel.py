"""What a kernel is: a distributed algorithm for one tile operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.lowering import Lowering
from meshrt.target import Target


def everywhere(op: Operation, width: int, height: int) -> str | None:
    """The condition of a kernel that runs on any grid."""
    return None


def unlimited(op: Operation, width: int, height: int, target: Target | None) -> None:
    """The check of a kernel whose only limits are those of the passes behind it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A distributed algorithm: which tile operation it carries out, on which grids, and how.

    ``applies(op, width, height)`` gives the reason why it cannot run an operation on a
    grid, or None. ``emit`` appends its buffers and code. ``meaning`` is one line. Of the
    kernels that apply, the one of the lowest ``rank`` is the default. ``check(op, width,
    height, target)`` raises a diagnostic where a chosen kernel cannot do what is asked of it,
    and the reason says more than that no kernel applies.

    ``estimate(op, site)`` predicts what the operation costs there: see
    :class:`meshc.kernels.estimate.Estimate`. ``scaling`` says how that grows with the grid.
    """

    name: str
    operation: str
    meaning: str
    emit: Callable[[Operation, Lowering], None]
    applies: Callable[[Operation, int, int], str | None] = everywhere
    rank: int = 0
    estimate: Callable[[Operation, Site], Estimate] | None = None
    scaling: Scaling | None = None
    check: Callable[[Operation, int, int, Target | None], None] = unlimited
