"""Ways to break a program: one edit each, at one of the places where it applies.

An edit need not break the program: two sends may change places and nobody mind. So what is tested is that the static
check and the engines are of one opinion (test_broken.py), and ``codes`` are those that the check may give where it
rejects the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from meshrt.program.expr import Int
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import (
    PORTS,
    For,
    If,
    Instruction,
    Region,
    Statement,
    Until,
    View,
    instructions_in,
)
from tests.differential.case import Case
from tests.differential.statements import Body, do

RECEIVES = ("recv", "recv_add", "recv_max")
STREAMS = ("stream_add", "stream_max", "stream_copy")
#: Words without a reader, readers without words, and what follows: a deadlock, leftovers, wrong ports and dtypes.
UNMATCHED = frozenset({"M0500", "M0502", "M0505", "M0506", "M0510", "M0518"})
#: Statements of one body, edited in one place.
BodyEdit = Callable[[Body], Iterator[Body]]


@dataclass(frozen=True)
class Mutation:
    """``variants`` are all programs that one edit of this kind makes of a case, in a fixed order."""

    name: str
    variants: Callable[[Case], Iterator[Case]]
    codes: frozenset[str]

    def apply(self, case: Case, number: int) -> Case | None:
        """One of the variants, none where there is none."""
        found = list(self.variants(case))
        return found[number % len(found)] if found else None


def everywhere(body: Body, edit: BodyEdit) -> Iterator[Body]:
    """The body with one edit in it, or in a body inside."""
    yield from edit(body)
    for i, statement in enumerate(body):
        inside: Iterator[Statement] = iter(())
        match statement:
            case For() | Until():
                inside = (replace(statement, body=b) for b in everywhere(statement.body, edit))
            case If():
                inside = (replace(statement, then=b) for b in everywhere(statement.then, edit))
        yield from ((*body[:i], changed, *body[i + 1 :]) for changed in inside)
        if isinstance(statement, If):
            for b in everywhere(statement.otherwise, edit):
                yield (*body[:i], replace(statement, otherwise=b), *body[i + 1 :])


def in_code(edit: BodyEdit) -> Callable[[Case], Iterator[Case]]:
    """Variants that differ in one code."""

    def of_region(region: Region) -> Iterator[Region]:
        for number, code in enumerate(region.codes):
            for body in everywhere(code.body, edit):
                changed = replace(code, body=body)
                yield replace(region, codes=(*region.codes[:number], changed, *region.codes[number + 1 :]))

    return in_region(of_region)


def in_region(edit: Callable[[Region], Iterator[Region]]) -> Callable[[Case], Iterator[Case]]:
    """Variants that differ in one region."""

    def variants(case: Case) -> Iterator[Case]:
        regions = case.program.regions
        for number, region in enumerate(regions):
            for changed in edit(region):
                program = replace(case.program, regions=(*regions[:number], changed, *regions[number + 1 :]))
                yield replace(case, program=program)

    return variants


def at_each(change: Callable[[Instruction], Body | None]) -> BodyEdit:
    """An edit of one instruction: the statements that stand in its place, or None to leave it."""

    def edit(body: Body) -> Iterator[Body]:
        for i, statement in enumerate(body):
            if isinstance(statement, Instruction) and (changed := change(statement)) is not None:
                yield (*body[:i], *changed, *body[i + 1 :])

    return edit


def dropping(*opcodes: str) -> BodyEdit:
    return at_each(lambda s: () if s.opcode in opcodes else None)


def _moved(instruction: Instruction) -> View | None:
    """What a move of the fabric reads or writes."""
    fabric = INSTRUCTIONS[instruction.opcode].group == "fabric" and instruction.args
    return instruction.args[0] if fabric and isinstance(instruction.args[0], View) else None


def _longer(instruction: Instruction) -> Body | None:
    view = _moved(instruction)
    if view is None or not view.dims:
        return None
    grown = replace(view, dims=(*view.dims[:-1], replace(view.dims[-1], extent=view.dims[-1].extent + 1)))
    return (replace(instruction, args=(grown,)),)


def _touched(instruction: Instruction) -> Body | None:
    view = _moved(instruction)
    if view is None or instruction.option("async") is None:
        return None
    return instruction, do("fill", view, value=1.0)


def _recolored(color: int) -> Callable[[Instruction], Body | None]:
    def change(instruction: Instruction) -> Body | None:
        if instruction.option("color") is None:
            return None
        options = tuple((k, Int(color) if k == "color" else v) for k, v in instruction.options)
        return (replace(instruction, options=options),)

    return change


def _launched_twice(instruction: Instruction) -> Body | None:
    return (instruction, instruction) if instruction.option("async") is not None else None


def _swapped(body: Body) -> Iterator[Body]:
    """Two neighbours change places that both move words."""
    speaks = [any(_moved(i) for i in instructions_in((statement,))) for statement in body]
    for i in range(len(body) - 1):
        if speaks[i] and speaks[i + 1] and body[i] != body[i + 1]:
            yield (*body[:i], body[i + 1], body[i], *body[i + 2 :])


def _rerouted(region: Region) -> Iterator[Region]:
    """One route takes its words from another port, or sends them to another one."""
    for number, route in enumerate(region.routes):
        turned = [replace(route, source=p) for p in PORTS if p != route.source and p not in route.destinations]
        turned += [
            replace(route, destinations=(p, *route.destinations[1:]))
            for p in PORTS
            if p != route.source and p not in route.destinations
        ]
        for other in turned:
            yield replace(region, routes=(*region.routes[:number], other, *region.routes[number + 1 :]))


def _met(region: Region) -> Iterator[Region]:
    """A stream's route at some routers gets another stream's color."""
    for number, route in enumerate(region.routes):
        for color in sorted({other.color for other in region.routes} - {route.color}):
            changed = replace(route, color=color)
            yield replace(region, routes=(*region.routes[:number], changed, *region.routes[number + 1 :]))


def _overlapping(region: Region) -> Iterator[Region]:
    """A buffer lies where another one lies."""
    for number, buffer in enumerate(region.buffers):
        for other in region.buffers:
            if other.address != buffer.address:
                moved = replace(buffer, address=other.address)
                yield replace(region, buffers=(*region.buffers[:number], moved, *region.buffers[number + 1 :]))


def _shallow(case: Case) -> Iterator[Case]:
    """Queues of one word."""
    if case.target.queue_words > 1:
        yield replace(case, numbers={**case.numbers, "queue_words": 1})


ROUTES = UNMATCHED | {"M0314", "M0320", "M0330", "M0504"}
HANDLES = UNMATCHED | {"M0507", "M0508", "M0509"}

MUTATIONS = (
    Mutation("drop a receive", in_code(dropping(*RECEIVES)), HANDLES),
    Mutation("drop a send", in_code(dropping("send")), HANDLES),
    Mutation("drop a stream-through", in_code(dropping(*STREAMS)), HANDLES),
    Mutation("move one element more", in_code(at_each(_longer)), HANDLES | {"M0327", "M0512", "M0523"}),
    Mutation("swap two moves", in_code(_swapped), HANDLES),
    Mutation("drop a wait", in_code(dropping("wait")), HANDLES),
    Mutation("drop a route", in_code(dropping("route")), ROUTES),
    Mutation("touch what a move holds", in_code(at_each(_touched)), HANDLES),
    Mutation("launch twice", in_code(at_each(_launched_twice)), HANDLES),
    Mutation("speak on a color that no router has", in_code(at_each(_recolored(30))), frozenset({"M0320"})),
    Mutation("speak on another color", in_code(at_each(_recolored(0))), ROUTES | HANDLES),
    Mutation("turn a route", in_region(_rerouted), ROUTES),
    Mutation("let two streams meet", in_region(_met), ROUTES),
    Mutation("overlap two buffers", in_region(_overlapping), HANDLES | {"M0322", "M0512", "M0332"}),
    Mutation("one word to a queue", _shallow, frozenset({"M0500"})),
)
