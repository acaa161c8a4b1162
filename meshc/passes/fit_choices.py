"""Choices that fit together: the fastest ones with which the whole program has enough memory and colors.

What a kernel takes beside its tiles follows only from the program: its code, the streams that
it shares with others, what lives while it runs. Lowering a program takes some hundredths of a
second on any grid, so whether choices fit is found by lowering it with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshc.ir.clone import clone
from meshc.ir.core import Module, Operation
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.candidates import Candidate, Choice, title
from meshc.passes.code_size import code_size
from meshc.passes.place import Place
from meshc.passes.plan_memory import PlanMemory
from meshrt.diagnostics import MeshError
from meshrt.target import Target

#: A program that has too little memory, and one that has too few colors.
TOO_LARGE, TOO_COLORFUL = "M0401", "M0406"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of lowering the program: why it does not fit, and the bytes of the fullest PE and of its code.

    Both are 0 where there were too few colors.
    """

    error: MeshError | None
    peak: int
    code: int


def lower(func: Operation, context: PassContext) -> Trial:
    """Lower a copy of the function, as its choices are. Others of its module have PEs of their own."""
    copy = alone(func)
    error = None
    try:
        for each in (Place(), AllocateColors(), PlanMemory()):
            each.run(copy, context)
    except MeshError as raised:
        if raised.diagnostic.code not in (TOO_LARGE, TOO_COLORFUL):
            raise
        error = raised
    attributes = copy.body.ops[0].attributes
    return Trial(error, attributes.get("peak_bytes", 0), attributes.get("code_bytes", 0))


def alone(func: Operation) -> Module:
    """A module with a copy of one function."""
    only = Module("tile")
    only.body.ops = [func]
    return clone(only)


def fit(func: Operation, choices: Sequence[Choice], context: PassContext) -> None:
    """Change choices until the function's program fits.

    Where the fastest candidates do not fit together, this starts from those of the least memory
    (or, where these need too many colors, of the fewest colors) and takes each faster candidate
    with which the program still fits, those first that save most. Raises M0401 or M0406 where
    there is nothing to start from; a note names the kernels that were pinned.
    """
    assert context.target is not None
    several = [choice for choice in choices if len(choice.possible) > 1]
    pinned = [choice for choice in choices if choice.pinned and len(choice.candidates) > 1]
    if not several and not pinned:
        return
    trial = lower(func, context)
    if trial.error is None:
        return
    try:
        if not several:
            raise trial.error
        _Search(func, several, context, context.target).run(trial)
    except MeshError as error:
        raise _with_pins(error, pinned) from None


def _with_pins(error: MeshError, pinned: Sequence[Choice]) -> MeshError:
    """The diagnostic, and what the pinned kernels take, the largest first."""
    d = error.diagnostic
    known = [(choice.chosen.estimate, choice) for choice in pinned if choice.chosen.estimate]
    notes = [
        f"{choice.chosen.kernel.name} is pinned for {title(choice)}, where it takes {estimate.bytes:,} bytes beside "
        f"its operand and result, and {estimate.colors} colors"
        for estimate, choice in sorted(known, key=lambda each: -each[0].bytes)[:3]
    ]
    return MeshError(d.code, d.message, place=d.place, notes=[*d.notes, *notes], helps=d.helps)


@dataclass
class _Search:
    """The search of one program: its open choices, and the code of candidates as far as it was asked for."""

    func: Operation
    choices: Sequence[Choice]
    context: PassContext
    target: Target
    _code: dict[tuple[int, int], int] = field(default_factory=dict)

    def run(self, first: Trial) -> None:
        """See :func:`fit`; ``first`` is what came of the fastest candidates."""
        assert first.error is not None
        if first.peak and not self._within_reach(first):
            raise first.error
        trial = self._take(self._leanest)
        if trial.error is not None and trial.error.diagnostic.code == TOO_COLORFUL:
            trial = self._take(lambda _, candidate: candidate.spread)
        if trial.error is not None:
            raise trial.error
        for number, candidate in self._gains():
            trial = self._improve(number, candidate, trial)

    def _within_reach(self, trial: Trial) -> bool:
        """Whether it could fit if no choice had any code, and that of the most memory no buffers."""
        largest = max((c.chosen.estimate.bytes for c in self.choices if c.chosen.estimate), default=0)
        return trial.peak - self.target.sram_bytes <= trial.code - self.target.runtime_bytes + largest

    def _take(self, key: Callable[[int, Candidate], tuple]) -> Trial:
        """Let all choices take the candidate of the least ``key``."""
        for number, choice in enumerate(self.choices):
            choice.choose(min(choice.possible, key=lambda candidate: key(number, candidate)))
        return lower(self.func, self.context)

    def _leanest(self, number: int, candidate: Candidate) -> tuple:
        size = candidate.estimate.bytes if candidate.estimate else 0
        return size + self._code_of(number, candidate), candidate.order

    def _code_of(self, number: int, candidate: Candidate) -> int:
        """Bytes of a candidate's code."""
        key = number, candidate.order
        if key not in self._code:
            choice = self.choices[number]
            count = code_size(self.func, choice.op, candidate, self.context)
            self._code[key] = self.target.code_bytes(count) - self.target.runtime_bytes
        return self._code[key]

    def _gains(self) -> list[tuple[int, Candidate]]:
        """What could be taken instead, with the number of its choice; what saves most cycles comes first."""
        found = []
        for number, choice in enumerate(self.choices):
            for candidate in choice.possible:
                if candidate.estimate is not None and candidate.cost < choice.chosen.cost:
                    saved = choice.cycles - choice.rounds * candidate.estimate.cycles
                    found.append((-saved, number, candidate.cost, candidate))
        return [(number, candidate) for _, number, _, candidate in sorted(found, key=lambda each: each[:3])]

    def _improve(self, number: int, candidate: Candidate, now: Trial) -> Trial:
        """Take a faster candidate if the program fits with it."""
        choice, before = self.choices[number], self.choices[number].chosen
        if candidate.cost >= before.cost:
            return now
        # More code moves everything else up, whatever its own buffers do.
        more = self._code_of(number, candidate) - self._code_of(number, before)
        if before.estimate and candidate.estimate:
            more += min(0, candidate.estimate.bytes - before.estimate.bytes)
        if now.peak + more > self.target.sram_bytes:
            choice.unfit[candidate.order] = f"does not fit: {now.peak + more - self.target.sram_bytes:,} bytes too many"
            return now
        choice.choose(candidate)
        trial = lower(self.func, self.context)
        if trial.error is None:
            return trial
        choice.unfit[candidate.order] = self._reason(trial)
        choice.choose(before)
        return now

    def _reason(self, trial: Trial) -> str:
        assert trial.error is not None
        if trial.error.diagnostic.code == TOO_LARGE:
            return f"does not fit: {trial.peak - self.target.sram_bytes:,} bytes too many"
        return f"does not fit: {trial.error.diagnostic.message}"
