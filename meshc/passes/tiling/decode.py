"""Decode: one token of each sequence, its features over x or over y, alike along the other axis.

A product reduces along the axis over which its input lies, and its result lies over the
other one; so reductions alternate and nothing is transposed (WaferLLM's way). The residual
stream lies over y, what attention and the inner part of an MLP work on over x.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshc.dialects.layout import Block, Layout
from meshc.dialects.shard import ShardType, over_x, over_y
from meshc.ir.core import Builder, Operation, TensorType, Value
from meshc.passes.infer_layouts import ATTENTION, OverY, classes_of, infer_layouts
from meshc.passes.tiling.caches import describe_cache, moved_caches
from meshc.passes.tiling.conversion import Conversion, other_dtype


class DecodeConversion(Conversion):
    """The conversion of a function that works on one token of each sequence.

    ``prompt`` is the longest one's tokens, ``kv`` how tokens come into the caches.
    """

    def __init__(self, func: Operation, width: int, height: int, dtype: str, prompt: int, kv: str, joined: bool = True):
        super().__init__(func, width, height, dtype, joined)
        self.prompt = prompt
        self.kv = kv
        over_y_ = {value: OverY(Block(features, height)) for value, features in values_over_y(func).items()}
        self.layouts = infer_layouts(func, width, over_y=over_y_)
        self.caches: list[Mapping[str, object]] = []

    def convert(self) -> None:
        super().convert()
        self.func.attributes["prompt"] = self.prompt
        if self.func.attributes.get("prefilled"):
            self._take_caches()

    def _take_caches(self) -> None:
        """Before everything else comes what prefill left in the caches."""
        body = self.func.regions[0]
        attributes = moved_caches(self.func, self.kv, self.caches)
        body.insert_before(body.ops[0], Operation("tile.take_cache", attributes=attributes))

    def lying(self, layout: Layout | OverY) -> ShardType:
        dtype = other_dtype(self.dtype)
        if isinstance(layout, OverY):
            return over_y(dtype, self.batch, layout.layout, self.width)
        return over_x(dtype, self.batch, layout, self.height)

    def attention(self, op: Operation, builder: Builder) -> None:
        operands = self.taken(op, op.operands, builder)
        self.one(op, "tile.cached_attention", operands, {**op.attributes, "kv": self.kv}, builder)
        self.caches.append(describe_cache(op, *operands[1:]))

    def linear(self, op: Operation, builder: Builder) -> None:
        """One reduction for all linears on the same input."""
        group = [user for user, index in self.users[op.operands[0]] if index == 0 and self._joins(user, op)]
        operands, parts = self.parts(group, builder)
        types = [self._turned(operands[0].type, linear) for linear in group]
        new = builder.create("tile.gemv", operands, types, {"parts": parts})
        for linear, made in zip(group, new.results, strict=True):
            self.map(linear.results, [self.settled(made, linear, builder)])

    def _turned(self, x: object, linear: Operation) -> ShardType:
        """A product with ``x``, over the axis that x does not lie over: as the value lies, or in blocks."""
        assert isinstance(x, ShardType)
        wanted = self.shard(linear.result)
        if wanted.axis != x.axis:
            return wanted
        features = wanted.features.extent
        return self.lying(Block(features, self.width) if x.axis == "y" else OverY(Block(features, self.height)))

    def _joins(self, op: Operation, first: Operation) -> bool:
        alike = op.name == "graph.linear" and op.parent is first.parent and (self.joined or op is first)
        return alike and op not in self.merged

    def results(self, op: Operation, builder: Builder) -> None:
        """The next token by the first result, the logits, which then lie over x."""
        (logits, *_) = op.operands
        assert isinstance(logits.type, TensorType)
        lying = self.values[logits]
        assert isinstance(lying.type, ShardType)
        if lying.type.axis == "y":
            wanted = self.lying(Block(lying.type.features.extent, self.width))
            lying = builder.create("tile.relayout", [lying], [wanted]).result
        next_ids = TensorType((self.batch, 1), "i64")
        builder.create("tile.sample", [lying], [next_ids], result_names=["next"])
        builder.create("tile.output", [lying], [], {"names": ("logits",), "shapes": (logits.type.shape,)})
        builder.create("return")


def values_over_y(func: Operation) -> Mapping[Value, int]:
    """The values whose features lie over y, with how many they are: those alike to the embedded tokens, and results
    of products that take their input over x.

    Values that operations join lie over one axis; it is that of the first of them in the text.
    """
    operations = list(func.walk())
    classes = classes_of(operations)
    axes: dict[Value, str] = {}
    for op in operations:
        if op.name == "graph.embedding" and op.operands[1].op is None:
            axes.setdefault(classes.find(op.result), "y")
        elif op.name in ATTENTION:
            for value in (*op.operands, op.result):
                axes.setdefault(classes.find(value), "x")
        elif op.name == "graph.linear":
            axis = axes.get(classes.find(op.operands[0]), "y")
            axes.setdefault(classes.find(op.result), "x" if axis == "y" else "y")
    found: dict[Value, int] = {}
    for op in operations:
        values = [*op.results, *(argument for block in op.regions for argument in block.args)]
        for value in values:
            # Weights, positions and the function's ids are no activations.
            if axes.get(classes.find(value)) == "y" and isinstance(value.type, TensorType):
                found[value] = value.type.shape[-1]
    return found
