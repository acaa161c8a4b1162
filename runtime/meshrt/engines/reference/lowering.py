"""Codes of a program as tables that PEs run from: steps, instructions, operands, expressions and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.codes import DTYPES, PORT_NUMBERS
from meshrt.engines.loading.flatten import (
    Again,
    Branch,
    End,
    Enter,
    Execute,
    Head,
    Jump,
    Leave,
    LinearCode,
    Mark,
    Repeat,
    flatten,
)
from meshrt.engines.loading.names import RegionNames
from meshrt.engines.numeric.functions import ELEMENTWISE as OPERATIONS
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.core.expressions import ABSENT
from meshrt.engines.reference.core.operands import (
    RANK,
    Y_DIMS,
    Y_EXTENT,
    Y_NUMBER,
    Y_OFFSET,
    Y_ROW,
    Y_SIZE,
    Y_STRIDE,
)
from meshrt.engines.reference.expression_code import ExpressionCode, code_array
from meshrt.engines.reference.layout import Layout
from meshrt.program import cost
from meshrt.program.expr import Expr, Int
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Arg, Instruction, Program, View, instructions_in
from meshrt.program.phases import Phases
from meshrt.target import Target

KINDS = {
    "send": rec.SEND,
    "recv": rec.RECV,
    "recv_add": rec.RECV_ADD,
    "recv_max": rec.RECV_MAX,
    "stream_copy": rec.STREAM_COPY,
    "stream_add": rec.STREAM_ADD,
    "stream_max": rec.STREAM_MAX,
}
#: Forms of the other instructions, and which of a form each is.
_FORMS = {
    "sum": (rec.REDUCTION_FORM, 0),
    "reduce_max": (rec.REDUCTION_FORM, 1),
    "gemm": (rec.PRODUCT_FORM, 0),
    "gemm_t": (rec.PRODUCT_FORM, 1),
    "fill": (rec.FILL, 0),
    "index": (rec.FILL, 0),
    "gather": (rec.GATHER_FORM, 0),
    "rotate": (rec.EXCHANGE, 0),
    "wait": (rec.WAIT, 0),
    "route": (rec.ROUTE, 0),
}
_ROLES = {"in": 1, "out": 2, "inout": 3}


@dataclass(frozen=True, eq=False, slots=True)
class Lowered:
    """All codes of a program. ``firsts`` are their first steps; ``origins`` says for each step its code and place."""

    codes: tuple[tuple[int, LinearCode], ...]
    instructions: tuple[Instruction, ...]
    handles: tuple[Mapping[str, int], ...]
    steps: np.ndarray
    table: np.ndarray
    operands: np.ndarray
    code: np.ndarray
    numbers: np.ndarray
    firsts: tuple[int, ...]
    origins: tuple[tuple[int, int], ...]
    depth: int
    phases: int


def route_config(source: str, destinations: Sequence[str] | str) -> int:
    """A route as the records hold it."""
    ports = (destinations,) if isinstance(destinations, str) else destinations
    return PORT_NUMBERS[source] + 1 + sum(8 << PORT_NUMBERS[port] for port in ports)


def handle_numbers(instructions: Sequence[Instruction]) -> dict[str, int]:
    """Number of each handle that a code uses, in the order of its text."""
    numbers: dict[str, int] = {}
    for instruction in instructions:
        for option in ("async", "handle"):
            name = instruction.option(option)
            if name is not None:
                numbers.setdefault(str(name), len(numbers))
    return numbers


class Lowering:
    """Makes the tables. ``slots[r]`` are the places of region r's per-PE names in the environment of a PE."""

    def __init__(
        self,
        program: Program,
        target: Target,
        layout: Layout,
        names: Sequence[RegionNames],
        slots: Sequence[Mapping[str, int]],
    ):
        self._program = program
        self._target = target
        self._layout = layout
        self._names = names
        self._slots = slots
        self._expressions = ExpressionCode()
        self._operands: list[list[int]] = []
        self._numbers: list[float] = [0.0]
        for r, region in enumerate(program.regions):
            for table in region.tables:
                self._expressions.add_table(r, table.name, table.entries)

    def lower(self) -> Lowered:
        """The tables of all codes, region by region."""
        codes: list[tuple[int, LinearCode]] = []
        instructions: list[Instruction] = []
        handles: list[Mapping[str, int]] = []
        steps: list[list[int]] = []
        table: list[list[int]] = []
        firsts: list[int] = []
        origins: list[tuple[int, int]] = []
        phases = Phases.of(self._program)
        for r, region in enumerate(self._program.regions):
            for code in region.codes:
                linear = flatten(code, len(instructions), phases=phases)
                numbers = handle_numbers(instructions_in(code.body))
                firsts.append(len(steps))
                first = len(steps)
                for at, step in enumerate(linear.steps):
                    counters = linear.counters(at)
                    row = self._step(step, first, r, counters, linear.ops[at])
                    steps.append(row + [0] * (rec.S_SIZE - len(row)))
                    origins.append((len(codes), at))
                    if isinstance(step, Execute):
                        instructions.append(step.instruction)
                        table.append(self._instruction(step.instruction, r, counters, numbers))
                codes.append((r, linear))
                handles.append(numbers)
        depth = max((len(loops) for _, linear in codes for loops in linear.loops), default=0) + 1
        return Lowered(
            tuple(codes),
            tuple(instructions),
            tuple(handles),
            np.array(steps or [[0] * rec.S_SIZE], np.int64),
            np.array(table or [[0] * rec.I_SIZE], np.int64),
            np.array(self._operands or [[0] * Y_SIZE], np.int64),
            code_array(self._expressions),
            np.array(self._numbers, np.float64),
            tuple(firsts),
            tuple(origins),
            depth,
            len(phases.names),
        )

    def _expr(self, expr: object, region: int, counters: Sequence[str]) -> int:
        """An expression as compiled code takes it, ABSENT for an option that is not there."""
        if not isinstance(expr, Expr):
            return ABSENT
        return self._expressions.add(expr, region, counters, self._slots[region], self._names[region].scalars)

    def _step(self, step, first: int, region: int, counters: Sequence[str], op: int) -> list[int]:
        depth = len(counters)
        match step:
            case Execute(_, number):
                return [rec.EXECUTE, number, 0, depth, op]
            case Enter(_, start):
                return [rec.ENTER, self._expr(start, region, counters), 0, depth, op]
            case Head(_, stop, end):
                return [rec.HEAD, self._expr(stop, region, counters[:-1]), first + end, depth, op]
            case Leave(flag, end):
                return [rec.LEAVE, self._operand(flag, region, counters), first + end, depth, op]
            case Repeat(head):
                return [rec.REPEAT, 0, first + head, depth, op]
            case Branch(condition, otherwise):
                return [rec.BRANCH, self._expr(condition, region, counters), first + otherwise, depth, op]
            case Jump(target):
                return [rec.JUMP, 0, first + target, depth, op]
            case Again(flag, head):
                return [rec.AGAIN, self._operand(flag, region, counters), first + head, depth, op]
            case Mark(phase, following):
                return [rec.MARK, phase, following, depth, op]
            case End():
                return [rec.STOP, 0, 0, depth, op]
        raise TypeError(f"not a step: {step!r}")

    def _operand(self, argument: Arg, region: int, counters: Sequence[str]) -> int:
        row = [0] * Y_SIZE
        if isinstance(argument, View):
            row[Y_ROW] = self._layout.row(region, argument.buffer)
            row[Y_OFFSET] = self._expr(argument.offset, region, counters)
            row[Y_DIMS] = -1 if argument.dims is None else len(argument.dims)
            if len(argument.dims or ()) > RANK:
                raise MeshError("M0525", f"a view of {argument.buffer} has more than {RANK} dimensions")
            for d, dim in enumerate(argument.dims or ()):
                row[Y_EXTENT + d] = self._expr(dim.extent, region, counters)
                row[Y_STRIDE + d] = self._expr(dim.stride, region, counters)
        else:
            row[Y_ROW] = -1
            row[Y_NUMBER] = len(self._numbers)
            self._numbers.append(float(argument))
        self._operands.append(row)
        return len(self._operands) - 1

    def _instruction(
        self, instruction: Instruction, region: int, counters: Sequence[str], handles: Mapping[str, int]
    ) -> list[int]:
        opcode, spec = instruction.opcode, INSTRUCTIONS[instruction.opcode]
        row = [0] * rec.I_SIZE
        if opcode in OPERATIONS:
            row[rec.I_FORM], row[rec.I_OP] = rec.ELEMENTWISE, OPERATIONS[opcode]
        elif opcode in KINDS:
            row[rec.I_FORM], row[rec.I_OP] = rec.MOVE, KINDS[opcode]
            combines = "add" if opcode.endswith(("add", "max")) else "move"
            for dtype, number in DTYPES.items():
                row[rec.I_PERIOD + number] = cost.word_period(self._target, combines, dtype)
        else:
            row[rec.I_FORM], row[rec.I_OP] = _FORMS[opcode]
        row[rec.I_COUNT] = len(instruction.args)
        for which, argument in enumerate(instruction.args):
            row[rec.I_OPERAND + which] = self._operand(argument, region, counters)
            row[rec.I_ROLES] |= _ROLES[spec.operands[which][1]] << (2 * which)
        row[rec.I_COLOR] = self._expr(instruction.option("color", instruction.option("in")), region, counters)
        row[rec.I_OUT] = self._expr(instruction.option("out"), region, counters)
        row[rec.I_VALUE] = row[rec.I_WHERE] = ABSENT
        if opcode == "index":
            row[rec.I_VALUE] = self._expr(instruction.option("value"), region, counters)
        elif opcode == "fill":
            value = instruction.option("value")
            row[rec.I_NUMBER] = len(self._numbers)
            self._numbers.append(float(value.value) if isinstance(value, Int) else float(value))  # type: ignore[arg-type]
            row[rec.I_WHERE] = self._expr(instruction.option("where"), region, counters)
        row[rec.I_BASE] = self._expr(instruction.option("base"), region, counters)
        handle = instruction.option("async", instruction.option("handle"))
        row[rec.I_HANDLE] = -1 if handle is None else handles[str(handle)]
        if opcode == "route":
            row[rec.I_CONFIG] = route_config(str(instruction.option("from")), instruction.option("to"))  # type: ignore[arg-type]
        return row
