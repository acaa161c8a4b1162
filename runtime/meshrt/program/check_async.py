"""Checks asynchronous moves in a code: every launch meets a wait, and nothing touches what a move holds.

From launch to wait a move holds its buffer (rule R4 of ``docs/machine.md``): what it writes
may not be touched, what it reads may not be written. The walk keeps the moves under way
with the PEs that launched them. It reports a conflict only where it is certain: on PEs
that surely reach both statements, for views that surely share elements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshrt.program.expr import Expr, Int, names_in
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import (
    Code,
    For,
    If,
    Instruction,
    OpScope,
    Statement,
    Until,
    View,
    instructions_in,
)
from meshrt.program.problems import Problems, describe_pes
from meshrt.program.scope import Scope
from meshrt.target import Target


@dataclass(frozen=True, eq=False)
class _Pending:
    """A move under way: its handle, where it was launched, on which PEs, and what it holds (view, writes)."""

    handle: str
    launch: Instruction
    mask: np.ndarray
    certain: bool
    views: tuple[tuple[View, bool], ...]


@dataclass(frozen=True)
class _Reach:
    mask: np.ndarray
    certain: bool
    counters: frozenset[str]


def check_async(code: Code, scope: Scope, problems: Problems, target: Target) -> None:
    """Check one code whose instructions are sound by themselves."""
    before = len(problems.found)
    launched = {h: i for i in instructions_in(code.body) if isinstance(h := i.option("async"), str)}
    waited = {h: i for i in instructions_in(code.body) if isinstance(h := i.option("handle"), str)}
    for handle, instruction in launched.items():
        if handle not in waited:
            problems.add(
                "M0507",
                f"nothing waits for the move {handle!r}",
                instruction.line,
                f"async={handle}",
                helps=[f"add: wait handle={handle}"],
            )
    for handle, instruction in waited.items():
        if handle not in launched:
            problems.add("M0507", f"no move has the handle {handle!r}", instruction.line, handle)
    if len(problems.found) > before:
        return
    walk = _Walk(scope, problems, target)
    walk.body(code.body, _Reach(scope.mask(code.rect), True, frozenset()))


class _Walk:
    def __init__(self, scope: Scope, problems: Problems, target: Target):
        self.scope = scope
        self.problems = problems
        self.target = target
        self.pending: list[_Pending] = []
        self.reported: set[int] = set()

    def body(self, body: tuple[Statement, ...], reach: _Reach) -> None:
        for statement in body:
            match statement:
                case Instruction():
                    self.instruction(statement, reach)
                case OpScope(body=inner):
                    self.body(inner, reach)
                case If():
                    self.branch(statement, reach)
                case For():
                    self.loop(statement, reach)
                case Until(flag, inner):
                    self.body(inner, reach)
                    self.touch(((flag, False),), statement.line, flag.buffer, reach)
                    # What the next round meets is what this one left.
                    self.body(inner, replace(reach, certain=False))

    def branch(self, statement: If, reach: _Reach) -> None:
        if self.scope.is_static(statement.condition, reach.counters):
            taken = self.scope.grid(statement.condition) != 0
            for body, mask in ((statement.then, taken), (statement.otherwise, ~taken)):
                if (reach.mask & mask).any():
                    self.body(body, replace(reach, mask=reach.mask & mask))
            return
        before = self.pending
        unsure = replace(reach, certain=False)
        self.body(statement.then, unsure)
        after_then, self.pending = self.pending, before
        self.body(statement.otherwise, unsure)
        # Whatever either branch has waited for may be over.
        self.pending = [p for p in after_then if p not in before or p in self.pending] + [
            p for p in self.pending if p not in before
        ]

    def loop(self, statement: For, reach: _Reach) -> None:
        trips = None
        if isinstance(statement.start, Int) and isinstance(statement.stop, Int):
            trips = statement.stop.value - statement.start.value
        if trips is not None and trips < 1:
            return
        inside = replace(
            reach, counters=reach.counters | {statement.counter}, certain=reach.certain and trips is not None
        )
        self.body(statement.body, inside)
        if trips is None or trips > 1:
            # In the next round the counter differs: views that depend on it may lie elsewhere.
            self.pending = [
                replace(p, certain=p.certain and not _reads(p.views, statement.counter)) for p in self.pending
            ]
            self.body(statement.body, inside)

    def instruction(self, instruction: Instruction, reach: _Reach) -> None:
        spec = INSTRUCTIONS[instruction.opcode]
        if instruction.opcode == "wait":
            self.wait(instruction.option("handle"), reach)
            return
        views = tuple(
            (arg, role != "in")
            for (_, role), arg in zip(spec.operands, instruction.args, strict=True)
            if isinstance(arg, View)
        )
        self.touch(views, instruction.line, instruction.opcode, reach)
        handle = instruction.option("async")
        if isinstance(handle, str):
            self.launch(handle, instruction, views, reach)

    def wait(self, handle: object, reach: _Reach) -> None:
        left = []
        for move in self.pending:
            if move.handle != handle:
                left.append(move)
            elif reach.certain and (move.mask & ~reach.mask).any():
                left.append(replace(move, mask=move.mask & ~reach.mask))
        self.pending = left

    def touch(self, views: tuple[tuple[View, bool], ...], line: int, word: str, reach: _Reach) -> None:
        for view, writes in views:
            for move in self.pending:
                both = move.mask & reach.mask
                if not (reach.certain and move.certain and both.any()) or (line and line in self.reported):
                    continue
                for held, held_writes in move.views:
                    if (writes or held_writes) and self.share(view, held, both):
                        self.reported.add(line)
                        does = "writes" if held_writes else "reads"
                        self.problems.add(
                            "M0509",
                            f"this touches {view.buffer!r}, which the move {move.handle!r} still {does}, "
                            f"on {describe_pes(both)}",
                            line,
                            word,
                            notes=[f"the move is launched in line {move.launch.line}"] if move.launch.line else (),
                            helps=[f"put 'wait handle={move.handle}' before it"],
                        )
                        break

    def launch(
        self, handle: str, instruction: Instruction, views: tuple[tuple[View, bool], ...], reach: _Reach
    ) -> None:
        if reach.certain:
            self.check_limits(handle, instruction, reach)
        self.pending = [*self.pending, _Pending(handle, instruction, reach.mask, reach.certain, views)]

    def check_limits(self, handle: str, instruction: Instruction, reach: _Reach) -> None:
        sure = [move for move in self.pending if move.certain and (move.mask & reach.mask).any()]
        for move in sure:
            if move.handle == handle and instruction.line not in self.reported:
                self.reported.add(instruction.line)
                self.problems.add(
                    "M0507",
                    f"the handle {handle!r} belongs to a move under way on {describe_pes(move.mask & reach.mask)}",
                    instruction.line,
                    f"async={handle}",
                    helps=[f"wait for {handle!r} first, or use another handle"],
                )
                return
        for what, limit, kind in (
            ("asynchronous moves", self.target.async_moves_max, 0),
            ("moves from the fabric", self.target.input_queues, 1),
            ("moves to the fabric", self.target.output_queues, 2),
        ):
            if not _uses(instruction)[kind]:
                continue
            count = np.zeros_like(reach.mask, np.int64)
            for move in sure:
                if _uses(move.launch)[kind]:
                    count += move.mask & reach.mask
            if int(count.max()) >= limit and instruction.line not in self.reported:
                self.reported.add(instruction.line)
                self.problems.add(
                    "M0508",
                    f"{count.max() + 1} {what} are under way here at once; a PE of {self.target.name} has {limit}",
                    instruction.line,
                    f"async={handle}",
                )

    def share(self, a: View, b: View, mask: np.ndarray) -> bool:
        """Whether two views surely have an element in common on a PE of the mask."""
        if a.buffer != b.buffer or not self.nonempty(a, mask) or not self.nonempty(b, mask):
            return False
        if a == b or _is_whole(a) or _is_whole(b):
            return True
        first, second = self.extent(a), self.extent(b)
        if first is None or second is None:
            return False
        overlap = mask & (first[0] <= second[1]) & (second[0] <= first[1])
        # Strided views may pass between each other; runs of neighbours cannot.
        return bool(overlap.any()) and _is_run(a) and _is_run(b)

    def nonempty(self, view: View, mask: np.ndarray) -> bool:
        """Whether a view surely has elements on every PE of the mask."""
        extents = [dim.extent for dim in view.dims or ()]
        return all(self.scope.is_static(e) and bool((self.scope.grid(e)[mask] > 0).all()) for e in extents)

    def extent(self, view: View) -> tuple[np.ndarray, np.ndarray] | None:
        """First and last element of a static view of consecutive elements, on every PE."""
        parts = [view.offset, *(part for dim in view.dims or () for part in (dim.extent, dim.stride))]
        if view.dims is None or not all(self.scope.is_static(part) for part in parts):
            return None
        low = self.scope.grid(view.offset)
        size: Expr = Int(1)
        for dim in view.dims:
            size = size * dim.extent
        return low, low + self.scope.grid(size) - 1


def _uses(instruction: Instruction) -> tuple[bool, bool, bool]:
    """Which of a PE's resources a move takes: a slot for asynchronous moves, an input queue, an output queue."""
    streams = instruction.option("out") is not None
    sends = instruction.opcode == "send"
    return True, streams or not sends, streams or sends


def _is_whole(view: View) -> bool:
    return view.dims is None and view.offset == Int(0)


def _is_run(view: View) -> bool:
    """Whether the elements of a view follow each other without gaps."""
    expected: Expr = Int(1)
    for dim in reversed(view.dims or ()):
        if dim.stride != expected:
            return False
        expected = dim.extent * dim.stride
    return view.dims is not None


def _reads(views: tuple[tuple[View, bool], ...], counter: str) -> bool:
    parts = [part for view, _ in views for part in _parts(view)]
    return any(counter in names_in(part) for part in parts)


def _parts(view: View) -> list[Expr]:
    return [view.offset, *(part for dim in view.dims or () for part in (dim.extent, dim.stride))]
