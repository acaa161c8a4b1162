"""Program text to linear code: a list of steps with jumps, in which every PE has one place.

Each step knows the loops around it and the row of the op table it belongs to. A *place*
of a PE is a step and the values of the counters of the loops around it. Places are
ordered by how far they are: the engine always runs the PEs that are furthest behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshrt.program.expr import Expr, Int, minimum
from meshrt.program.model import Code, For, If, Instruction, OpScope, Statement, Until, View
from meshrt.program.phases import Phases


@dataclass(frozen=True, slots=True)
class Execute:
    """An instruction; ``number`` is unique in the program."""

    instruction: Instruction
    number: int


@dataclass(frozen=True, slots=True)
class Enter:
    """The entry of a loop, before its head: the counter starts here."""

    counter: str
    start: Expr
    line: int


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a ``for``: to ``end`` when the counter has reached the stop."""

    counter: str
    stop: Expr
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Before the end of the body of a ``for`` with a flag: out of the loop, to ``end``, where it is not zero."""

    flag: View
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """The end of a ``for`` body: the counter goes up by one, on to ``head``."""

    head: int


@dataclass(frozen=True, slots=True)
class Branch:
    """To ``otherwise`` where the condition is zero."""

    condition: Expr
    otherwise: int
    line: int


@dataclass(frozen=True, slots=True)
class Jump:
    """To another step."""

    target: int


@dataclass(frozen=True, slots=True)
class Again:
    """The end of an ``until`` body: on to ``head`` while the flag is zero."""

    flag: View
    head: int
    line: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a phase and the begin of the one that follows, which are noted and take no time."""

    phase: int
    following: int


@dataclass(frozen=True, slots=True)
class End:
    """The end of the code."""


Step = Execute | Enter | Head | Leave | Repeat | Branch | Jump | Again | Mark | End


@dataclass(frozen=True, slots=True)
class LinearCode:
    """The steps of one code; ``loops[i]`` are the heads of the loops around step i.

    ``ops[i]`` is the op of step i; what belongs to none in phase p has op -1 - p. It ends in ``last_phase``.
    """

    code: Code
    steps: tuple[Step, ...]
    loops: tuple[tuple[int, ...], ...]
    ops: tuple[int, ...]
    last_phase: int

    def counters(self, step: int) -> tuple[str, ...]:
        """Names of the counters of the loops around a step, outermost first; "" for an ``until``."""
        names = []
        for head in self.loops[step]:
            at = self.steps[head]
            names.append(at.counter if isinstance(at, Head) else "")
        return tuple(names)


class _Flattener:
    def __init__(self, first_number: int, values: bool, until_rounds: int | None):
        self.values = values
        self.until_rounds = until_rounds
        self.steps: list[Step | None] = []
        self.loops: list[tuple[int, ...]] = []
        self.ops: list[int] = []
        self.number = first_number

    def add(self, step: Step | None, loops: tuple[int, ...], op: int) -> int:
        self.steps.append(step)
        self.loops.append(loops)
        self.ops.append(op)
        return len(self.steps) - 1

    def body(self, statements: tuple[Statement, ...], loops: tuple[int, ...], op: int) -> None:
        for statement in statements:
            self.statement(statement, loops, op)

    def statement(self, statement: Statement, loops: tuple[int, ...], op: int) -> None:
        match statement:
            case Instruction():
                self.add(Execute(statement, self.number), loops, op)
                self.number += 1
            case OpScope(inner_op, body):
                self.body(body, loops, inner_op)
            case For(counter, start, stop, body, until):
                self.add(Enter(counter, start, statement.line), loops, op)
                # The head counts as inside its own loop: its place has the counter's value.
                head = len(self.steps)
                self.add(None, (*loops, head), op)
                self.body(body, (*loops, head), op)
                if until is not None:
                    leave = self.add(None, (*loops, head), op)
                    end = len(self.steps) + 1
                    self.steps[leave] = self.leave(until, end, statement.line)
                    if self.until_rounds is not None:
                        stop = minimum(stop, start + self.until_rounds)
                self.add(Repeat(head), (*loops, head), op)
                self.steps[head] = Head(counter, stop, len(self.steps), statement.line)
            case If(condition, then, otherwise):
                branch = self.add(None, loops, op)
                self.body(then, loops, op)
                if otherwise:
                    jump = self.add(None, loops, op)
                    self.steps[branch] = Branch(condition, len(self.steps), statement.line)
                    self.body(otherwise, loops, op)
                    self.steps[jump] = Jump(len(self.steps))
                else:
                    self.steps[branch] = Branch(condition, len(self.steps), statement.line)
            case Until(flag, body):
                # An ``until`` has a nameless counter, so that places in later rounds are further on.
                self.add(Enter("", Int(0), statement.line), loops, op)
                head = len(self.steps)
                self.body(body, (*loops, head), op)
                self.add(Again(flag, head, statement.line), (*loops, head), op)

    def leave(self, flag: View, end: int, line: int) -> Step:
        """Out of a counted loop by its flag; without values a branch that is never taken and costs the same."""
        return Leave(flag, end, line) if self.values else Branch(Int(1), end, line)


def flatten(
    code: Code,
    first_number: int = 0,
    values: bool = True,
    until_rounds: int | None = None,
    phases: Phases | None = None,
) -> LinearCode:
    """Linear code of one ``code``; its instructions are numbered from ``first_number`` on.

    Without ``values`` no flag ends a counted loop; ``until_rounds`` then bounds its rounds. Without ``phases`` there
    is one.
    """
    flattener = _Flattener(first_number, values, until_rounds)
    of_statements = phases.of_statements(code.body) if phases is not None else [0] * len(code.body)
    phase = of_statements[0] if of_statements else 0
    for statement, its in zip(code.body, of_statements, strict=True):
        if its != phase:
            flattener.add(Mark(phase, its), (), -1 - phase)
            phase = its
        flattener.statement(statement, (), -1 - phase)
    flattener.add(End(), (), -1 - phase)
    steps = tuple(step for step in flattener.steps if step is not None)
    assert len(steps) == len(flattener.steps)
    return LinearCode(code, steps, tuple(flattener.loops), tuple(flattener.ops), phase)
