"""Planned addresses: buffers that share memory never disturb each other, in codes of any form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuilder
from meshc.passes.base import PassContext
from meshc.passes.liveness import live_intervals
from meshc.passes.pipeline import run_pipeline
from meshc.passes.plan_memory import Demand, PlanMemory, assign
from meshrt.program.expr import Name, as_expr, evaluate
from meshrt.target import load_target

# ---- random codes --------------------------------------------------------------------

#: Elements of each buffer: most alike, so that they can be exchanged and take each other's place.
SIZES = {**{f"b{i}": 2 for i in range(9)}, **{f"c{i}": 3 for i in range(3)}}
WRITES = ("fill", "fill", "fill", "fill_first", "fill_where", "fill_at_counter", "move")


def skeleton(random: Random, slots: list[list], depth: int = 0) -> list:
    """Loops, branches and scopes around empty lists, which are also noted in text order."""
    found = []
    for _ in range(random.randint(2, 4)):
        kind = random.choice(("slot", "slot", "loop", "loop", "when", "scope") if depth < 3 else ("slot",))
        if kind == "slot":
            slots.append([])
            found.append(slots[-1])
        elif kind == "loop":
            found.append((kind, random.choice((0, 1, 2, 3, 3)), skeleton(random, slots, depth + 1)))
        elif kind == "when":
            found.append((kind, skeleton(random, slots, depth + 1), []))
        else:
            found.append((kind, skeleton(random, slots, depth + 1)))
    return found


def statements(random: Random) -> list:
    """A code in which each buffer is used in a few places that stand close together."""
    slots: list[list] = []
    code = skeleton(random, slots)
    for name in SIZES:
        first = random.randrange(len(slots))
        near = slots[first : first + random.randint(1, 4)]
        for kind in random.choice(
            (("write", "read"), ("read", "write"), ("write", "read", "exchange"), ("sum", "write"))
        ):
            slot = random.choice(near)
            other = random.choice([each for each in SIZES if each != name and SIZES[each] == SIZES[name]])
            slot.insert(
                random.randint(0, len(slot)),
                {
                    "write": lambda name=name: (random.choice(WRITES), name),
                    "read": lambda name=name: ("read", name),
                    "sum": lambda name=name, other=other: ("copy", (other, name)),
                    "exchange": lambda name=name, other=other: ("rotate", (name, other)),
                }[kind](),
            )
    return code


@dataclass
class Writer:
    """Appends statements to a region; a buffer under a move is left alone, a scope stands in no scope."""

    region: Operation = field(
        default_factory=lambda: Operation(
            "mesh.region", attributes={"name": "main", "width": 1, "height": 1, "origin": (0, 0)}, regions=[Block()]
        )
    )
    moving: list[str] = field(default_factory=list)
    counters: list[Name] = field(default_factory=list)
    in_scope: bool = False
    number: int = 0

    def module(self, statements) -> Module:
        self.builder = MeshBuilder(self.region, 1, 1)
        self.buffers = {name: self.builder.buffer(name, "f32", size) for name, size in SIZES.items()}
        self.body(statements)
        self.builder.finish()
        module = Module("mesh", attributes={"ops": ()})
        module.body.append(self.region)
        return module

    def body(self, statements) -> None:
        before = len(self.moving)
        self.append(statements)
        while len(self.moving) > before:
            self.builder.emit("wait", handle=self.moving.pop())

    def append(self, statements) -> None:
        for statement in statements:
            if isinstance(statement, list):
                self.append(statement)
                continue
            kind, *rest = statement
            names = rest[0] if kind in ("copy", "rotate") else rest[:1] if isinstance(rest[0], str) else ()
            if not any(name in self.moving for name in names):
                getattr(self, kind)(*rest)

    def value(self) -> float:
        self.number += 1
        return float(self.number)

    def counter(self):
        return self.counters[-1] if self.counters else as_expr(0)

    def fill(self, name):
        self.builder.emit("fill", self.buffers[name], value=self.value())

    def fill_first(self, name):
        self.builder.emit("fill", self.buffers[name].at(0, 1), value=self.value())

    def fill_where(self, name):
        self.builder.emit("fill", self.buffers[name], value=self.value(), where=Name("i0") % 2)

    def fill_at_counter(self, name):
        at = self.counter() % SIZES[name]
        self.builder.emit("fill", self.buffers[name].at(at, 1), value=self.value())

    def copy(self, pair):
        self.builder.emit("copy", *(self.buffers[name] for name in pair))

    def read(self, name):
        self.builder.emit("send", self.buffers[name], color=0)

    def rotate(self, pair):
        self.builder.emit("rotate", *(self.buffers[name] for name in pair))

    def loop(self, count, body):
        with self.builder.loop("s", count) as counter:
            self.counters.append(counter)
            self.body(body)
            self.counters.pop()

    def when(self, then, otherwise):
        with self.builder.when((self.counter() % 2).eq(1) if self.counters else Name("x")):
            self.body(then)
        with self.builder.otherwise():
            self.body(otherwise)

    def scope(self, body):
        outside, self.in_scope = not self.in_scope, True
        with self.builder.scope(0) if outside else nullcontext():
            self.body(body)
        self.in_scope = not outside

    def move(self, name):
        """Launched here, waited for behind what follows in the same body."""
        self.builder.emit("recv", self.buffers[name], color=0, async_=name)
        self.moving.append(name)


# ---- what the code does -------------------------------------------------------------


class Memory:
    """Cells by address. What was never written there, or is being received, holds nothing."""

    def __init__(self, addresses: dict[str, int]):
        self.addresses = dict(addresses)
        self.cells: dict[int, float] = {}

    def read(self, name, elements):
        return [self.cells.get(self.addresses[name] + 4 * i) for i in elements]

    def write(self, name, elements, values):
        self.cells |= {self.addresses[name] + 4 * i: v for i, v in zip(elements, values, strict=True)}

    def forget(self, name):
        self.write(name, range(SIZES[name]), [None] * SIZES[name])


@dataclass
class Run:
    """Executes a code and notes every element that it reads. ``scratch`` of each scope ends with it."""

    memory: Memory
    scratch: Callable[[Operation], list[str]] = lambda op: []
    reads: list = field(default_factory=list)
    moves: dict[str, str] = field(default_factory=dict)
    received: int = 0

    def block(self, block: Block, env: dict[str, int]) -> None:
        for op in block.ops:
            getattr(self, op.name.removeprefix("mesh.") + "_")(op, env)

    def elements(self, view, env):
        if view.dims is None:
            return list(range(SIZES[view.buffer]))
        start, (dim,) = evaluate(view.offset, env, {}), view.dims
        return list(range(start, start + evaluate(dim.extent, env, {})))

    def for_(self, op, env):
        a = op.attributes
        for i in range(evaluate(a["start"], env, {}), evaluate(a["stop"], env, {})):
            self.block(op.regions[0], {**env, a["counter"]: i})

    def if_(self, op, env):
        self.block(op.regions[0 if evaluate(op.attributes["condition"], env, {}) else 1], env)

    def scope_(self, op, env):
        self.block(op.regions[0], env)
        for name in self.scratch(op):
            self.memory.forget(name)

    def fill_(self, op, env):
        (view,) = op.attributes["args"]
        where = op.attributes.get("where", as_expr(1))
        elements = [i for i in self.elements(view, env) if evaluate(where, {**env, "i0": i}, {})]
        self.memory.write(view.buffer, elements, [op.attributes["value"]] * len(elements))

    def copy_(self, op, env):
        target, source = op.attributes["args"]
        values = self.memory.read(source.buffer, self.elements(source, env))
        self.reads += values
        self.memory.write(target.buffer, self.elements(target, env), values)

    def send_(self, op, env):
        (view,) = op.attributes["args"]
        self.reads += self.memory.read(view.buffer, self.elements(view, env))

    def rotate_(self, op, env):
        a, b = (view.buffer for view in op.attributes["args"])
        addresses = self.memory.addresses
        addresses[a], addresses[b] = addresses[b], addresses[a]

    def recv_(self, op, env):
        (view,) = op.attributes["args"]
        self.moves[op.attributes["async"]] = view.buffer
        self.memory.forget(view.buffer)

    def wait_(self, op, env):
        name = self.moves.pop(op.attributes["handle"])
        self.received -= 1
        self.memory.write(name, range(SIZES[name]), [float(self.received)] * SIZES[name])


def buffers_in(op: Operation) -> set[str]:
    return {view.buffer for inner in op.walk() for view in inner.attributes.get("args", ())}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_shared_memory_changes_nothing(seed):
    """Every element that holds something where buffers lie apart holds the same where they share memory."""
    module = Writer().module(statements(Random(seed)))
    run_pipeline(module, [PlanMemory()])
    declarations = module.body.ops[0].regions[0].ops
    (code,) = [op for op in declarations if op.name == "mesh.code"]
    planned = {op.attributes["name"]: op.attributes["address"] for op in declarations if op.name == "mesh.buffer"}
    scopes = [op for op in code.walk() if op.name == "mesh.scope"]

    def scratch(scope: Operation) -> list[str]:
        outside = [op for op in code.walk() if op not in set(scope.walk()) and not op.regions]
        return sorted(buffers_in(scope) - set().union(*map(buffers_in, outside)))

    left = {scope: scratch(scope) for scope in scopes}
    apart = Run(Memory({name: 1000 * i for i, name in enumerate(SIZES)}), left.__getitem__)
    shared = Run(Memory(planned))
    for run in (apart, shared):
        run.block(code.regions[0], {"x": 0, "y": 0})
    assert len(apart.reads) == len(shared.reads)
    assert all(mine == other for mine, other in zip(apart.reads, shared.reads, strict=True) if mine is not None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20), st.integers(0, 10)), max_size=14))
def test_no_two_buffers_that_live_at_once_overlap(shapes):
    demands = [Demand(f"b{i}", size, first, first + more) for i, (size, first, more) in enumerate(shapes)]
    addresses = assign(demands, 100)
    for a, b in itertools.combinations(demands, 2):
        if a.meets(b):
            start, stop = addresses[a.name], addresses[b.name]
            assert start + a.room <= stop or stop + b.room <= start
    assert all(address >= 100 and address % 4 == 0 for address in addresses.values())


def test_sharing_takes_no_more_than_what_lives_at_once_in_a_row_of_steps():
    demands = [Demand(f"b{i}", 40, i, i + 1) for i in range(20)]
    addresses = assign(demands, 0)
    assert max(addresses.values()) + 40 == 80


def test_the_target_s_numbers_count_where_it_is_known():
    target = load_target("tiny")
    module = Writer().module([("fill", "b0"), ("loop", 2, [("read", "b0")])])
    run_pipeline(module, [PlanMemory(sram_bytes=1)], PassContext(target=target))
    region = module.body.ops[0].attributes
    assert region["code_bytes"] == target.code_bytes(3)
    assert region["peak_bytes"] == math.ceil(target.code_bytes(3) / 4) * 4 + 4 * SIZES["b0"]


def test_a_buffer_s_interval_is_never_empty():
    module = Writer().module([("fill", "b0"), ("read", "b1")])
    (code,) = [op for op in module.body.ops[0].regions[0].ops if op.name == "mesh.code"]
    assert live_intervals([code.regions[0]], SIZES) == {"b0": (1, 1), "b1": (2, 2)}
