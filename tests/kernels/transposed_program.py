"""A program of one A Bᵀ and nothing else, to hold a kernel's prediction against a run."""

from __future__ import annotations

from dataclasses import dataclass

from meshc.dialects.layout import Block, Cyclic, Layout
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Module, Operation, TensorType
from meshc.passes.base import PassContext
from meshc.passes.pipeline import run_pipeline
from meshc.passes.select_kernels import SelectKernels
from meshrt.target import Target
from tests.kernels.gemm_program import Product


@dataclass(frozen=True)
class Transposed(Product):
    """C[m, n] = X[m, k] W[n, k]ᵀ: ``w`` is [K, N] as in :class:`Product`, stored as its order says."""

    def module(self, result: bool = False) -> Module:
        (width, height), (m, k, n) = self.grid, self.size
        operand, other = DTYPE_POLICY[self.dtype]
        body = IRBlock([TensorType((1, m), "i64")], ["ids"])
        builder = Builder(body)
        tokens = Block(m, height)
        table = builder.create("tile.weight", [], [TensorType((m, k), "f32")], {"name": "x"}).result
        shard = ShardType(operand, tokens, Block(k, width))
        x = builder.create("tile.position_embedding", [table], [shard], {"sequence": m}).result
        weight = builder.create("tile.weight", [], [TensorType((k, n), "f32")], {"name": "w"}).result
        features: Layout = Block(n, width) if width == height else Cyclic(n, width, height)
        attributes: dict[str, object] = {"order": "kn", "start": 0, "stop": n, "algorithm": self.kernel}
        if self.schedule:
            attributes["schedule"] = dict(self.schedule)
        types = [ShardType(other, tokens, features)]
        c = builder.create("tile.gemm_transposed", [x, weight], types, attributes).result
        if result:
            builder.create("tile.output", [c], [], {"names": ("c",), "shapes": ((1, m, n),)})
        builder.create("return")
        grid = {"name": "forward", "width": width, "height": height, "dtype": self.dtype, "batch": 1, "sequence": m}
        module = Module("tile")
        module.body.append(Operation("func", attributes=grid, regions=[body]))
        return module

    def operation(self, target: Target) -> Operation:
        module = self.module()
        run_pipeline(module, [SelectKernels()], PassContext(target=target))
        return next(op for op in module.walk() if op.name == "tile.gemm_transposed")
