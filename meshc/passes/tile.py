"""``tile``: from whole tensors to shards on a logical grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from meshc.dialects.elementwise import UNARY
from meshc.dialects.graph_coverage import unsupported
from meshc.dialects.layout import Block, Cyclic, Heads, Layout
from meshc.dialects.shard import ShardType, heads_of
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Module, Operation, TensorType, Value, uses
from meshc.passes.base import Pass, PassContext
from meshc.passes.infer_layouts import infer_layouts
from meshc.passes.require_covered import uncovered_error

#: Which operands of a tile operation enter multiply-adds.
MAC_OPERANDS = {"tile.gemm": (0,), "tile.gemm_transposed": (0,), "tile.attention": (0, 1, 2)}


@dataclass(frozen=True)
class Tile(Pass):
    """Cut every activation over the grid: tokens over y, features over x.

    Needs: the graph level, every operation one that a kernel covers (raises M0402 otherwise).

    Does: batch and sequence become one token axis in blocks over y; features lie over x as
    :func:`~meshc.passes.infer_layouts.infer_layouts` finds, and ``tile.relayout`` moves a value
    that one operation needs in another layout; linear operations on the same
    input become one ``tile.gemm``, so that the input is aligned and shifted once; a linear
    whose result leaves the model, or whose weight is an embedding table, becomes
    ``tile.gemm_transposed``, which takes the table where the lookup needs it. Values that
    only enter multiply-adds take the operand dtype of ``--dtype``. With
    ``tile{width = 2, height = 2, dtype = mixed}`` ::

        func() {name = "forward"} (%ids: tensor<1x5xi64>) {
          %t = graph.weight() {name = "embed"} : tensor<9x6xf32>
          %x = graph.embedding(%t, %ids) : tensor<1x5x6xf32>
          %gate = graph.weight() {name = "gate"} : tensor<8x6xf32>
          %g = graph.linear(%x, %gate) {weight = "nk"} : tensor<1x5x8xf32>
          %up = graph.weight() {name = "up"} : tensor<8x6xf32>
          %u = graph.linear(%x, %up) {weight = "nk"} : tensor<1x5x8xf32>
          %y = graph.glu(%g, %u) {activation = "silu"} : tensor<1x5x8xf32>
          return(%y)
        }

    becomes ::

        module tile
        func() {name = "forward", width = 2, height = 2, dtype = "mixed", batch = 1, sequence = 5}
            (%ids: tensor<1x5xi64>) {
          %t = tile.weight() {name = "embed"} : tensor<9x6xf32>
          %x = tile.embedding(%t, %ids) {sequence = 5} : shard<"f16", block<5, 2>, block<6, 2>>
          %gate = tile.weight() {name = "gate"} : tensor<8x6xf32>
          %up = tile.weight() {name = "up"} : tensor<8x6xf32>
          %g, %u = tile.gemm(%x, %gate, %up) {
            parts = [{weight = 1, order = "nk", start = 0, stop = 8}, {weight = 2, order = "nk", start = 0, stop = 8}]
          } : shard<"f32", block<5, 2>, block<8, 2>>, shard<"f32", block<5, 2>, block<8, 2>>
          %y = tile.glu(%g, %u) {activation = "silu"} : shard<"f32", block<5, 2>, block<8, 2>>
          tile.output(%y) {names = ["logits"], shapes = [[1, 5, 8]]}
          return()
        }

    Holds after: the tile level; each value is padded to equal tiles.
    """

    name: ClassVar[str] = "tile"
    level: ClassVar[str] = "graph"

    #: PEs along x and y, and the arithmetic; those of the compilation where they are left out.
    width: int | None = None
    height: int | None = None
    dtype: Literal["mixed", "f16", "bf16", "f32"] | None = None

    def run(self, module: Module, context: PassContext) -> None:
        found = unsupported(module)
        if found:
            raise uncovered_error(found)
        options = context.options
        grid = options.grid if options is not None and options.grid is not None else (1, 1)
        dtype = self.dtype or (options.dtype if options is not None else "mixed")
        conversion = _Conversion(module, self.width or grid[0], self.height or grid[1], dtype)
        for func in module.body.ops:
            conversion.convert(func)
        module.level = "tile"
        _assign_operand_dtypes(module, *DTYPE_POLICY[dtype])


class _Conversion:
    """State of one conversion: the map from graph values to tile values."""

    def __init__(self, module: Module, width: int, height: int, dtype: str):
        self.width = width
        self.height = height
        self.dtype = dtype
        self.values: dict[Value, Value] = {}
        self.users = uses(module)
        self.transposed = self._transposed_products(module)
        self.layouts = infer_layouts(module, width, self.transposed)
        self.merged: set[Operation] = set()
        #: Values that were moved to another layout, by the block for which they were.
        self.moved: dict[tuple[Value, Layout, IRBlock], Value] = {}

    def _transposed_products(self, module: Module) -> dict[Value, Layout]:
        """Results of linears that are best computed with the weight as a token table, and how these then lie."""
        tables = {_name(op.operands[0]) for op in module.walk() if op.name == "graph.embedding"}
        found: dict[Value, Layout] = {}
        for op in module.walk():
            if op.name == "graph.linear" and (_name(op.operands[1]) in tables or self._leaves(op.result)):
                start, stop = _rows(op)
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

    def convert(self, func: Operation) -> None:
        """Replace a function's body."""
        body = func.regions[0]
        ids = body.args[0].type
        assert isinstance(ids, TensorType)
        self.batch, self.sequence = ids.shape
        self.tokens = Block(self.batch * self.sequence, self.height)
        new = IRBlock([a.type for a in body.args], [a.name for a in body.args])
        new.parent = func
        self.values.update(zip(body.args, new.args, strict=True))
        self._block(body, new)
        func.regions = [new]
        func.attributes |= {
            "width": self.width, "height": self.height, "dtype": self.dtype,
            "batch": self.batch, "sequence": self.sequence,
        }  # fmt: skip

    def _block(self, source: IRBlock, target: IRBlock) -> None:
        builder = Builder(target)
        for op in source.ops:
            builder.location = op.location
            self._operation(op, builder)

    def _operation(self, op: Operation, builder: Builder) -> None:
        short = op.name.removeprefix("graph.")
        match op.name:
            case "graph.weight":
                self._weight(op.result, builder)
            case "graph.positions":
                pass
            case "graph.embedding":
                table, indices = op.operands
                sequence = {"sequence": self.sequence}
                if indices.op is None:
                    self._simple(op, "tile.embedding", [table, indices], sequence, builder)
                else:
                    self._simple(op, "tile.position_embedding", [table], sequence, builder)
            case "graph.linear":
                self._linear(op, builder)
            case "graph.rms_norm" | "graph.layer_norm" | "graph.glu":
                self._simple(op, f"tile.{short}", op.operands, op.attributes, builder)
            case "graph.rope":
                self._one(op, "tile.rope", [*self._taken(op, op.operands[:1], builder), self._phases(op)], {}, builder)
            case "graph.attention":
                attributes = {**op.attributes, "sequence": self.sequence}
                self._simple(op, "tile.attention", op.operands, attributes, builder)
            case "graph.repeat":
                self._repeat(op, builder)
            case "graph.yield":
                builder.create("tile.yield", self._mapped(op.operands))
            case "return":
                self._return(op, builder)
            case _ if short in UNARY:
                self._simple(op, "tile.unary", op.operands, {"function": short}, builder)
            case _:
                self._simple(op, "tile.binary", op.operands, {"function": short, **op.attributes}, builder)

    def _mapped(self, values: Sequence[Value]) -> list[Value]:
        return [self.values[v] for v in values]

    def _map(self, results: Sequence[Value], new: Operation) -> None:
        for old, made in zip(results, new.results, strict=True):
            made.name = old.name
            self.values[old] = made

    def _shard(self, value: Value) -> ShardType:
        return self._lying(self.layouts.values[value])

    def _lying(self, layout: Layout) -> ShardType:
        return ShardType(DTYPE_POLICY[self.dtype][1], self.tokens, layout)

    def _simple(
        self, op: Operation, name: str, operands: Sequence[Value], attributes: Mapping[str, object], builder: Builder
    ) -> None:
        """One operation for one, with these of its operands."""
        self._one(op, name, self._taken(op, operands, builder), attributes, builder)

    def _one(
        self, op: Operation, name: str, operands: Sequence[Value], attributes: Mapping[str, object], builder: Builder
    ) -> None:
        """One operation for one, on these values; its result is moved where it must lie otherwise than it is given."""
        given = self._lying(self.layouts.result(op))
        made = builder.create(name, operands, [given], attributes)
        wanted = self._shard(op.result)
        self._map(op.results, made if given == wanted else builder.create("tile.relayout", made.results, [wanted]))

    def _taken(self, op: Operation, operands: Sequence[Value], builder: Builder) -> list[Value]:
        """Operands as the operation takes them: moved where they lie in another layout."""
        taken = self._mapped(operands)
        for number, value in enumerate(taken):
            layout = self.layouts.taken.get((op, number))
            if layout is not None:
                key = value, layout, builder.block
                if key not in self.moved:
                    self.moved[key] = builder.create("tile.relayout", [value], [self._lying(layout)]).result
                taken[number] = self.moved[key]
        return taken

    def _weight(self, value: Value, builder: Builder) -> Value:
        """The tile weight of a graph weight, which may stand further down in the text."""
        if value not in self.values:
            assert value.op is not None
            self._map([value], builder.create("tile.weight", [], [value.type], value.op.attributes))
        return self.values[value]

    def _return(self, op: Operation, builder: Builder) -> None:
        shapes = tuple(v.type.shape for v in op.operands if isinstance(v.type, TensorType))
        names = ("logits",) if len(shapes) == 1 else tuple(f"output_{i}" for i in range(len(shapes)))
        builder.create("tile.output", self._mapped(op.operands), [], {"names": names, "shapes": shapes})
        builder.create("return")

    def _repeat(self, op: Operation, builder: Builder) -> None:
        body = op.regions[0]
        new_body = IRBlock([self._shard(a) for a in body.args], [a.name for a in body.args])
        self.values.update(zip(body.args, new_body.args, strict=True))
        self._block(body, new_body)
        types = [self._shard(r) for r in op.results]
        self._map(
            op.results, builder.create("tile.repeat", self._mapped(op.operands), types, op.attributes, [new_body])
        )

    def _phases(self, op: Operation) -> Value:
        """Cosines and sines of a rotation, made once for all rotations alike (next to the frequencies)."""
        frequencies = self.values[op.operands[2]]
        type, scale = self._lying(self.layouts.result(op)), op.attributes.get("scale", 1.0)
        assert isinstance(type.x, Heads) and frequencies.op is not None and frequencies.op.parent is not None
        block = frequencies.op.parent
        for user in block.ops:
            alike = user.name == "tile.phases" and user.operands == [frequencies] and user.attributes["scale"] == scale
            if alike and heads_of(user.result).same_pairs(type.x):
                return user.result
        attributes = {"scale": scale, "sequence": self.sequence}
        phases = Operation("tile.phases", [frequencies], [type], attributes, (), op.location, ["phases"])
        phases.parent = block
        block.ops.insert(block.ops.index(frequencies.op) + 1, phases)
        return phases.result

    # ---- linear operations ----------------------------------------------------------

    def _linear(self, op: Operation, builder: Builder) -> None:
        if op in self.merged:
            return
        if self._is_transposed(op):
            start, stop = _rows(op)
            attributes = {"order": op.attributes["weight"], "start": start, "stop": stop}
            operands = [self.values[op.operands[0]], *(self._weight(v, builder) for v in op.operands[1:])]
            new = builder.create("tile.gemm_transposed", operands, [self._shard(op.result)], attributes)
            self._map(op.results, new)
            return
        group = [user for user, index in self.users[op.operands[0]] if index == 0 and self._joins(user, op)]
        operands = [self.values[op.operands[0]]]
        parts = []
        for linear in group:
            part: dict[str, object] = {}
            for role, value in zip(("weight", "bias"), linear.operands[1:], strict=False):
                part[role] = len(operands)
                operands.append(self._weight(value, builder))
            start, stop = _rows(linear)
            parts.append(part | {"order": linear.attributes["weight"], "start": start, "stop": stop})
        results = [linear.result for linear in group]
        new = builder.create("tile.gemm", operands, [self._shard(r) for r in results], {"parts": tuple(parts)})
        self._map(results, new)
        self.merged.update(group)

    def _is_transposed(self, op: Operation) -> bool:
        """Whether a linear that is best computed with a token table got the layout that this gives."""
        return op.result in self.transposed and self.layouts.values[op.result] == self.transposed[op.result]

    def _joins(self, op: Operation, first: Operation) -> bool:
        """Whether a linear can be computed together with another one on the same input."""
        alike = op.name == "graph.linear" and op.parent is first.parent
        return alike and op not in self.merged and not self._is_transposed(op)


def _name(weight: Value) -> str:
    assert weight.op is not None
    return weight.op.attributes["name"]


def _rows(op: Operation) -> tuple[int, int]:
    """Which output features of its weight a linear operation takes."""
    weight = op.operands[1].type
    assert isinstance(weight, TensorType)
    outputs = weight.shape[0] if op.attributes["weight"] == "nk" else weight.shape[1]
    return op.attributes.get("rows") or (0, outputs)


def _assign_operand_dtypes(module: Module, operand: str, other: str) -> None:
    """Give the operand dtype to values that only multiply-adds read."""
    if operand == other:
        return
    users = uses(module)
    for op in module.walk():
        if op.name in ("tile.repeat", "tile.phases"):
            continue
        for result in op.results:
            readers = users.get(result, [])
            only_macs = all(index in MAC_OPERANDS.get(user.name, ()) for user, index in readers)
            if isinstance(result.type, ShardType) and readers and only_macs:
                result.type = result.type.with_dtype(operand)
