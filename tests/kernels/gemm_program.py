"""A program of one product and nothing else, to run and to time a GEMM kernel on an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshc.dialects.layout import Block
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.emit.program import emit_program
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Module, Operation, TensorType
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.pipeline import run_pipeline
from meshc.passes.place import Place
from meshc.passes.plan_memory import PlanMemory
from meshc.passes.select_kernels import SelectKernels
from meshrt.program.check import diagnose
from meshrt.program.cost import element_cycles
from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import Target


@dataclass(frozen=True)
class Product:
    """C[m, n] = X[m, k] W[k, n] by one kernel on a grid, in the arithmetic of ``--dtype``."""

    kernel: str
    grid: tuple[int, int]
    size: tuple[int, int, int]
    dtype: str = "f32"

    def module(self, result: bool = False) -> Module:
        """The tile level: X placed where it belongs, the product, and its way out where the ``result`` is asked for."""
        (width, height), (m, k, n) = self.grid, self.size
        operand, other = DTYPE_POLICY[self.dtype]
        ids = TensorType((1, m), "i64")
        body = IRBlock([ids], ["ids"])
        builder = Builder(body)
        tokens = Block(m, height)
        table = builder.create("tile.weight", [], [TensorType((m, k), "f32")], {"name": "x"}).result
        shard = ShardType(operand, tokens, Block(k, width))
        x = builder.create("tile.position_embedding", [table], [shard], {"sequence": m}).result
        weight = builder.create("tile.weight", [], [TensorType((k, n), "f32")], {"name": "w"}).result
        parts = ({"weight": 1, "order": "kn", "start": 0, "stop": n},)
        shard = ShardType(other, tokens, Block(n, width))
        c = builder.create("tile.gemm", [x, weight], [shard], {"parts": parts, "algorithm": self.kernel}).result
        if result:
            builder.create("tile.output", [c], [], {"names": ("c",), "shapes": ((1, m, n),)})
        builder.create("return")
        attributes = {"name": "forward", "width": width, "height": height, "dtype": self.dtype, "batch": 1}
        module = Module("tile")
        module.body.append(Operation("func", attributes={**attributes, "sequence": m}, regions=[body]))
        return module

    def program(self, target: Target, result: bool = False) -> Program:
        """The program, checked for the target."""
        module = self.module(result)
        passes = [SelectKernels(), Place(), AllocateColors(), PlanMemory()]
        run_pipeline(module, passes, PassContext(target=target))
        program = emit_program(module)
        assert not diagnose(program, target)
        return program

    def run(self, target: Target, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The product by the batched engine, every R4 conflict an error."""
        m, _, n = self.size
        program = self.program(target, result=True)
        weights = {"x": x.astype(np.float32), "w": w.astype(np.float32)}
        scalars = {program.regions[0].name: {"length": m}}
        found = run_program(program, target, weights, {}, scalars, options=RunOptions(checked=True))
        return found.outputs["c"].reshape(m, n)

    def time(self, target: Target, engine: str = "batched") -> RunResult:
        """A run without the way out, and where the engine can, without arithmetic."""
        (m, k, n), scalars = self.size, {"main": {"length": self.size[0]}}
        weights = {"x": np.zeros((m, k), np.float32), "w": np.zeros((k, n), np.float32)}
        options = RunOptions(engine=engine, timing_only=engine == "batched")
        return run_program(self.program(target), target, weights, {}, scalars, options=options)

    def cycles(self, target: Target, engine: str = "batched") -> int:
        """Cycles from the first PE's start to the last one's end, those in which X was copied to its place left out."""
        (width, height), (m, k, _) = self.grid, self.size
        tile = Block(m, height).tile * Block(k, width).tile
        return int(self.time(target, engine).clocks.max()) - element_cycles(
            target, "move", tile, DTYPE_POLICY[self.dtype][0]
        )
