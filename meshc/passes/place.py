"""``place``: from sharded values to buffers, streams and instructions on a rectangle of PEs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from meshc.dialects.layout import Block as BlockLayout
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Block, Module, Operation, Value, uses
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.host_io import emit_input, emit_output
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_trees import LineTrees
from meshc.kernels.lowering import Lowering
from meshc.kernels.registry import kernels
from meshc.kernels.token_loop import TOKENS, TokenLoop
from meshc.options import LOGITS, CompileOptions
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, as_expr

#: The phase between prefill and decode, and the operations that it is made of.
RELAYOUT = "relayout"
_MOVES_CACHES = ("tile.relayout_cache", "tile.take_cache")


@dataclass(frozen=True)
class Place(Pass):
    """Place every function on a region and let each operation's kernel append its program.

    Needs: the tile level with algorithms selected.

    Does: makes a region of the grid's size for each function, the first at the fabric's origin,
    every other one at the eastern edge of the one before; regions are named as functions that
    go with one another, and ``main`` otherwise. Every value becomes a buffer; host ports bring
    the inputs and take the results; repeated layers become one loop over stacked weights; each
    source operation becomes an entry of the op table and a scope around its code::

        module tile
        func() {name = "forward", width = 2, height = 1, dtype = "f32", batch = 1, sequence = 3}
            (%ids: tensor<1x3xi64>) {
          %t = tile.weight() {name = "positions"} : tensor<9x8xf32>
          %a = tile.position_embedding(%t) {sequence = 3, algorithm = "embedding.position"}
            : shard<"f32", block<3, 1>, block<8, 2>>
          %b = tile.unary(%a) {function = "relu", algorithm = "elementwise.unary"}
            : shard<"f32", block<3, 1>, block<8, 2>>
          return()
        }

    becomes ::

        module mesh {ops = [["position_embedding", ""], ["unary", ""]]}
        mesh.region() {name = "main", width = 2, height = 1, origin = [0, 0]} () {
          mesh.scalar() {name = "length", low = 1, high = 3}
          mesh.buffer() {rect = [0, 2, 0, 1, 1, 1], name = "positions", dtype = "f32", shape = [3, 4]}
          mesh.place() {
            rect = [0, 2, 0, 1, 1, 1], buffer = "positions", ranges = [["i", 0, 3], ["j", 0, 4]],
            tensor = "positions", indices = [expr<"select(y * 3 + i < 3, (y * 3 + i) % 3, -1)">, expr<"x * 4 + j">]
          }
          mesh.buffer() {rect = [0, 2, 0, 1, 1, 1], name = "a", dtype = "f32", shape = [3, 4]}
          mesh.buffer() {rect = [0, 2, 0, 1, 1, 1], name = "b", dtype = "f32", shape = [3, 4]}
          mesh.code() {rect = [0, 2, 0, 1, 1, 1], name = "main"} () {
            mesh.scope() {op = 0} () {
              mesh.copy() {args = [view<"a">, view<"positions[0](3, 4)">]}
            }
            mesh.scope() {op = 1} () {
              mesh.max() {args = [view<"b">, view<"a">, 0.0]}
            }
          }
        }

    Holds after: the mesh level. Buffers have no addresses and streams no colors yet.
    """

    name: ClassVar[str] = "place"
    level: ClassVar[str] = "tile"

    #: Whether the logits of all positions leave the wafer, only the last token's, or none (in decode), and how many
    #: elements of a token table ride the ring at once; those of the compilation where they are left out.
    logits: Literal["all", "last", "none"] | None = None
    chunk_elements: int | None = None

    def run(self, module: Module, context: PassContext) -> None:
        phases = [func.attributes.get("phase") for func in module.body.ops]
        if len(phases) != 1 and phases != ["prefill", "decode"]:
            raise MeshError(
                "M0404",
                f"place takes one function, or a prefill and the decode behind it; this module has {len(phases)}",
            )
        placed, x = Block(), 0
        sources: list[tuple[str, ...]] = []
        for func in module.body.ops:
            region = empty_region(func, x)
            lowering = self.lowering(region, func, context)
            walk = _Walk(lowering, func, sources)
            if func.attributes.get("phase") == "decode":
                walk.steps(func)
            else:
                walk.inputs(func.regions[0])
                walk.block(func.regions[0])
            lowering.builder.finish()
            placed.append(region)
            x += func.attributes["width"]
        module.level = "mesh"
        module.body = placed
        module.attributes["ops"] = tuple(sources)

    def lowering(self, region: Operation, func: Operation, context: PassContext) -> Lowering:
        """What the kernels of a function append to the region with. Decode has the tokens of a step in every row."""
        a, options = func.attributes, context.options or CompileOptions()
        builder = MeshBuilder(region, a["width"], a["height"])
        decode = a.get("phase") == "decode"
        logits = self.logits or options.logits
        if logits not in LOGITS["decode" if decode else "prefill"]:
            logits = LOGITS["decode" if decode else "prefill"][0]
        return Lowering(
            builder,
            *DTYPE_POLICY[a["dtype"]],
            a["batch"],
            a["sequence"],
            BlockLayout(a["batch"] * a["sequence"], 1 if decode else a["height"]),
            as_expr(1) if decode else self._length(builder, func),
            logits,
            self.chunk_elements or options.chunk_elements,
            target=context.target,
            trees=LineTrees.of(a),
        )

    @staticmethod
    def _length(builder: MeshBuilder, func: Operation) -> Expr:
        """Tokens of the prompts, known when the program runs; what only fills caches works on the longest."""
        longest = func.attributes["sequence"]
        return as_expr(longest) if "phase" in func.attributes else builder.scalar("length", 1, longest)


def empty_region(func: Operation, x: int = 0) -> Operation:
    """The region of a function, on its grid from column ``x`` of the fabric on, with nothing in it."""
    a = func.attributes
    attributes = {"name": _own_phase(func) or "main", "width": a["width"], "height": a["height"]}
    return Operation("mesh.region", attributes={**attributes, "origin": (x, 0)}, regions=[Block()])


def _own_phase(func: Operation) -> str:
    """The phase of a function that is one of two, else nothing."""
    a = func.attributes
    return a["name"] if a.get("phase") == "prefill" or a.get("prefilled") else ""


class _Walk:
    """Visits the tile operations in order and keeps the op table."""

    def __init__(self, lowering: Lowering, func: Operation, sources: list[tuple[str, ...]]):
        self.lowering = lowering
        self.builder = lowering.builder
        self.kernels: dict[str, Kernel] = kernels()
        self.users = uses(func.regions[0])
        self.sources = sources
        self.phase = _own_phase(func)
        self.output: Callable[[Operation], None] = partial(emit_output, lowering=lowering)

    def source(self, name: str, detail: str, location: str = "", phase: str | None = None) -> int:
        """A new entry of the op table, with its phase where there are several."""
        entry = (f"{name} {detail}".strip(), location)
        phase = phase or self.phase
        self.sources.append((*entry, phase) if phase else entry)
        return len(self.sources) - 1

    def inputs(self, body: Block) -> None:
        """The arrival of every input that something reads."""
        for value in body.args:
            if value in self.users:
                with self.builder.scope(self.source("input", value.name)):
                    emit_input(value, value.name or "input", self.lowering)

    def steps(self, func: Operation) -> None:
        """The token loop of decode around the function's body."""
        a, body, lowering = func.attributes, func.regions[0], self.lowering
        (ids,) = body.args
        with self.builder.scope(self.source("input", ids.name)):
            loop = TokenLoop.receive(ids, a["prompt"], a["context"], lowering, bool(a.get("prefilled")))
        for op in body.ops:
            if op.name == "tile.take_cache":
                self._kernel(op, ())
        sampled = [op.result for op in body.ops if op.name == "tile.sample"]
        lowering.inputs.update(dict.fromkeys(sampled, loop.tokens))
        if lowering.logits == "all":
            self.output = loop.tell_logits
        with loop.steps():
            self.block(body)
            if sampled:
                with self.builder.scope(self.source("output", TOKENS)):
                    loop.tell()

    def block(self, block: Block) -> None:
        for position, op in enumerate(block.ops):
            self.builder.location = op.location
            match op.name:
                case "tile.weight" | "tile.yield" | "return" | "tile.take_cache":
                    pass
                case "tile.repeat":
                    self._repeat(op, block.ops[position + 1 :])
                case "tile.output":
                    if self.lowering.logits != "none":
                        with self.builder.scope(self.source("output", ", ".join(op.attributes["names"]))):
                            self.output(op)
                case _:
                    self._kernel(op, block.ops[position + 1 :])

    def _kernel(self, op: Operation, later: Sequence[Operation]) -> None:
        kernel = self.kernels.get(op.attributes.get("algorithm", ""))
        if kernel is None or kernel.operation != op.name:
            helps = ["run select-kernels before place"]
            raise MeshError("M0404", f"{op.name} has no algorithm", place=op.location.place, helps=helps)
        self.lowering.dying = self._dying(op, later)
        location = f"{op.location.file}:{op.location.line}" if op.location.file else ""
        phase = RELAYOUT if op.name in _MOVES_CACHES else None
        with self.builder.scope(self.source(op.name.removeprefix("tile."), op.location.scope, location, phase)):
            kernel.emit(op, self.lowering)

    def _dying(self, op: Operation, later: Sequence[Operation]) -> frozenset[Value]:
        """Operands that nothing after the operation reads, in its own block."""
        after = set(later)
        dying = []
        for value in op.operands:
            if not isinstance(value.type, ShardType):
                continue
            readers = [user for user, _ in self.users.get(value, []) if user is not op]
            own = value.op.parent if value.op is not None else value.owner
            if own is op.parent and not any(r in after or r.parent is not op.parent for r in readers):
                dying.append(value)
        return frozenset(dying)

    def _repeat(self, op: Operation, later: Sequence[Operation]) -> None:
        """One loop; a carried value keeps one buffer, which holds the first value before and takes what is yielded."""
        lowering, builder = self.lowering, self.builder
        body = op.regions[0]
        dying = self._dying(op, later)
        kept: dict[MeshBuffer, MeshBuffer] = {}
        for value, inner in zip(op.operands, body.args, strict=True):
            source = lowering.buffer_of(value)
            # A buffer that is read again, or that carries another value already, is not this value's own.
            own = value in dying and source not in kept
            target = source if own else builder.buffer("carried", source.dtype, *source.shape)
            kept[target] = source
            lowering.values[inner] = target
        self._carry(kept, op)
        counter, count = op.attributes["counter"], op.attributes["count"]
        with lowering.repeating(counter, count):
            self.block(body)
            yielded = map(lowering.buffer_of, body.ops[-1].operands)
            self._carry(dict(zip(map(lowering.buffer_of, body.args), yielded, strict=True)), op)
        for result, inner in zip(op.results, body.args, strict=True):
            lowering.values[result] = lowering.buffer_of(inner)

    def _carry(self, moves: dict[MeshBuffer, MeshBuffer], op: Operation) -> None:
        """Copy into each buffer its source, as if all at once."""
        builder = self.builder
        builder.location = op.location
        moves = {target: source for target, source in moves.items() if source != target}
        if not moves:
            return
        with builder.scope(self.source("carry", op.attributes["counter"])):
            while moves:
                target = next((t for t in moves if t not in moves.values()), None)
                if target is None:
                    # What is left goes round in circles: set one buffer aside.
                    target = next(iter(moves))
                    aside = builder.buffer("aside", target.dtype, *target.shape)
                    builder.emit("copy", aside, target)
                    moves = {t: aside if s == target else s for t, s in moves.items()}
                builder.emit("copy", target, moves.pop(target))
