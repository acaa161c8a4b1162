"""What of a code matters to the proofs: control, moves, routes, and which buffers instructions touch.

Arithmetic is left out; of its operands only those stay that share addresses with another buffer or that an
asynchronous move may hold. A ``for`` whose counter no condition, bound, color or extent inside reads is stopped at its
head by :mod:`.induction`; one without words is run for its first and last round only. A loop that a flag may end is
stopped at the end of its rounds by :mod:`.execution`; an ``until`` is one without a bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.program.expr import Expr, Int, Name, names_in
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import For, If, Instruction, OpScope, Region, Statement, Until, View
from meshrt.program.proofs.buffers import Buffers
from meshrt.program.proofs.expressions import Expressions
from meshrt.program.proofs.records import (
    BRANCH,
    C_COLOR,
    C_COUNT,
    C_INPUT,
    C_OUT,
    C_OUTPUTS,
    C_SIZE,
    C_STEP,
    END,
    ENTER,
    EXCHANGES,
    HEAD,
    JUMP,
    LEAVE,
    LOCAL,
    MOST_DIMS,
    MOVE,
    O_SIZE,
    PLAIN,
    PORT_NUMBERS,
    READS,
    RECV,
    REPEAT,
    ROTATE,
    ROUTE,
    S_SIZE,
    SEND,
    STOPPING,
    STREAM,
    TOUCH,
    WAIT,
    WRITES,
)

#: More rounds than any loop has.
_NEVER = 1 << 60
_ROLES = {"in": READS, "out": WRITES, "inout": READS | WRITES}


class Skeleton:
    """The steps of all codes of a region, and the tables that they refer to."""

    def __init__(self, region: Region, expressions: Expressions, buffers: Buffers):
        self.region = region
        self.expressions = expressions
        self.buffers = buffers
        #: The lowest value of each scalar.
        self.scalars = {scalar.name: scalar.low for scalar in region.scalars}
        self.steps: list[list[int]] = []
        self.calls: list[list[int]] = [[0] * C_SIZE]
        self.operands: list[list[int]] = []
        self.dims: list[tuple[int, int]] = []
        #: The instruction of each call (the first is the host) and of each operand.
        self.called: list[Instruction | None] = [None]
        self.touched: list[Instruction | For | Until] = []
        self.handles: dict[str, int] = {}
        self.starts: list[int] = []
        self.loops = 1
        #: For each code, whether it has a loop that a flag may end.
        self.flagged: list[bool] = []
        self._used: set[str] = set()
        for code in region.codes:
            self.starts.append(len(self.steps))
            self._body(code.body, {})
            self.flagged.append(any(step[0] == LEAVE for step in self.steps[self.starts[-1] :]))
            self._step(END)

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Steps, calls, operands and dimensions as int64 arrays."""
        return (
            np.array(self.steps or [[END] + [0] * (S_SIZE - 1)], np.int64).reshape(-1, S_SIZE),
            np.array(self.calls, np.int64).reshape(-1, C_SIZE),
            np.array(self.operands or [[0] * O_SIZE], np.int64).reshape(-1, O_SIZE),
            np.array(self.dims or [(0, 0)], np.int64).reshape(-1, 2),
        )

    def instruction_of_step(self, step: int) -> Instruction | None:
        """The move or route of a step, None for other steps."""
        kind, call = self.steps[step][:2]
        return self.called[call] if kind in (MOVE, ROUTE) else None

    def _step(self, kind: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, line: int = 0) -> int:
        self.steps.append([kind, a, b, c, d, e, line])
        return len(self.steps) - 1

    def _number(self, expr: Expr, counters: Mapping[str, int]) -> int:
        self._used |= names_in(self.expressions.resolve(expr))
        return self.expressions.number(expr, counters)

    def _body(self, body: tuple[Statement, ...], counters: Mapping[str, int]) -> None:
        for statement in body:
            match statement:
                case Instruction():
                    self._instruction(statement, counters)
                case OpScope(body=inner):
                    self._body(inner, counters)
                case If():
                    self._if(statement, counters)
                case For(counter, start, stop):
                    self._for(statement, counter, start, stop, statement.until, counters)
                case Until():
                    # The counter has no name that an expression could read.
                    counter = f"@until {len(counters)}"
                    self._for(statement, counter, Int(0), Int(_NEVER), statement.flag, counters)

    def _if(self, statement: If, counters: Mapping[str, int]) -> None:
        branch = self._step(BRANCH, self._number(statement.condition, counters), line=statement.line)
        self._body(statement.then, counters)
        if statement.otherwise:
            skip = self._step(JUMP)
            self.steps[branch][2] = len(self.steps)
            self._body(statement.otherwise, counters)
            self.steps[skip][1] = len(self.steps)
        else:
            self.steps[branch][2] = len(self.steps)

    def _for(
        self,
        statement: For | Until,
        counter: str,
        start: Expr,
        stop: Expr,
        flag: View | None,
        counters: Mapping[str, int],
    ) -> None:
        place = len(counters)
        self.loops = max(self.loops, place + 1)
        self._step(ENTER, place, self._number(start, counters), line=statement.line)
        # Where all PEs end by the same bound, to end by it is to end by the flag.
        known = names_in(self.expressions.resolve(stop)) <= self.scalars.keys() | counters.keys()
        alike = flag is not None and known
        number = self._stop(start, stop, counters) if alike else self._number(stop, counters)
        head = self._step(HEAD, place, number, e=int(alike), line=statement.line)
        outer, self._used = self._used, set()
        inside = {**counters, counter: place}
        self._body(statement.body, inside)
        if flag is not None:
            self._leave(statement, flag, inside, place, counter in self._used or not alike)
        self._step(REPEAT, place, head, line=statement.line)
        self.steps[head][3] = len(self.steps)
        kinds = {step[0] for step in self.steps[head:]}
        if counter in self._used or LEAVE in kinds:
            loop = PLAIN
        elif kinds & {MOVE, WAIT, ROUTE}:
            loop = STOPPING
        else:
            loop = PLAIN if ROTATE in kinds else LOCAL
        self.steps[head][4] = loop
        self._used |= outer

    def _stop(self, start: Expr, stop: Expr, counters: Mapping[str, int]) -> int:
        """The number of the stop of a loop that a flag may end; one that is a scalar decides little.

        Whatever its value, rounds are those of its highest one, and to end after any of them is looked at. Its lowest
        one tells what comes where there is no round.
        """
        scalar = isinstance(stop, Name) and stop.name in self.scalars
        self._used |= names_in(self.expressions.resolve(stop))
        number = self.expressions.number(stop, counters, decides=not scalar)
        if isinstance(stop, Name) and scalar and not (isinstance(start, Int) and self.scalars[stop.name] > start.value):
            self.expressions.note_stop(stop.name)
        return number

    def _leave(self, statement: For | Until, flag: View, counters: Mapping[str, int], place: int, read: bool) -> None:
        """The end of the body of a loop that a flag may end; ``read`` where its counter makes a difference."""
        first = len(self.operands)
        self._operand(flag, READS, counters, statement)
        self._touch(first, statement.line)
        self._step(LEAVE, place, int(read), len(self.steps) + 2, e=self.buffers.names[flag.buffer], line=statement.line)

    def _touch(self, first: int, line: int) -> None:
        if len(self.operands) == first:
            return
        last = self.steps[-1] if self.steps else None
        # What follows the last step only, without a jump to here, can be one step with it.
        if last is not None and last[0] == TOUCH and last[2] == first and not self._is_target(len(self.steps)):
            last[2] = len(self.operands)
        else:
            self._step(TOUCH, first, len(self.operands), line=line)

    def _is_target(self, step: int) -> bool:
        return any(
            (s[0] in (BRANCH, HEAD) and step in (s[2], s[3])) or (s[0] == JUMP and s[1] == step) for s in self.steps
        )

    def _operand(
        self,
        view: View,
        role: int,
        counters: Mapping[str, int],
        instruction: Instruction | For | Until,
        always: bool = False,
    ) -> None:
        """Note an operand where it matters, or ``always``."""
        buffers = self.buffers
        if not (always or view.buffer in buffers.tracked or view.buffer in buffers.held):
            return
        offset, start, rank = -1, 0, -1
        whole = view.dims is None or len(view.dims) > MOST_DIMS
        if view.buffer in buffers.moving and not whole:
            offset = self._number(view.offset, counters)
            start, rank = len(self.dims), len(view.dims or ())
            self.dims += [(self._number(d.extent, counters), self._number(d.stride, counters)) for d in view.dims or ()]
        self.operands.append([buffers.names[view.buffer], role, offset, start, rank, int(view.buffer in buffers.held)])
        self.touched.append(instruction)

    def _instruction(self, instruction: Instruction, counters: Mapping[str, int]) -> None:
        spec = INSTRUCTIONS[instruction.opcode]
        match instruction.opcode:
            case "wait":
                handle = self._handle(instruction.option("handle"))
                self._step(WAIT, handle, line=instruction.line)
            case "route":
                self._route(instruction, counters)
            case "rotate":
                first = len(self.operands)
                for arg in instruction.args:
                    assert isinstance(arg, View)
                    self._operand(arg, EXCHANGES | WRITES, counters, instruction, always=True)
                self._step(ROTATE, first, line=instruction.line)
            case _ if spec.group == "fabric":
                self._move(instruction, counters)
            case _:
                self._arithmetic(instruction, counters)

    def _arithmetic(self, instruction: Instruction, counters: Mapping[str, int]) -> None:
        spec = INSTRUCTIONS[instruction.opcode]
        views = [
            (arg, _ROLES[role])
            for (_, role), arg in zip(spec.operands, instruction.args, strict=True)
            if isinstance(arg, View)
        ]
        if instruction.option("where") is not None:
            # What the condition leaves out stays as it was.
            views = [(view, role | READS) for view, role in views]
        first = len(self.operands)
        for view, role in sorted(views, key=lambda pair: pair[1] == WRITES):
            self._operand(view, role, counters, instruction)
        self._touch(first, instruction.line)

    def _move(self, instruction: Instruction, counters: Mapping[str, int]) -> None:
        (_, role), view = INSTRUCTIONS[instruction.opcode].operands[0], instruction.args[0]
        assert isinstance(view, View)
        color = instruction.option("color", instruction.option("in"))
        out = instruction.option("out")
        assert isinstance(color, Expr)
        operand = len(self.operands)
        self._operand(view, _ROLES[role], counters, instruction, always=True)
        count = -1
        if view.dims is not None:
            elements: Expr = Int(1)
            for dim in view.dims:
                elements = elements * dim.extent
            count = self._number(elements, counters)
        handle = instruction.option("async")
        kind = SEND if instruction.opcode == "send" else STREAM if isinstance(out, Expr) else RECV
        self.calls.append(
            [
                kind,
                self._number(color, counters),
                self._number(out, counters) if isinstance(out, Expr) else -1,
                self._handle(handle) if handle is not None else -1,
                count,
                operand,
                0,
                0,
                len(self.steps),
                0,
            ]
        )
        self.called.append(instruction)
        self._step(MOVE, len(self.calls) - 1, line=instruction.line)

    def _route(self, instruction: Instruction, counters: Mapping[str, int]) -> None:
        color, source, to = (instruction.option(name) for name in ("color", "from", "to"))
        assert isinstance(color, Expr) and isinstance(source, str) and to is not None
        row = [0] * C_SIZE
        row[C_COUNT] = row[C_OUT] = -1
        row[C_COLOR] = self._number(color, counters)
        row[C_INPUT] = PORT_NUMBERS[source]
        row[C_OUTPUTS] = output_bits(to)
        row[C_STEP] = len(self.steps)
        self.calls.append(row)
        self.called.append(instruction)
        self._step(ROUTE, len(self.calls) - 1, line=instruction.line)

    def _handle(self, handle: object) -> int:
        return self.handles.setdefault(str(handle), len(self.handles))


def output_bits(destinations: object) -> int:
    """The output ports of a route as bits."""
    ports = (destinations,) if isinstance(destinations, str) else destinations
    assert isinstance(ports, tuple)
    bits = 0
    for port in ports:
        bits |= 1 << PORT_NUMBERS[str(port)]
    return bits
