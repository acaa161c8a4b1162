"""A program interpreter for tests: one Python generator per PE, words routed one message at a time, no clocks.

It knows nothing of the engines and shares no code with them beyond the program types, so that values can be
compared. Small programs only. Buffers lie at their addresses: one that overwrites another, or is read before it
was written, gives NaN.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

import numpy as np
import torch

from meshrt.program.expr import evaluate, names_in
from meshrt.program.model import DTYPE_BYTES, For, If, Instruction, OpScope, Program, Until, View
from meshrt.program.parser import parse_expr

STEP = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}
OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}
TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values rounded to a dtype, held as f32 (i32 as int64)."""
    if dtype == "i32":
        return np.asarray(values).astype(np.int64)
    values = np.asarray(values, np.float32)
    if dtype == "f32":
        return values
    narrow = torch.from_numpy(np.array(values, order="C")).to(TORCH[dtype])
    return narrow.to(torch.float32).numpy().reshape(values.shape)


class Sram:
    """The memory of one PE, by halfwords: the value that begins in each, and how many bytes it has there."""

    def __init__(self, buffers):
        size = max((b.address + b.bytes + 3 for b in buffers), default=0) // 2
        self.values, self.widths = np.zeros(size), np.zeros(size, np.int8)
        self.addresses = {b.name: b.address for b in buffers}
        self.dtypes = {b.name: b.dtype for b in buffers}

    def _at(self, name, index):
        width = DTYPE_BYTES[self.dtypes[name]]
        return (self.addresses[name] + np.asarray(index) * width) // 2, width

    def read(self, name, index):
        at, width = self._at(name, index)
        sound = self.widths[at] == width
        if width == 4:
            sound &= self.widths[at + 1] == 1
        return np.where(sound, self.values[at], np.nan)

    def write(self, name, index, values):
        at, width = self._at(name, index)
        self.values[at], self.widths[at] = rounded(values, self.dtypes[name]), width
        if width == 4:
            self.widths[at + 1] = 1

    def rotate(self, a, b):
        self.addresses[a], self.addresses[b] = self.addresses[b], self.addresses[a]


