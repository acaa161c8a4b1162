"""What could carry out an operation: kernels and schedules, with what each costs or why it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.kernel import Kernel
from meshc.kernels.pins import Pin
from meshc.kernels.schedule import Schedule, agrees, schedule_of, schedule_text, scheduled
from meshrt.diagnostics import MeshError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kernel with a schedule, for one operation.

    ``estimate`` is what it would cost, where that can be known; ``obstacle`` says why it cannot be
    chosen at all: its own limits, or that another one is pinned. ``order`` is its place among all.
    """

    kernel: Kernel
    schedule: Schedule = field(default_factory=dict)
    estimate: Estimate | None = None
    obstacle: str = ""
    order: int = 0

    @property
    def cost(self) -> tuple[bool, int, int, int]:
        """What the fastest has least of; equals are told apart by memory, then by their order."""
        known = self.estimate
        return known is None, known.cycles if known else 0, known.bytes if known else 0, self.order

    @property
    def spread(self) -> tuple[bool, int, int]:
        """What the one with the fewest colors has least of."""
        return self.estimate is None, self.estimate.colors if self.estimate else 0, self.order


@dataclass(slots=True)
class Choice:
    """One operation, its candidates, and the one that is chosen.

    ``rounds``: how often it runs. ``unfit``: by order of a candidate, why the program does not fit
    with it. ``pinned``: whether the kernel was given beforehand.
    """

    op: Operation
    candidates: Sequence[Candidate]
    rounds: int
    pinned: bool
    chosen: Candidate
    unfit: dict[int, str] = field(default_factory=dict)

    @property
    def possible(self) -> list[Candidate]:
        """The candidates that may be chosen."""
        return [candidate for candidate in self.candidates if not candidate.obstacle]

    @property
    def cycles(self) -> int:
        """Predicted cycles of all rounds; 0 where nothing is predicted."""
        return self.rounds * self.chosen.estimate.cycles if self.chosen.estimate else 0

    def choose(self, candidate: Candidate) -> None:
        """Take a candidate: the operation gets its algorithm and its schedule."""
        self.chosen = candidate
        self.op.attributes["algorithm"] = candidate.kernel.name
        self.op.attributes.pop("schedule", None)
        if candidate.schedule:
            self.op.attributes["schedule"] = dict(candidate.schedule)


def choice_for(
    op: Operation, kernels: Sequence[Kernel], pin: Pin | None, grid: tuple[int, int], site: Site | None, rounds: int
) -> Choice:
    """The candidates for an operation, the fastest one chosen: without a ``site``, the first one.

    What the operation carries counts before the ``pin``. Raises M0405 where nothing can be chosen,
    and what the check of a kernel raises where that is why.
    """
    name = op.attributes.get("algorithm") or (pin.kernel.name if pin else None)
    pinned = dict(pin.schedule) if pin and pin.kernel.name == name else {}
    pinned.update(schedule_of(op))
    candidates: list[Candidate] = []
    failures: list[MeshError] = []
    for kernel in kernels:
        if name not in (None, kernel.name):
            # Shown for comparison only.
            candidates += _schedules(op, kernel, {}, grid, site, len(candidates), f"{name} is pinned")
            continue
        reason = kernel.applies(op, *grid)
        if reason is not None:
            candidates.append(Candidate(kernel, obstacle=reason, order=len(candidates)))
            continue
        found = _schedules(op, kernel, pinned, grid, site, len(candidates), "")
        if not found:
            raise _no_schedule(op, kernel, pinned, grid)
        for candidate in found:
            try:
                made = scheduled(op, kernel.name, candidate.schedule)
                kernel.check(made, *grid, site.target if site else None)
            except MeshError as error:
                failures.append(error)
                reason = error.diagnostic.message
                candidate = Candidate(kernel, candidate.schedule, candidate.estimate, reason, candidate.order)
            candidates.append(candidate)
    possible = [candidate for candidate in candidates if not candidate.obstacle]
    if not possible:
        raise failures[0] if failures else _no_kernel(op, candidates, kernels, name, grid)
    chosen = min(possible, key=lambda candidate: candidate.cost) if site else possible[0]
    return Choice(op, candidates, rounds, name is not None, chosen)


def title(choice: Choice) -> str:
    """Which operation it is: what a report calls it, and how often it runs."""
    times = f", {choice.rounds} times" if choice.rounds > 1 else ""
    return f"{choice.op.name.removeprefix('tile.')} {choice.op.location.scope}".strip() + times


def _schedules(
    op: Operation,
    kernel: Kernel,
    pinned: Schedule,
    grid: tuple[int, int],
    site: Site | None,
    order: int,
    obstacle: str,
) -> list[Candidate]:
    """A kernel with each of its schedules that agrees with what is pinned."""
    if obstacle and kernel.applies(op, *grid) is not None:
        return []
    found = []
    for schedule in kernel.schedules(op, *grid):
        if agrees(schedule, pinned):
            made = scheduled(op, kernel.name, schedule)
            estimate = kernel.estimate(made, site) if kernel.estimate is not None and site is not None else None
            found.append(Candidate(kernel, schedule, estimate, obstacle, order + len(found)))
    return found


def _no_kernel(
    op: Operation,
    candidates: Sequence[Candidate],
    kernels: Sequence[Kernel],
    name: str | None,
    grid: tuple[int, int],
) -> MeshError:
    """No kernel applies, or none has the name that is pinned."""
    wanted = [c for c in candidates if name in (None, c.kernel.name)]
    reasons = [f"{c.kernel.name}: {c.obstacle}" for c in wanted]
    if not reasons:
        reasons = [f"{op.name} is carried out by {', '.join(kernel.name for kernel in kernels)}"]
    named = f" under the name {name}" if name else ""
    return MeshError(
        "M0405",
        f"no kernel for {op.name} applies on a grid of {grid[0]}x{grid[1]}{named}",
        place=op.location.place,
        notes=reasons,
        helps=["`meshc kernels` lists the kernels and what each needs"],
    )


def _no_schedule(op: Operation, kernel: Kernel, pinned: Schedule, grid: tuple[int, int]) -> MeshError:
    """A kernel has no schedule with what is pinned."""
    offered = [schedule_text(schedule) or "no schedule" for schedule in kernel.schedules(op, *grid)]
    return MeshError(
        "M0411",
        f"{kernel.name} has no schedule with {schedule_text(pinned)} for {op.name} on a grid of {grid[0]}x{grid[1]}",
        place=op.location.place,
        notes=[f"it has: {'; '.join(offered)}"],
        helps=["pin less of the schedule, and the rest is chosen by cost"],
    )
