"""Phases of a program: what a run does one after the other, such as prefill and decode.

The op table says which phase an operation belongs to. In a code phases follow one another at
its top: a statement belongs to the phase of the first operation in it, a loop as a whole, and
what lies between operations to the one that comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshrt.program.model import For, If, OpScope, Program, Statement, Until


@dataclass(frozen=True, slots=True)
class Phases:
    """``names`` in the order of the op table; ``of_op`` is the number of each operation's phase."""

    names: tuple[str, ...]
    of_op: tuple[int, ...]

    @classmethod
    def of(cls, program: Program) -> Phases:
        """The phases of a program: one without a name where its operations name none."""
        names = tuple(dict.fromkeys(op.phase for op in program.ops)) or ("",)
        return cls(names, tuple(names.index(op.phase) for op in program.ops))

    def of_statements(self, statements: Sequence[Statement]) -> list[int]:
        """The phase of each statement at the top of a code."""
        found = [self._first(statement) for statement in statements]
        following: int | None = None
        for i in reversed(range(len(found))):
            following = found[i] if found[i] is not None else following
            found[i] = following
        # What comes behind the last operation belongs to its phase.
        latest = 0
        for i, phase in enumerate(found):
            latest = phase if phase is not None else latest
            found[i] = latest
        return [phase for phase in found if phase is not None]

    def _first(self, statement: Statement) -> int | None:
        """The phase of the first operation in a statement."""
        match statement:
            case OpScope(op):
                return self.of_op[op]
            case For() | Until():
                inside = statement.body
            case If():
                inside = (*statement.then, *statement.otherwise)
            case _:
                return None
        return next((phase for s in inside if (phase := self._first(s)) is not None), None)
