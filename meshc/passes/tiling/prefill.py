"""Prefill: tokens in blocks over y, features over x."""

from __future__ import annotations

from collections.abc import Mapping

from meshc.dialects.layout import Block, Cyclic, Layout
from meshc.dialects.shard import ShardType
from meshc.ir.core import Builder, Operation, TensorType, Value
from meshc.passes.infer_layouts import OverY, infer_layouts
from meshc.passes.tiling.caches import describe_cache, moved_caches
from meshc.passes.tiling.conversion import Conversion, other_dtype, rows_of, weight_name


class PrefillConversion(Conversion):
    """The conversion of a function that works on whole prompts; ``kv`` says how tokens lie in the caches of decode."""

    def __init__(self, func: Operation, width: int, height: int, dtype: str, kv: str, joined: bool = True):
        super().__init__(func, width, height, dtype, joined)
        self.kv = kv
        self.tokens = Block(self.batch * self.sequence, height)
        self.transposed = self._transposed_products()
        self.layouts = infer_layouts(func, width, self.transposed)
        self.caches: list[Mapping[str, object]] = []

    def _transposed_products(self) -> dict[Value, Layout]:
        """Results of linears that are best computed with the weight as a token table, and how these then lie."""
        tables = {weight_name(op.operands[0]) for op in self.func.walk() if op.name == "graph.embedding"}
        found: dict[Value, Layout] = {}
        for op in self.func.walk():
            if op.name == "graph.linear" and (weight_name(op.operands[1]) in tables or self._leaves(op.result)):
                start, stop = rows_of(op)
                if self.width == self.height:
                    found[op.result] = Block(stop - start, self.width)
                else:
                    found[op.result] = Cyclic(stop - start, self.width, self.height)
        return found

    def _leaves(self, value: Value) -> bool:
        """Whether a value leaves the model, perhaps after elementwise operations."""
        return any(
            user.name == "return" or (len(user.operands) == 1 and user.results and self._leaves(user.result))
            for user, _ in self.users.get(value, [])
        )

    def lying(self, layout: Layout | OverY) -> ShardType:
        assert not isinstance(layout, OverY)
        return ShardType(other_dtype(self.dtype), self.tokens, layout)

    def attention(self, op: Operation, builder: Builder) -> None:
        attributes = {name: value for name, value in op.attributes.items() if name != "cache"}
        operands = self.taken(op, op.operands, builder)
        self.one(op, "tile.attention", operands, {**attributes, "sequence": self.sequence}, builder)
        if "cache" in op.attributes:
            builder.create("tile.keep", operands[1:], [], {"cache": op.attributes["cache"]})
            self.caches.append(describe_cache(op, *operands[1:]))

    def results(self, op: Operation, builder: Builder) -> None:
        """Results leave the wafer; what was kept for caches goes to where decode looks for it."""
        if self.caches:
            builder.create("tile.relayout_cache", attributes=moved_caches(self.func, self.kv, self.caches))
        if op.operands:
            self._output(op, builder)
        builder.create("return")

    def _output(self, op: Operation, builder: Builder) -> None:
        shapes = tuple(v.type.shape for v in op.operands if isinstance(v.type, TensorType))
        names = ("logits",) if len(shapes) == 1 else tuple(f"output_{i}" for i in range(len(shapes)))
        builder.create("tile.output", self.mapped(op.operands), [], {"names": names, "shapes": shapes})

    def linear(self, op: Operation, builder: Builder) -> None:
        """One ring for all linears on the same input, but for products with a token table."""
        if self._is_transposed(op):
            start, stop = rows_of(op)
            attributes = {"order": op.attributes["weight"], "start": start, "stop": stop}
            operands = [self.values[op.operands[0]], *(self.weight(v, builder) for v in op.operands[1:])]
            new = builder.create("tile.gemm_transposed", operands, [self.shard(op.result)], attributes)
            self.map(op.results, new.results)
            return
        group = [user for user, index in self.users[op.operands[0]] if index == 0 and self._joins(user, op)]
        operands, parts = self.parts(group, builder)
        results = [linear.result for linear in group]
        new = builder.create("tile.gemm", operands, [self.shard(r) for r in results], {"parts": parts})
        self.map(results, new.results)

    def _is_transposed(self, op: Operation) -> bool:
        """Whether a linear that is best computed with a token table got the layout that this gives."""
        return op.result in self.transposed and self.layouts.values[op.result] == self.transposed[op.result]

    def _joins(self, op: Operation, first: Operation) -> bool:
        """Whether a linear can be computed together with another one on the same input."""
        alike = op.name == "graph.linear" and op.parent is first.parent and (self.joined or op is first)
        return alike and op not in self.merged and not self._is_transposed(op)
