"""Checks the code of a region against the instruction table, PE by PE where that is certain.

The walk carries the mask of the PEs that reach a statement. A condition that follows from
the PE alone narrows it; behind any other condition the mask stays and is no longer
certain, so that only what is wrong on every PE of it is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshrt.diagnostics.suggest import did_you_mean
from meshrt.program.check_async import check_async
from meshrt.program.check_declarations import check_expr
from meshrt.program.code_routes import ColorRoutes
from meshrt.program.expr import Expr, Int
from meshrt.program.instructions import INSTRUCTIONS, InstructionSpec
from meshrt.program.model import (
    Code,
    For,
    If,
    Instruction,
    OpScope,
    Region,
    Statement,
    Until,
    View,
)
from meshrt.program.option_values import option_fits, option_words
from meshrt.program.problems import Problems, describe_pes
from meshrt.program.scope import Scope, StaticFailure, possible_values
from meshrt.program.signature import signature
from meshrt.target import Target

#: Options whose expressions may read the element indices i0, i1, ..
_ELEMENTWISE_OPTIONS = (("fill", "where"), ("index", "value"))


@dataclass(frozen=True)
class Reach:
    """Which PEs reach a statement (bool [height, width]), whether certainly, and the counters of its loops."""

    mask: np.ndarray
    certain: bool
    counters: frozenset[str]


def check_codes(region: Region, target: Target, scope: Scope, problems: Problems, ops: int) -> None:
    """Check every code of a region whose declarations are sound; ``ops`` is the length of the program's op table."""
    taken = np.zeros((region.height, region.width), bool)
    for code in region.codes:
        problems.check_name(code.name, "code", code.line)
        mask = scope.mask(code.rect)
        if (taken & mask).any():
            problems.add(
                "M0316",
                f"code {code.name!r} covers PEs that have code already: {describe_pes(taken & mask)}",
                code.line,
                code.name,
            )
        taken |= mask
        _CodeChecker(code, region, target, scope, problems, ops).check()


