"""A product by any GEMM kernel on its own: C[M, N] = X[M, K] W[K, N] on W x H PEs, from the tile level down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from meshc.dialects.layout import Block, Layout
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.emit.program import emit_program
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Module, Operation, TensorType
from meshc.kernels.schedule import Schedule
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.pipeline import run_pipeline
from meshc.passes.place import Place
from meshc.passes.plan_memory import PlanMemory
from meshc.passes.select_kernels import SelectKernels
from meshrt.program.model import Program
from meshrt.target import Target


@dataclass(frozen=True)
class Product:
    """``size`` is (M, K, N), ``grid`` (W, H), ``kernel`` one of ``tile.gemm``, ``dtype`` the arithmetic of ``--dtype``.

    ``schedule`` is as much of the kernel's schedule as is given; the rest is chosen by cost.

    The program takes the tensors ``x`` [M, K] and ``w`` [K, N]; its region has the runtime
    scalar ``length``, which is M. X is copied to its place first.
    """

    #: What it is at the tile level.
    tile_operation: ClassVar[str] = "tile.gemm"

    kernel: str
    grid: tuple[int, int]
    size: tuple[int, int, int]
    dtype: str = "f32"
    schedule: Schedule = field(default_factory=dict)

    def columns(self) -> Layout:
        """How the columns of C lie over x."""
        return Block(self.size[2], self.grid[0])

    def weight(self) -> dict[str, object]:
        """What the operation says of its weight."""
        return {"parts": ({"weight": 1, "order": "kn", "start": 0, "stop": self.size[2]},)}

    def module(self, result: bool = False) -> Module:
        """The tile level: X placed where it belongs, the product, and its way out where the ``result`` is asked for."""
        (width, height), (m, k, n) = self.grid, self.size
        operand, other = DTYPE_POLICY[self.dtype]
        body = IRBlock([TensorType((1, m), "i64")], ["ids"])
        builder = Builder(body)
        tokens = Block(m, height)
        table = builder.create("tile.weight", [], [TensorType((m, k), "f32")], {"name": "x"}).result
        shard = ShardType(operand, tokens, Block(k, width))
        x = builder.create("tile.position_embedding", [table], [shard], {"sequence": m}).result
        weight = builder.create("tile.weight", [], [TensorType((k, n), "f32")], {"name": "w"}).result
        chosen: dict[str, object] = {"algorithm": self.kernel}
        if self.schedule:
            chosen["schedule"] = dict(self.schedule)
        type = ShardType(other, tokens, self.columns())
        c = builder.create(self.tile_operation, [x, weight], [type], {**self.weight(), **chosen}).result
        if result:
            builder.create("tile.output", [c], [], {"names": ("c",), "shapes": ((1, m, n),)})
        builder.create("return")
        attributes = {"name": "forward", "width": width, "height": height, "dtype": self.dtype, "batch": 1}
        module = Module("tile")
        module.body.append(Operation("func", attributes={**attributes, "sequence": m}, regions=[body]))
        return module

    def program(self, target: Target, result: bool = False) -> Program:
        """The program for a target. Raises M0405 where the kernel does not apply, M0401 or M0406 if it does not fit."""
        module = self.module(result)
        passes = [SelectKernels(), Place(), AllocateColors(), PlanMemory()]
        run_pipeline(module, passes, PassContext(target=target))
        return emit_program(module)

    def operation(self, target: Target) -> Operation:
        """The product of :meth:`program`, as cost models take it: with the schedule that is chosen."""
        module = self.module()
        run_pipeline(module, [SelectKernels()], PassContext(target=target))
        return next(op for op in module.walk() if op.name == self.tile_operation)
