"""Builds a program of one relayout: the source lies as its layout says, and every PE's result tile is given out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshc.dialects.layout import Block, Layout
from meshc.dialects.shard import ShardType
from meshc.emit.program import emit_program
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Module, Operation, TensorType, Value
from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.kernels.lowering import Lowering, Section
from meshc.kernels.registry import kernels
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.pipeline import run_pipeline
from meshc.passes.plan_memory import PlanMemory
from meshrt.program.expr import Expr, Name, as_expr, evaluate, minimum, select
from meshrt.program.model import Program, Rect

KINDS = {"f32": np.float32, "f16": np.float16, "i32": np.int32}


@dataclass(frozen=True)
class Case:
    """A relayout on a grid by the kernel of that name."""

    source: ShardType
    target: ShardType
    width: int
    height: int
    kernel: str = "relayout.exchange"

    def operation(self) -> Operation:
        """The relayout, of a value that nothing else reads."""
        return Operation("tile.relayout", [Value(self.source, "source")], [self.target])

    def program(self, given_out: bool = True) -> Program:
        """The program: the port ``tiles`` gives [height, width, elements]; without it, nothing but the relayout."""
        region = Operation(
            "mesh.region",
            attributes={"name": "main", "width": self.width, "height": self.height, "origin": (0, 0)},
            regions=[IRBlock()],
        )
        builder = MeshBuilder(region, self.width, self.height)
        dtype = self.source.dtype
        lowering = Lowering(builder, dtype, dtype, 1, 1, Block(1, self.height), Name("length"))
        op = self.operation()
        kernel = kernels()[self.kernel]
        assert kernel.applies(op, self.width, self.height) is None
        placed = lowering.place("source", dtype, self.source.tile, [Section(_weight(self.source), self._indices)])
        lowering.values[op.operands[0]] = placed.buffer
        with builder.scope(0):
            kernel.emit(op, lowering)
        if given_out:
            self._give_out(builder, lowering.buffer_of(op.result))
        builder.finish()
        module = Module("mesh")
        module.attributes["ops"] = (("relayout", ""), ("output", ""))
        module.body.append(region)
        run_pipeline(module, [AllocateColors(), PlanMemory(sram_bytes=1 << 20)])
        return emit_program(module)

    def _indices(self, e: list[Expr]) -> list[Expr]:
        """Where in the tensor the elements of a source tile are: outside where the PE holds none."""
        along_y = _index(self.source.y, self.source.origin[1], Name("y"), e[0])
        along_x = _index(self.source.x, self.source.origin[0], Name("x"), e[1])
        return [along_x, along_y] if self.source.transposed else [along_y, along_x]

    def _give_out(self, builder: MeshBuilder, result) -> None:
        elements, width, height = result.elements, self.width, self.height
        stream = builder.stream("out", [StreamRoute(Rect(0, width, 0, height), "RAMP", ("E",))])
        e = Name("e")
        builder.port(
            "tiles",
            "out",
            side="E",
            rect=Rect(width - 1, width, 0, height),
            color=stream,
            dtype=result.dtype,
            shape=(height, width, elements),
            count=as_expr(width * elements),
            indices=(Name("y"), width - 1 - e // elements, e % elements),
        )
        with builder.scope(1):
            builder.emit("send", result, color=stream)
            if width > 1:
                with builder.when(Name("x").gt(0)):
                    builder.emit("route", color=stream, from_="W", to=("E",))

    def wanted(self, tensor: np.ndarray) -> np.ndarray:
        """What every PE should hold, [height, width, elements], zero where it is padding or holds nothing."""
        target = self.target
        tensor = tensor.T if target.transposed else tensor
        rows, columns = _held(target.y, target.origin[1], self.height), _held(target.x, target.origin[0], self.width)
        padded = np.zeros((tensor.shape[0] + 1, tensor.shape[1] + 1), tensor.dtype)
        padded[:-1, :-1] = tensor
        tiles = padded[rows[:, None, :, None], columns[None, :, None, :]]
        return tiles.reshape(self.height, self.width, -1)


def _weight(type: ShardType) -> Value:
    op = Operation("tile.weight", attributes={"name": "tensor"}, result_types=[TensorType(type.shape, "f32")])
    return op.result


def _index(layout: Layout, start: int, at: Expr, i: Expr) -> Expr:
    part = at - start
    return select(minimum(part.ge(0), part.lt(layout.parts)), layout.index(part, i), -1)


def _held(layout: Layout, start: int, length: int) -> np.ndarray:
    """The index at each place of every PE of an axis, [length, tile]; -1 for none."""
    found = np.full((length, layout.tile), -1)
    for p in range(layout.parts):
        for i in range(layout.tile):
            index = evaluate(layout.index(p, i), {}, {})
            if 0 <= index < layout.extent:
                found[start + p, i] = index
    return found
