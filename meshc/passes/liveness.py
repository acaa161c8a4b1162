"""When each buffer of a mesh-level region holds something that is still needed: an analysis.

Code is numbered in text order, and a buffer lives from its first access to its last. A
loop stretches that over all of its rounds unless each of them begins by overwriting the
whole buffer. Three rules go beyond the accesses themselves:

- An asynchronous move touches its buffer until its ``wait``, also one in the next round.
- What ``rotate`` exchanges lives as long as both: after an odd number of exchanges each
  lies where the other one was placed.
- Kernel scratch (all accesses in one scope) does not outlive a round of the loops around
  its scope, because a kernel leaves nothing behind in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshc.ir.core import Block, Operation
from meshrt.program.expr import Int
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class _Place:
    """Where code stands: the loops around it, outermost first, and its kernel's scope.

    ``sure`` is how many of these loops lie outside the innermost condition; the code runs in
    every round of the others.
    """

    loops: tuple[int, ...] = ()
    sure: int = 0
    scope: int = 0


@dataclass(frozen=True, slots=True)
class _Access:
    """One instruction's use of a buffer; ``overwrites`` says that it writes all of it and reads nothing."""

    position: int
    place: _Place
    overwrites: bool

    def begins_anew(self, loop: int) -> bool:
        """Whether every round of that loop overwrites the buffer here."""
        return self.overwrites and self.place.loops.index(loop) >= self.place.sure


@dataclass(slots=True)
class _Loop:
    start: int
    scope: int
    stop: int = 0


#: Buffers that a move under way touches, by its handle.
_Moves = dict[str, frozenset[str]]


@dataclass(slots=True)
class _Numbering:
    """The accesses of each buffer, and what stretches its life."""

    elements: Mapping[str, int]
    position: int = 0
    accesses: dict[str, list[_Access]] = field(default_factory=dict)
    loops: list[_Loop] = field(default_factory=list)
    scopes: int = 0
    moves: _Moves = field(default_factory=dict)
    exchanged: list[tuple[str, ...]] = field(default_factory=list)

    def visit(self, block: Block, place: _Place) -> None:
        for op in block.ops:
            self.position += 1
            match op.name:
                case "mesh.for" | "mesh.until":
                    self._loop(op, place)
                case "mesh.if":
                    sides = [*op.regions, Block()][:2]
                    self._branches(sides, _Place(place.loops, len(place.loops), place.scope))
                case "mesh.scope":
                    self.scopes += 1
                    self.visit(op.regions[0], _Place(place.loops, place.sure, self.scopes))
                case _:
                    self._instruction(op, place)

    def _loop(self, op: Operation, place: _Place) -> None:
        loop = _Loop(self.position, place.scope)
        self.loops.append(loop)
        before = self.moves
        loops = (*place.loops, len(self.loops) - 1)
        inside = _Place(loops, place.sure if _runs(op) else len(place.loops), place.scope)
        self.visit(op.regions[0], inside)
        self.position += 1
        loop.stop = self.position
        flag = op.attributes.get("until", op.attributes.get("flag"))
        if isinstance(flag, View):
            self._touch((flag.buffer,), inside, loop.stop)
        for handle, buffers in self.moves.items():
            if before.get(handle) != buffers:
                # Still under way when the next round begins.
                self._touch(buffers, inside, loop.start)
                self._touch(buffers, inside, loop.stop)

    def _branches(self, regions: Sequence[Block], place: _Place) -> None:
        before, after = self.moves, {}
        for region in regions:
            self.moves = before
            self.visit(region, place)
            for handle, buffers in self.moves.items():
                after[handle] = after.get(handle, frozenset()) | buffers
        self.moves = after

    def _instruction(self, op: Operation, place: _Place) -> None:
        if op.name == "mesh.wait":
            handle = op.attributes["handle"]
            self._touch(self.moves.get(handle, frozenset()), place, self.position)
            self.moves = {h: buffers for h, buffers in self.moves.items() if h != handle}
            return
        spec = INSTRUCTIONS[op.name.removeprefix("mesh.")]
        args = zip(op.attributes["args"], spec.operands, strict=True)
        views = [(arg, role) for arg, (_, role) in args if isinstance(arg, View)]
        # Operands are read before the result is written: r = r + a reads r.
        read = {view.buffer for view, role in views if role != "out"}
        for view, _ in views:
            whole = "where" not in op.attributes and _is_whole(view, self.elements.get(view.buffer))
            self._add(view.buffer, _Access(self.position, place, whole and view.buffer not in read))
        if "async" in op.attributes:
            self.moves = {**self.moves, op.attributes["async"]: frozenset(view.buffer for view, _ in views)}
        if spec.opcode == "rotate":
            self.exchanged.append(tuple(view.buffer for view, _ in views))

    def _touch(self, buffers: Iterable[str], place: _Place, position: int) -> None:
        for name in buffers:
            self._add(name, _Access(position, place, overwrites=False))

    def _add(self, name: str, access: _Access) -> None:
        self.accesses.setdefault(name, []).append(access)


def _runs(op: Operation) -> bool:
    """Whether a loop surely runs a round."""
    match op.attributes.get("start"), op.attributes.get("stop"):
        case Int(start), Int(stop):
            return start < stop
    return op.name == "mesh.until"


def _is_whole(view: View, elements: int | None) -> bool:
    """Whether a view surely covers its buffer: one element after another, from the first to the last."""
    if view.dims is None:
        return view.offset == Int(0)
    step = 1
    for dim in reversed(view.dims):
        if not isinstance(dim.extent, Int) or dim.stride != Int(step):
            return False
        step *= dim.extent.value
    return view.offset == Int(0) and step == elements


def live_intervals(codes: Sequence[Block], elements: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(first, last) position, inclusive, at which each buffer must keep its bytes.

    ``codes`` are those of one region; they run on different PEs and are numbered one after
    another. ``elements`` is how many each buffer has.
    """
    numbering = _Numbering(elements)
    for code in codes:
        numbering.visit(code, _Place())
    intervals = {name: _interval(accesses, numbering.loops) for name, accesses in numbering.accesses.items()}
    for group in _joined(numbering.exchanged):
        stretch = min(intervals[name][0] for name in group), max(intervals[name][1] for name in group)
        intervals |= dict.fromkeys(group, stretch)
    return intervals


def _interval(accesses: list[_Access], loops: list[_Loop]) -> tuple[int, int]:
    accesses = sorted(accesses, key=lambda a: a.position)
    first, last = accesses[0].position, accesses[-1].position
    scratch = len({a.place.scope for a in accesses}) == 1
    for number, loop in enumerate(loops):
        inside = [a for a in accesses if number in a.place.loops]
        if not inside or inside[0].begins_anew(number):
            continue
        if scratch and loop.scope != accesses[0].place.scope:
            continue
        first, last = min(first, loop.start), max(last, loop.stop)
    return first, last


def _joined(pairs: list[tuple[str, ...]]) -> list[set[str]]:
    """Groups of names that the pairs connect."""
    groups: list[set[str]] = []
    for pair in pairs:
        meeting = [group for group in groups if not group.isdisjoint(pair)]
        groups = [group for group in groups if group.isdisjoint(pair)]
        groups.append(set(pair).union(*meeting))
    return groups