class _CodeChecker:
    def __init__(self, code: Code, region: Region, target: Target, scope: Scope, problems: Problems, ops: int):
        self.code = code
        self.target = target
        self.scope = scope
        self.problems = problems
        self.ops = ops
        self.routes = ColorRoutes(code, region, target, scope, problems)

    def check(self) -> None:
        before = len(self.problems.found)
        reach = Reach(self.scope.mask(self.code.rect), True, frozenset())
        self.body(self.code.body, reach)
        if len(self.problems.found) == before:
            self.routes.finish()
            check_async(self.code, self.scope, self.problems, self.target)

    def body(self, body: tuple[Statement, ...], reach: Reach) -> None:
        for statement in body:
            self.statement(statement, reach)

    def statement(self, statement: Statement, reach: Reach) -> None:
        match statement:
            case Instruction():
                self.instruction(statement, reach)
            case For(counter, start, stop, body, until):
                bounds = [
                    self.expr(bound, f"the {which} of the loop", statement.line, reach)
                    for which, bound in (("start", start), ("stop", stop))
                ]
                self.problems.check_name(counter, "a loop counter", statement.line, in_expressions=True)
                if counter in reach.counters or counter in self.scope.coverage:
                    self.problems.add(
                        "M0314", f"the loop counter {counter!r} hides another name", statement.line, counter
                    )
                going = self.going(start, stop, reach) if all(bounds) else reach
                inside = replace(going, counters=going.counters | {counter})
                if until is not None:
                    self.view(until, "the flag", statement.line, inside)
                self.body(body, inside)
            case If(condition, then, otherwise):
                if self.expr(condition, "the condition", statement.line, reach):
                    taken, rest = self.split(condition, reach)
                    self.body(then, taken)
                    self.body(otherwise, rest)
            case Until(flag, body):
                self.view(flag, "the flag", statement.line, reach)
                self.body(body, reach)
            case OpScope(op, body):
                if not 0 <= op < self.ops:
                    self.problems.add(
                        "M0331", f"op {op} is not in the op table, which has {self.ops} entries", statement.line, "op"
                    )
                self.body(body, reach)

    def going(self, start: Expr, stop: Expr, reach: Reach) -> Reach:
        """Who may come into a loop: not those for whom it certainly has no round."""
        if not self.scope.is_static(start, reach.counters) or not self.scope.is_static(stop, reach.counters):
            return reach
        return replace(reach, mask=reach.mask & (self.scope.grid(start) < self.scope.grid(stop)))

    def split(self, condition: Expr, reach: Reach) -> tuple[Reach, Reach]:
        """Who takes each branch."""
        if self.scope.is_static(condition, reach.counters):
            taken = self.scope.grid(condition) != 0
            return replace(reach, mask=reach.mask & taken), replace(reach, mask=reach.mask & ~taken)
        unsure = replace(reach, certain=False)
        return unsure, unsure

    def expr(self, expr: Expr, what: str, line: int, reach: Reach, extra: frozenset[str] = frozenset()) -> bool:
        return check_expr(
            expr, what, self.scope, self.problems, line, reach.mask, reach.counters | extra, certain=reach.certain
        )

    def instruction(self, instruction: Instruction, reach: Reach) -> None:
        line, opcode = instruction.line, instruction.opcode
        spec = INSTRUCTIONS.get(opcode)
        if spec is None:
            helps = did_you_mean(opcode, INSTRUCTIONS)
            self.problems.add("M0310", f"there is no instruction {opcode!r}", line, opcode, helps=helps)
            return
        if not reach.mask.any():
            return
        if len(instruction.args) != len(spec.operands):
            self.problems.add(
                "M0312",
                f"{opcode} takes {len(spec.operands)} operands, here are {len(instruction.args)}",
                line,
                opcode,
                helps=[f"it is written as: {signature(spec)}"],
            )
            return
        rank = 0
        for (name, role), arg in zip(spec.operands, instruction.args, strict=True):
            if not isinstance(arg, View):
                if not spec.immediates or role != "in":
                    self.problems.add("M0312", f"operand {name} of {opcode} must be a view of a buffer", line, opcode)
            elif self.view(arg, f"operand {name} of {opcode}", line, reach) and role != "in":
                rank = max(rank, self.rank(arg))
        self.options(instruction, spec, reach, rank)

    def options(self, instruction: Instruction, spec: InstructionSpec, reach: Reach, rank: int) -> None:
        line, opcode = instruction.line, instruction.opcode
        known = {option.name: option for option in spec.options}
        given = [name for name, _ in instruction.options]
        for option in spec.options:
            if option.required and option.name not in given:
                self.problems.add(
                    "M0311",
                    f"{opcode} needs the option {option.name!r}",
                    line,
                    opcode,
                    helps=[f"it is written as: {signature(spec)}"],
                )
        for position, (name, value) in enumerate(instruction.options):
            if name not in known:
                helps = did_you_mean(name, known, "options")
                self.problems.add("M0311", f"{opcode} has no option {name!r}", line, name, helps=helps)
            elif name in given[:position]:
                self.problems.add("M0311", f"{opcode} has the option {name!r} twice", line, name)
            elif not option_fits(known[name], value):
                self.problems.add(
                    "M0311", f"the option {name!r} of {opcode} must be {option_words(known[name])}", line, name
                )
            elif isinstance(value, Expr):
                elementwise = (opcode, name) in _ELEMENTWISE_OPTIONS
                indices = frozenset(f"i{d}" for d in range(rank)) if elementwise else frozenset[str]()
                if self.expr(value, f"the option {name!r} of {opcode}", line, reach, indices):
                    if opcode == "route" and name == "color":
                        self.route_instruction(instruction, value, reach)
                    elif name in ("color", "in", "out") and spec.group == "fabric":
                        sends = name == "out" or opcode == "send"
                        self.color(value, instruction, reach, sends)

    def route_instruction(self, instruction: Instruction, color: Expr, reach: Reach) -> None:
        source, destinations = instruction.option("from"), instruction.option("to")
        if isinstance(source, str) and isinstance(destinations, tuple):
            values = self.colors(color, instruction, reach)
            self.routes.add(color, values, (source, destinations), reach.mask, reach.counters, instruction.line)

    def color(self, color: Expr, instruction: Instruction, reach: Reach, sends: bool) -> None:
        values = self.colors(color, instruction, reach)
        if values is not None and reach.certain and self.scope.is_static(color, reach.counters):
            self.routes.check_ramp(self.scope.grid(color), values, instruction, reach.mask, sends)

    def colors(self, color: Expr, instruction: Instruction, reach: Reach) -> np.ndarray | None:
        """The values of a color, None where they are not static; those that no router has are reported."""
        values = possible_values(self.scope, color, reach.mask, reach.counters)
        if values is None or not (reach.certain or isinstance(color, Int)):
            return values
        for value in values[(values < 0) | (values >= self.target.colors)]:
            self.problems.add(
                "M0320",
                f"there is no color {value}: a router of {self.target.name} has {self.target.colors}, "
                f"0 to {self.target.colors - 1}",
                instruction.line,
                "color",
            )
        return values[(values >= 0) & (values < self.target.colors)]

    def rank(self, view: View) -> int:
        """How many dimensions a view has; those of a whole buffer are its own."""
        if view.dims is not None:
            return len(view.dims)
        shapes = [len(b.shape) for b in self.scope.region.buffers if b.name == view.buffer]
        return max(shapes, default=0)

    def view(self, view: View, what: str, line: int, reach: Reach) -> bool:
        """Check a view; whether it is sound as far as can be said."""
        elements = self.scope.elements.get(view.buffer)
        if elements is None:
            helps = did_you_mean(view.buffer, self.scope.elements, "buffers")
            self.problems.add("M0313", f"there is no buffer {view.buffer!r}", line, view.buffer, helps=helps)
            return False
        lacking = reach.mask & (elements == 0)
        if lacking.any() and (reach.certain or not (reach.mask & (elements > 0)).any()):
            self.problems.add(
                "M0313", f"there is no buffer {view.buffer!r} on {describe_pes(lacking)}", line, view.buffer
            )
            return False
        parts = [view.offset]
        for dim in view.dims or ():
            parts += [dim.extent, dim.stride]
        if [part for part in parts if not self.expr(part, what, line, reach)]:
            return False
        if reach.certain and all(self.scope.is_static(part, reach.counters) for part in parts):
            return self.bounds(view, what, line, reach.mask, elements)
        return True

    def bounds(self, view: View, what: str, line: int, mask: np.ndarray, elements: np.ndarray) -> bool:
        """Whether a static view lies inside its buffer on every PE of the mask."""
        try:
            low = self.scope.grid(view.offset)
            high, empty = low, np.zeros_like(mask)
            for dim in view.dims or ():
                extent = self.scope.grid(dim.extent)
                reach = (np.maximum(extent, 1) - 1) * self.scope.grid(dim.stride)
                low, high = low + np.minimum(reach, 0), high + np.maximum(reach, 0)
                empty = empty | (extent < 1)
        except StaticFailure:
            return False
        if view.dims is None:
            high = low + elements - 1
        outside = mask & ~empty & ((low < 0) | (high >= elements))
        if not outside.any():
            return True
        y, x = np.argwhere(outside)[0]
        self.problems.add(
            "M0327",
            f"{what} reaches elements {low[y, x]} to {high[y, x]} of buffer {view.buffer!r} on "
            f"{describe_pes(outside)}; it has 0 to {elements[y, x] - 1}",
            line,
            view.buffer,
        )
        return False