@dataclass
class Interpreter:
    """Runs the only region of a program."""

    program: Program
    weights: dict[str, np.ndarray]
    scalars: dict[str, int]
    queues: dict = field(default_factory=lambda: defaultdict(deque))
    parked: dict = field(default_factory=lambda: defaultdict(deque))
    outputs: dict = field(default_factory=lambda: defaultdict(list))
    macs: int = 0

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (self.region,) = self.program.regions
        region = self.region
        self.tables = {t.name: np.array(t.entries) for t in region.tables}
        self.pes = [(x, y) for y in range(region.height) for x in range(region.width)]
        self.buffers = {b.name: b for b in region.buffers}
        self.memory = {pe: Sram([b for b in region.buffers if pe in b.rect]) for pe in self.pes}
        self.env = {}
        for pe in self.pes:
            env = {"x": pe[0], "y": pe[1], **self.scalars}
            for p in region.params:
                if pe in p.rect:
                    env[p.name] = evaluate(p.value, env, self.tables)
            self.env[pe] = env
        self.routes = {
            (pe, r.color): (r.source, r.destinations) for r in region.routes for pe in self.pes if pe in r.rect
        }
        self._place()
        for port in region.ports:
            if port.direction == "in":
                for pe in self.pes:
                    if pe in port.rect:
                        count = evaluate(port.count, self.env[pe], self.tables)
                        data = [self._input(port, inputs[port.name], pe, e) for e in range(count)]
                        self._travel(pe, port.color, port.side, np.array(data))
        running = {pe: self._body(self._code(pe), pe, dict(self.env[pe])) for pe in self.pes}
        blocked = set()
        while running:
            progress = False
            for pe in list(running):
                try:
                    while True:
                        waiting = next(running[pe])
                        if not self.queues[pe, waiting]:
                            break
                    if (pe, waiting) not in blocked:
                        blocked.add((pe, waiting))
                        progress = True
                    elif self.queues[pe, waiting]:
                        progress = True
                except StopIteration:
                    del running[pe]
                    progress = True
            if not progress and not any(self.queues[key] for key in blocked):
                raise RuntimeError(f"deadlock: {sorted(blocked)[:8]}")
            blocked = {(pe, c) for pe, c in blocked if pe in running and not self.queues[pe, c]}
            self.stuck = 0 if progress else getattr(self, "stuck", 0) + 1
            if self.stuck > 100:
                raise RuntimeError(f"deadlock: {sorted(blocked)[:8]}")
        assert not any(self.queues.values()), [k for k, v in self.queues.items() if v][:5]
        assert not any(self.parked.values())
        return {port.name: self._output(port) for port in region.ports if port.direction == "out"}

    def _input(self, port, tensor, pe, e):
        index = tuple(int(evaluate(i, {**self.env[pe], "e": e}, self.tables)) for i in port.indices)
        inside = all(0 <= i < n for i, n in zip(index, tensor.shape, strict=True))
        return tensor[index] if inside else 0

    def _output(self, port):
        result = np.zeros(port.shape, np.float32)
        for pe in self.pes:
            if pe in port.rect:
                data = np.concatenate([*self.outputs[pe, port.color], np.zeros(0)])
                count = evaluate(port.count, self.env[pe], self.tables)
                assert len(data) == count or (len(data) < count and not port.exact), (pe, len(data))
                for e, value in enumerate(data):
                    index = tuple(int(evaluate(i, {**self.env[pe], "e": e}, self.tables)) for i in port.indices)
                    if all(0 <= i < n for i, n in zip(index, port.shape, strict=True)):
                        result[index] = value
        return result

    def _code(self, pe):
        return next((c.body for c in self.region.codes if pe in c.rect), ())

    def _place(self):
        for p in self.region.placements:
            buffer = self.buffers[p.buffer]
            shape = tuple(r.stop - r.start for r in p.ranges)
            grids = np.meshgrid(*(np.arange(r.start, r.stop) for r in p.ranges), indexing="ij")
            flat = np.ravel_multi_index(tuple(grids), buffer.shape)
            local = {r.name: g for r, g in zip(p.ranges, grids, strict=True)}
            for pe in self.pes:
                if pe not in p.rect:
                    continue
                env = {**self.env[pe], **local}
                index = [np.broadcast_to(evaluate(i, env, self.tables), shape) for i in p.indices]
                for point in np.ndindex(shape):
                    name = p.tensor
                    while "{" in name:
                        start, stop = name.index("{"), name.index("}")
                        expr = parse_expr(name[start + 1 : stop])
                        value = evaluate(expr, {n: int(local[n][point]) for n in names_in(expr)}, {})
                        name = name[:start] + str(value) + name[stop + 1 :]
                    tensor = self.weights[name]
                    at = tuple(int(i[point]) for i in index)
                    inside = all(0 <= i < n for i, n in zip(at, tensor.shape, strict=True))
                    self.memory[pe].write(p.buffer, flat[point], tensor[at] if inside else 0.0)

    def _travel(self, pe, color, arrival, data):
        config = self.routes.get((pe, color))
        if config is None or config[0] != arrival:
            self.parked[pe, color].append((arrival, data))
            return
        for port in config[1]:
            if port == "RAMP":
                self.queues[pe, color].extend(data)
                continue
            dx, dy = STEP[port]
            beyond = (pe[0] + dx, pe[1] + dy)
            if beyond in self.env:
                self._travel(beyond, color, OPPOSITE[port], data)
            else:
                self.outputs[pe, color].append(data)

    def _turn(self, pe, color, source, destinations):
        self.routes[pe, color] = (source, destinations)
        waiting, self.parked[pe, color] = self.parked[pe, color], deque()
        for arrival, data in waiting:
            self._travel(pe, color, arrival, data)

    def _index(self, view: View, pe, env):
        buffer = self.buffers[view.buffer]
        if view.dims is None:
            return np.arange(buffer.elements).reshape(buffer.shape)
        at = np.array(evaluate(view.offset, env, self.tables))
        for d in view.dims:
            extent, stride = evaluate(d.extent, env, self.tables), evaluate(d.stride, env, self.tables)
            at = at[..., None] + np.arange(extent) * stride
        assert at.size == 0 or (at.min() >= 0 and at.max() < buffer.elements), (view, at.min(), at.max())
        return at

    def _read(self, arg, pe, env):
        if not isinstance(arg, View):
            return np.float32(arg)
        values = self.memory[pe].read(arg.buffer, self._index(arg, pe, env))
        return values.astype(np.int64 if self.buffers[arg.buffer].dtype == "i32" else np.float32)

    def _write(self, view, pe, env, values):
        at = self._index(view, pe, env)
        self.memory[pe].write(view.buffer, at, np.broadcast_to(values, at.shape))

    def _body(self, body, pe, env):
        for statement in body:
            match statement:
                case OpScope(body=inner):
                    yield from self._body(inner, pe, env)
                case For(counter, start, stop, inner, until):
                    for i in range(evaluate(start, env, self.tables), evaluate(stop, env, self.tables)):
                        yield from self._body(inner, pe, {**env, counter: i})
                        if until is not None and self._read(until, pe, {**env, counter: i}).any():
                            break
                case If(condition, then, otherwise):
                    yield from self._body(then if evaluate(condition, env, self.tables) else otherwise, pe, env)
                case Until(flag, inner):
                    while True:
                        yield from self._body(inner, pe, env)
                        if self._read(flag, pe, env).any():
                            break
                case Instruction():
                    yield from self._instruction(statement, pe, env)

    def _take(self, count, color, pe):
        taken = []
        while len(taken) < count:
            if not self.queues[pe, color]:
                yield color
                continue
            taken.append(self.queues[pe, color].popleft())
        return np.array(taken, np.float64)

    def _instruction(self, s, pe, env):
        args = s.args
        option = dict(s.options)
        value = lambda name: evaluate(option[name], env, self.tables)  # noqa: E731
        pending = env.setdefault("#pending", {})
        match s.opcode:
            case "send":
                self._travel(pe, value("color"), "RAMP", self._read(args[0], pe, env).astype(np.float64).ravel())
            case "recv" | "recv_add" | "recv_max":
                if "async" in option:
                    pending[option["async"]] = (s, dict(env))
                    return
                at = self._index(args[0], pe, env)
                data = (yield from self._take(at.size, value("color"), pe)).reshape(at.shape)
                if s.opcode != "recv":
                    own = self._read(args[0], pe, env)
                    data = data.astype(np.float32)
                    data = own + data if s.opcode == "recv_add" else np.maximum(own, data)
                self._write(args[0], pe, env, data)
            case "stream_add" | "stream_max" | "stream_copy":
                at = self._index(args[0], pe, env)
                data = (yield from self._take(at.size, value("in"), pe)).reshape(at.shape)
                if s.opcode == "stream_copy":
                    self._write(args[0], pe, env, data)
                else:
                    own = self._read(args[0], pe, env)
                    data = data.astype(np.float32)
                    data = own + data if s.opcode == "stream_add" else np.maximum(own, data)
                data = rounded(data, self.buffers[args[0].buffer].dtype)
                self._travel(pe, value("out"), "RAMP", data.astype(np.float64).ravel())
            case "wait":
                if option["handle"] in pending:
                    move, then = pending.pop(option["handle"])
                    blocking = Instruction(move.opcode, move.args, tuple(o for o in move.options if o[0] != "async"))
                    yield from self._instruction(blocking, pe, then)
            case "route":
                self._turn(pe, value("color"), option["from"], option["to"])
            case "rotate":
                self.memory[pe].rotate(args[0].buffer, args[1].buffer)
            case "gemm" | "gemm_t":
                c, a, b = (self._read(v, pe, env) for v in args)
                b = np.swapaxes(b, -1, -2) if s.opcode == "gemm_t" else b
                dtype = self.buffers[args[0].buffer].dtype
                self.macs += c.size * a.shape[-1]
                for k in range(a.shape[-1]):
                    c = rounded(c + a[..., :, k, None] * b[..., None, k, :], dtype)
                self._write(args[0], pe, env, c)
            case "fill":
                at = self._index(args[0], pe, env)
                where = option.get("where")
                if where is None:
                    self._write(args[0], pe, env, np.full(at.shape, option["value"]))
                    return
                grid = {f"i{n}": g for n, g in enumerate(np.indices(at.shape))}
                mask = np.broadcast_to(evaluate(where, {**env, **grid}, self.tables), at.shape)
                self._write(args[0], pe, env, np.where(mask != 0, option["value"], self._read(args[0], pe, env)))
            case "index":
                at = self._index(args[0], pe, env)
                grid = {f"i{n}": g for n, g in enumerate(np.indices(at.shape))}
                self._write(args[0], pe, env, evaluate(option["value"], {**env, **grid}, self.tables))
            case "gather":
                table, index = self._read(args[1], pe, env), self._read(args[2], pe, env).astype(np.int64)
                base = value("base") if "base" in option else 0
                rows = index - base
                inside = (rows >= 0) & (rows < len(table))
                found = table[np.where(inside, rows, 0)]
                self._write(args[0], pe, env, np.where(inside[(...,) + (None,) * (found.ndim - 1)], found, 0))
            case "sum":
                self._write(args[0], pe, env, self._read(args[1], pe, env).sum(-1, dtype=np.float32))
            case "reduce_max":
                self._write(args[0], pe, env, self._read(args[1], pe, env).max(-1))
            case _:
                operands = [self._read(a, pe, env) for a in args[1:]]
                with np.errstate(all="ignore"):
                    self._write(args[0], pe, env, ELEMENTWISE[s.opcode](*operands))


ELEMENTWISE = {
    "copy": lambda a: a,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum,
    "fma": lambda a, b, c: a * b + c,
    "sqrt": np.sqrt, "rsqrt": lambda a: 1 / np.sqrt(a), "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "erf": np.vectorize(math.erf), "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
}  # fmt: skip
