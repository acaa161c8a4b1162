"""``place``: from sharded values to buffers, streams and instructions on a rectangle of PEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.layout import Block as BlockLayout
from meshc.dialects.tile import ShardType
from meshc.ir.core import Block, Module, Operation, Value, uses
from meshc.kernels.builder import MeshBuilder
from meshc.kernels.host_io import emit_input, emit_output
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.registry import kernels
from meshc.passes.base import Pass, PassContext
from meshc.passes.tile import DTYPE_POLICY


@dataclass(frozen=True)
class Place(Pass):
    """Place the function on a region and let each operation's kernel append its program.

    needs: the tile level with algorithms selected.

    does: makes one region of the grid's size at the fabric's origin; every value becomes a
    buffer; host ports bring the inputs and take the results; repeated layers become one
    loop over stacked weights; each source operation becomes an entry of the op table and a
    scope around its code.

    holds after: the mesh level. Buffers have no addresses and streams no colors yet.
    """

    name: ClassVar[str] = "place"

    logits: str = "all"

    def run(self, module: Module, context: PassContext) -> None:
        (func,) = module.body.ops
        width, height = module.attributes["grid"]
        operand, other = DTYPE_POLICY[module.attributes["dtype"]]
        region = Operation(
            "mesh.region",
            attributes={"name": "main", "width": width, "height": height, "origin": (0, 0)},
            regions=[Block()],
        )
        builder = MeshBuilder(region, width, height)
        batch, sequence = func.attributes["batch"], func.attributes["sequence"]
        tokens = BlockLayout(batch * sequence, height)
        lowering = Lowering(builder, operand, other, batch, sequence, tokens, self.logits)
        builder.scalar("length", 1, sequence)
        walk = _Walk(lowering, module)
        body = func.regions[0]
        for value in body.args:
            with builder.scope(walk.source("input", value.name)):
                emit_input(value, value.name or "input", lowering)
        walk.block(body)
        builder.finish()
        module.level = "mesh"
        module.body = Block()
        module.body.append(region)
        module.attributes["ops"] = tuple(walk.sources)


class _Walk:
    """Visits the tile operations in order and keeps the op table."""

    def __init__(self, lowering: Lowering, module: Module):
        self.lowering = lowering
        self.builder = lowering.builder
        self.kernels: dict[str, Kernel] = kernels()
        self.users = uses(module)
        self.sources: list[tuple[str, str]] = []

    def source(self, name: str, detail: str, location: str = "") -> int:
        """A new entry of the op table."""
        self.sources.append((f"{name} {detail}".strip(), location))
        return len(self.sources) - 1

    def block(self, block: Block) -> None:
        for position, op in enumerate(block.ops):
            self.builder.location = op.location
            match op.name:
                case "tile.weight" | "tile.yield" | "return":
                    pass
                case "tile.repeat":
                    self._repeat(op, block.ops[position + 1 :])
                case "tile.output":
                    with self.builder.scope(self.source("output", ", ".join(op.attributes["names"]))):
                        emit_output(op, self.lowering)
                case _:
                    self._kernel(op, block.ops[position + 1 :])

    def _kernel(self, op: Operation, later: Sequence[Operation]) -> None:
        kernel = self.kernels[op.attributes["algorithm"]]
        self.lowering.dying = self._dying(op, later)
        location = f"{op.location.file}:{op.location.line}" if op.location.file else ""
        with self.builder.scope(self.source(op.name.removeprefix("tile."), op.location.scope, location)):
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
        """One loop; a carried value keeps one buffer, into which the body's result is copied if need be."""
        lowering, builder = self.lowering, self.builder
        body = op.regions[0]
        dying = self._dying(op, later)
        for value, inner in zip(op.operands, body.args, strict=True):
            source = lowering.buffer_of(value)
            if value not in dying:
                kept = builder.buffer("carried", source.dtype, *source.shape)
                builder.emit("copy", kept, source)
                source = kept
            lowering.values[inner] = source
        counter, count = op.attributes["counter"], op.attributes["count"]
        with builder.loop(counter, count) as index:
            outer, lowering.counter = lowering.counter, (index.name, count)  # type: ignore[attr-defined]
            self.block(body)
            lowering.counter = outer
            for yielded, inner in zip(body.ops[-1].operands, body.args, strict=True):
                source, target = lowering.buffer_of(yielded), lowering.buffer_of(inner)
                if source is not target:
                    builder.emit("copy", target, source)
        for result, inner in zip(op.results, body.args, strict=True):
            lowering.values[result] = lowering.buffer_of(inner)
