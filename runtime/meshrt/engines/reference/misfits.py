"""Operands and index expressions that failed on one PE, evaluated once more to say what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.flatten import Again, Branch, Enter, Execute, Head, Leave
from meshrt.engines.loading.names import RegionNames
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.lowering import Lowered
from meshrt.engines.reference.state import State
from meshrt.engines.views import collapse, dense_strides
from meshrt.engines.wording import Wording
from meshrt.program.expr import Expr, evaluate, names_in
from meshrt.program.model import Instruction, View

#: Dimensions that an instruction walks after merging.
_WALKED = 4


@dataclass(frozen=True, slots=True)
class _View:
    extents: tuple[int, ...]
    strides: tuple[int, ...]


class _Place:
    """One PE at one step: evaluates expressions as it did, and finds what fails."""

    def __init__(self, names: RegionNames, local: int, counters: Mapping[str, int], buffers, say: Wording, pe: int):
        self._names = names
        self._counters = counters
        self._local = local
        self._buffers = buffers
        self._say = say
        self._pe = pe

    def value(self, expr: Expr, where: str) -> int:
        bound: dict[str, Any] = {}
        for name in names_in(expr):
            if name in self._counters:
                bound[name] = self._counters[name]
            elif name in self._names.scalars:
                bound[name] = self._names.scalars[name]
            elif name in self._names.per_pe:
                bound[name] = int(self._names.per_pe[name][self._local])
            else:
                raise MeshError("M0520", f"{name} has no value {where}".rstrip())
        try:
            return int(evaluate(expr, bound, self._names.tables))
        except ZeroDivisionError:
            raise MeshError("M0521", f"an index expression divides by zero {where}".rstrip()) from None

    def view(self, view: View, where: str) -> _View:
        buffer = self._buffers.get(view.buffer)
        if buffer is None:
            x, y = self._say.where(self._pe)
            raise MeshError("M0522", f"PE ({x}, {y}) has no buffer {view.buffer} {where}")
        if view.dims is None:
            extents, strides = buffer.shape, dense_strides(buffer.shape)
        else:
            extents = tuple(self.value(d.extent, where) for d in view.dims)
            strides = tuple(self.value(d.stride, where) for d in view.dims)
        offset = self.value(view.offset, where)
        low = offset + sum(min(0, (e - 1) * s) for e, s in zip(extents, strides, strict=True))
        high = offset + sum(max(0, (e - 1) * s) for e, s in zip(extents, strides, strict=True))
        if any(e < 0 for e in extents):
            raise MeshError("M0523", f"a view of {view.buffer} has a negative extent {where}")
        if prod(extents) and (low < 0 or high >= buffer.elements):
            raise MeshError("M0523", f"elements {low} to {high} of {view.buffer} {where}: it has {buffer.elements}")
        return _View(extents, strides)


def describe_misfit(
    state: State,
    lowered: Lowered,
    names: Sequence[RegionNames],
    bases: Sequence[int],
    say: Wording,
    pe: int,
) -> MeshError:
    """What is wrong with the operands or expressions of the step that a PE is at: M0520 to M0525."""
    code, at = lowered.origins[int(state.tables["pes"][pe, rec.E_STEP])]
    region, linear = lowered.codes[code]
    base = bases[region]
    counters = dict(zip(linear.counters(at), state.tables["counters"][pe].tolist(), strict=False))
    x, y = say.where(pe)
    buffers = {b.name: b for b in names[region].region.buffers if (x, y) in b.rect}
    place = _Place(names[region], pe - base, counters, buffers, say, pe)
    try:
        match linear.steps[at]:
            case Execute(instruction, _):
                _instruction(instruction, place)
            case Enter(_, start, line):
                place.value(start, f"in the loop at line {line}")
            case Head(_, stop, _, line):
                place.value(stop, f"in the loop at line {line}")
            case Branch(condition, _, line):
                place.value(condition, f"in the condition at line {line}")
            case Again(flag, _, line) | Leave(flag, _, line):
                place.view(flag, f"in until at line {line}")
    except MeshError as error:
        return error
    raise AssertionError(f"nothing is wrong at step {at}")


def _instruction(instruction: Instruction, place: _Place) -> None:
    opcode, where = instruction.opcode, f"in {instruction.opcode} at line {instruction.line}"
    here = f"{opcode} at line {instruction.line}"
    views = [place.view(a, where) for a in instruction.args if isinstance(a, View)]
    for name in ("color", "in", "out", "base"):
        expr = instruction.option(name)
        if isinstance(expr, Expr):
            place.value(expr, "")
    if opcode in ("gemm", "gemm_t"):
        if min(len(v.extents) for v in views) < 2:
            raise MeshError("M0524", f"{here} needs operands of rank 2 or more")
        shown = " and ".join(([", ".join(str(list(v.extents)) for v in views[:-1])]) + [str(list(views[-1].extents))])
        raise MeshError("M0524", f"{here} has operands of extents {shown}")
    if opcode == "gather":
        r, table, index = (prod(v.extents) for v in views)
        width = table // views[1].extents[0] if views[1].extents[0] else 0
        raise MeshError("M0524", f"gather at line {instruction.line} puts {index} rows of {width} elements into {r}")
    if opcode == "rotate":
        raise MeshError("M0524", f"{here} needs two whole buffers of one shape and dtype")
    if opcode in ("sum", "reduce_max"):
        r, a = views
        if _squeezed(a.extents[:-1]) != _squeezed(r.extents):
            raise MeshError("M0524", f"{here} reduces {list(a.extents)} into {list(r.extents)}")
        views = [r, _View(a.extents[:-1], a.strides[:-1])]
    for other in views[1:]:
        if _squeezed(other.extents) != _squeezed(views[0].extents):
            raise MeshError(
                "M0524",
                f"{here} has operands of extents {list(views[0].extents)} and {list(other.extents)}",
            )
    extents = _squeezed(views[0].extents)
    strides = [[s for e, s in zip(v.extents, v.strides, strict=True) if e != 1] for v in views]
    try:
        collapse(extents, strides, _WALKED)
    except ValueError as error:
        raise MeshError(
            "M0525", f"{here} walks {error} dimensions that do not merge; at most {_WALKED} are possible"
        ) from None
    # Options over element indices are what is left; where one fails depends on the element.
    for name in ("value", "where"):
        expr = instruction.option(name)
        if isinstance(expr, Expr):
            raise MeshError("M0521", "an index expression divides by zero")


def _squeezed(extents: Sequence[int]) -> tuple[int, ...]:
    return tuple(e for e in extents if e != 1)
