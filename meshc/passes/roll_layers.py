"""roll-layers: repeated layers become one loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Block, Location, Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.name_templates import shape_of_name, template
from meshc.passes.matching.periods import Run, repeated_runs

#: What has no place in the sequence of computation: visible to all that follows, wherever it stands.
_LEAVES = ("graph.weight", "graph.positions")

#: Loops are looked for until none is found, but not forever.
_MAX_LOOPS = 16

#: How many of the longest runs are tried.
_MAX_RUNS = 64


@dataclass(frozen=True)
class RollLayers(Pass):
    """Turn consecutive layers that differ only in their weights' numbers into a ``graph.repeat``.

    Needs: the fusing passes before.

    Does: finds the longest run of operations that repeats itself with any period (two, where layers of two kinds
    alternate), whose weights' names differ in integers that grow evenly, and whose values come from the same place
    of the same or the previous repetition; what the layers hand on is carried::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w0 = graph.weight() {name = "layers.0.fc.weight"} : tensor<8x8xf32>
          %l0 = graph.linear(%x, %w0) {weight = "nk"} : tensor<1x4x8xf32>
          %a0 = graph.silu(%l0) : tensor<1x4x8xf32>
          %h0 = graph.add(%x, %a0) : tensor<1x4x8xf32>
          %w1 = graph.weight() {name = "layers.1.fc.weight"} : tensor<8x8xf32>
          %l1 = graph.linear(%h0, %w1) {weight = "nk"} : tensor<1x4x8xf32>
          %a1 = graph.silu(%l1) : tensor<1x4x8xf32>
          %h1 = graph.add(%h0, %a1) : tensor<1x4x8xf32>
          %w2 = graph.weight() {name = "layers.2.fc.weight"} : tensor<8x8xf32>
          %l2 = graph.linear(%h1, %w2) {weight = "nk"} : tensor<1x4x8xf32>
          %a2 = graph.silu(%l2) : tensor<1x4x8xf32>
          %y = graph.add(%h1, %a2) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %0 = graph.repeat(%x) {count = 3, counter = "l"} : tensor<1x4x8xf32> (%x_1: tensor<1x4x8xf32>) {
            %1 = graph.weight() {name = "layers.{l}.fc.weight"} : tensor<8x8xf32>
            %l0 = graph.linear(%x_1, %1) {weight = "nk"} : tensor<1x4x8xf32>
            %a0 = graph.silu(%l0) : tensor<1x4x8xf32>
            %h0 = graph.add(%x_1, %a0) : tensor<1x4x8xf32>
            graph.yield(%h0)
          }
          return(%0)
        }

    Holds after: the module's size does not grow with the number of such layers. Where nothing repeats, or names
    follow no template, it stays as it is.
    """

    name: ClassVar[str] = "roll-layers"
    least: int = 2

    def run(self, module: Module, context: PassContext) -> None:
        """Roll the best run of each function, then the best of what is left."""
        for func in module.body.ops:
            for block in func.regions:
                for number in range(_MAX_LOOPS):
                    counter = "l" if number == 0 else f"l{number}"
                    if not self._roll_once(block, counter):
                        break

    def _roll_once(self, block: Block, counter: str) -> bool:
        sequence = [op for op in block.ops if op.name not in _LEAVES]
        keys = [_key(op) for op in sequence]
        for run in repeated_runs(keys)[:_MAX_RUNS]:
            for count, starts in _alignments(run):
                if count < self.least:
                    continue
                loops = [_Loop(block, sequence, start, run.period, count, counter) for start in starts]
                alike = [loop for loop in loops if loop.is_loop()]
                if alike:
                    # Where layers begin is a matter of taste, but for how much one hands to the next.
                    min(alike, key=lambda loop: len(loop.carried)).emit()
                    return True
        return False


def _key(op: Operation) -> tuple[object, ...]:
    """Equal for operations that could be the same one of two layers; unlike for what cannot be in a loop."""
    if op.regions or op.name in ("return", "graph.yield"):
        return (id(op),)
    operands = []
    for value in op.operands:
        leaf = value.op
        if leaf is not None and leaf.name == "graph.weight":
            operands.append((shape_of_name(leaf.attributes["name"]), str(value.type)))
        else:
            operands.append(("", str(value.type)))
    attributes = tuple((k, repr(v)) for k, v in sorted(op.attributes.items()))
    return (op.name, attributes, tuple(operands), tuple(str(r.type) for r in op.results))


def _alignments(run: Run) -> list[tuple[int, list[int]]]:
    """Where whole repetitions may start within a run, by their number: as many as possible first."""
    spare = run.length - run.count * run.period
    full = [run.start + shift for shift in range(min(spare, run.period - 1) + 1)]
    fewer = [run.start + shift for shift in range(spare + 1, run.period)]
    return [(run.count, full), (run.count - 1, fewer)]


class _Loop:
    """One candidate: ``count`` repetitions of ``period`` operations from ``start`` in the sequence."""

    def __init__(self, block: Block, sequence: Sequence[Operation], start: int, period: int, count: int, counter: str):
        self.block = block
        self.period, self.count, self.counter = period, count, counter
        self.ops = sequence[start : start + period * count]
        self.first = self.ops[:period]
        self.place: dict[Value, tuple[int, int, int]] = {}
        for i, op in enumerate(self.ops):
            for j, result in enumerate(op.results):
                self.place[result] = (i // period, i % period, j)
        self.carried: dict[tuple[int, int], Value] = {}
        self.sources: list[list[object]] | None = None

    def is_loop(self) -> bool:
        """Whether the layers are alike in where their values come from and go to."""
        self.sources = self._sources()
        return self.sources is not None and self._only_last_is_used()

    def _sources(self) -> list[list[object]] | None:
        """For every operand of the first layer where it comes from, the same in all layers; None where it is not."""
        rows: list[list[object]] = []
        for i in range(self.period):
            row: list[object] = []
            for n in range(len(self.first[i].operands)):
                source = self._source([self.ops[k * self.period + i].operands[n] for k in range(self.count)])
                if source is None:
                    return None
                row.append(source)
            rows.append(row)
        return rows

    def _source(self, values: Sequence[Value]) -> object | None:
        """("weight", template), ("here", op, result), ("before", op, result) or ("outside", value)."""
        leaves = [v.op for v in values]
        if all(op is not None and op.name == "graph.weight" for op in leaves):
            names = tuple(op.attributes["name"] for op in leaves if op is not None)
            found = template(names, self.counter)
            return None if found is None else ("weight", found, values[0])
        if all(v is values[0] for v in values) and values[0] not in self.place:
            return ("outside", values[0])
        places = [self.place.get(v) for v in values]
        here = places[0]
        if here is not None:
            if all(p == (k, here[1], here[2]) for k, p in enumerate(places)):
                return ("here", here[1], here[2])
            return None
        second = places[1]
        if second is None or any(p != (k, second[1], second[2]) for k, p in enumerate(places[1:])):
            return None
        known = self.carried.setdefault((second[1], second[2]), values[0])
        return ("before", second[1], second[2]) if known is values[0] else None

    def _only_last_is_used(self) -> bool:
        """Whether what follows the loop reads nothing but carried values of the last layer."""
        inside = set(self.ops)
        for op in self.block.ops:
            if op in inside:
                continue
            for inner in op.walk():
                for value in inner.operands:
                    place = self.place.get(value)
                    if place is None:
                        continue
                    if place[0] != self.count - 1 or (place[1], place[2]) not in self.carried:
                        return False
        return True

    def emit(self) -> None:
        """Replace the layers by a loop."""
        sources = self.sources
        assert sources is not None
        slots = list(self.carried)
        initial = [self.carried[slot] for slot in slots]
        body = Block([v.type for v in initial], [v.name for v in initial])
        arguments = dict(zip(slots, body.args, strict=True))
        weights: dict[str, Value] = {}
        made: list[Operation] = []
        for i, op in enumerate(self.first):
            operands = [self._operand(source, body, arguments, weights, made) for source in sources[i]]
            names = [r.name for r in op.results]
            new = Operation(
                op.name, operands, [r.type for r in op.results], op.attributes, (), self._location(i), names
            )
            made.append(body.append(new))
        body.append(Operation("graph.yield", [made[i].results[j] for i, j in slots]))
        loop = Operation(
            "graph.repeat",
            initial,
            [v.type for v in initial],
            {"count": self.count, "counter": self.counter},
            [body],
        )
        self._replace(loop, slots)

    def _location(self, i: int) -> Location:
        """The first layer's line, in the scope of all layers (``model.layers.{l}.mlp``)."""
        first = self.first[i].location
        scopes = [self.ops[k * self.period + i].location.scope for k in range(self.count)]
        return Location(first.file, first.line, template(scopes, self.counter) or first.scope)

    def _operand(
        self,
        source: object,
        body: Block,
        arguments: dict[tuple[int, int], Value],
        weights: dict[str, Value],
        made: list[Operation],
    ) -> Value:
        match source:
            case ("weight", str(name), Value() as like):
                if name not in weights:
                    if "{" not in name:
                        weights[name] = like
                    else:
                        weight = Operation("graph.weight", [], [like.type], {"name": name})
                        weights[name] = body.append(weight).result
                return weights[name]
            case ("here", int(i), int(j)):
                return made[i].results[j]
            case ("before", int(i), int(j)):
                return arguments[i, j]
            case ("outside", Value() as value):
                return value
        raise AssertionError(source)

    def _replace(self, loop: Operation, slots: list[tuple[int, int]]) -> None:
        """Put the loop in the layers' place and drop the weights that only they read."""
        last = self.ops[(self.count - 1) * self.period :]
        results = {last[i].results[j]: r for (i, j), r in zip(slots, loop.results, strict=True)}
        inside = set(self.ops)
        kept: list[Operation] = []
        for op in self.block.ops:
            if op is self.ops[0]:
                kept.append(loop)
            if op not in inside:
                kept.append(op)
        for op in kept:
            if op is not loop:
                for inner in op.walk():
                    inner.operands = [results.get(v, v) for v in inner.operands]
        loop.parent = self.block
        used = {v for op in kept for inner in op.walk() for v in inner.operands}
        hoisted = [op for op in kept if op.name in _LEAVES and op.result in used]
        self.block.ops = hoisted + [op for op in kept if op.name not in _LEAVES]
