"""When each buffer of a mesh-level region holds something that is still needed: an analysis.

Code is numbered in text order. A buffer lives from its first to its last access; a loop
stretches that where the value may cross iterations. Kernel scratch (all accesses inside
one scope) never lives beyond its scope, because a kernel leaves nothing in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshc.ir.core import Block, Operation
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import View


@dataclass(slots=True)
class _Access:
    position: int
    writes_first: bool
    loops: tuple[int, ...]
    scope: int


@dataclass(slots=True)
class _Numbering:
    """Accesses of each buffer, and the stretch and depth of each loop and scope."""

    position: int = 0
    accesses: dict[str, list[_Access]] = field(default_factory=dict)
    loops: list[list[int]] = field(default_factory=list)
    loop_scope: list[int] = field(default_factory=list)
    scopes: int = 0
    pending: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)

    def visit(self, block: Block, loops: tuple[int, ...], scope: int, conditional: bool) -> None:
        for op in block.ops:
            self.position += 1
            match op.name:
                case "mesh.for" | "mesh.until":
                    self.loops.append([self.position, self.position])
                    self.loop_scope.append(scope)
                    index = len(self.loops) - 1
                    self.visit(op.regions[0], (*loops, index), scope, False)
                    self.position += 1
                    self.loops[index][1] = self.position
                case "mesh.if":
                    for inner in op.regions:
                        self.visit(inner, loops, scope, True)
                case "mesh.scope":
                    self.scopes += 1
                    self.visit(op.regions[0], loops, self.scopes, conditional)
                case _:
                    self._instruction(op, loops, scope, conditional)

    def _instruction(self, op: Operation, loops: tuple[int, ...], scope: int, conditional: bool) -> None:
        opcode = op.name.removeprefix("mesh.")
        spec = INSTRUCTIONS[opcode]
        partial = "where" in op.attributes
        names = []
        for arg, (_, role) in zip(op.attributes["args"], spec.operands, strict=True):
            if isinstance(arg, View):
                names.append((arg.buffer, role == "out" and not partial and not conditional))
        # Operands are read before the result is written: r = r + a reads r.
        read = {arg.buffer for arg, (_, role) in zip(op.attributes["args"], spec.operands, strict=True)
                if isinstance(arg, View) and role != "out"}
        if "async" in op.attributes:
            self.pending[op.attributes["async"]] = names
        if opcode == "wait":
            names = [(name, False) for name, _ in self.pending.pop(op.attributes["handle"], [])]
        for name, pure in names:
            self.accesses.setdefault(name, []).append(
                _Access(self.position, pure and name not in read, loops, scope)
            )


def live_intervals(code: Block) -> dict[str, tuple[int, int]]:
    """(first, last) position, inclusive, at which each buffer must keep its bytes."""
    numbering = _Numbering()
    numbering.visit(code, (), 0, False)
    intervals = {}
    for name, accesses in numbering.accesses.items():
        first, last = accesses[0].position, accesses[-1].position
        one_scope = len({a.scope for a in accesses}) == 1
        for index, (start, stop) in enumerate(numbering.loops):
            inside = [a for a in accesses if index in a.loops]
            if not inside:
                continue
            outer_of_scope = numbering.loop_scope[index] != accesses[0].scope
            if len(inside) == len(accesses):
                # Only used inside this loop: its value crosses iterations unless each begins by writing it.
                if not inside[0].writes_first and not (one_scope and outer_of_scope):
                    first, last = min(first, start), max(last, stop)
            else:
                if accesses[0] not in inside:
                    first, last = min(first, start), max(last, stop)
                elif not inside[0].writes_first:
                    first = min(first, start)
        intervals[name] = (first, last)
    return intervals
