"""``tile``: from whole tensors to shards on a logical grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.elementwise import BINARY, UNARY
from meshc.dialects.layout import Block, Cyclic, Layout
from meshc.dialects.tile import ShardType
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Module, Operation, TensorType, Type, Value, uses
from meshc.passes.base import Pass, PassContext
from meshc.passes.infer_layouts import infer_layouts
from meshrt.diagnostics import MeshError, Place

#: Dtypes of each ``--dtype``: (operands of multiply-adds and moved tiles, everything else).
DTYPE_POLICY = {"mixed": ("f16", "f32"), "bf16": ("bf16", "f32"), "f16": ("f16", "f16"), "f32": ("f32", "f32")}

#: Which operands of a tile operation enter multiply-adds.
MAC_OPERANDS = {"tile.gemm": (0,), "tile.gemm_transposed": (0,), "tile.attention": (0, 1, 2)}


@dataclass(frozen=True)
class Tile(Pass):
    """Cut every activation over the grid: tokens over y, features over x.

    needs: the graph level with fused patterns; every operation one that a kernel covers.

    does: batch and sequence become one token axis in blocks over y; features lie over x as
    :func:`~meshc.passes.infer_layouts.infer_layouts` finds; linear operations on the same
    input become one ``tile.gemm``, so that the input is aligned and shifted once; a linear
    whose result leaves the model, or whose weight is an embedding table, becomes
    ``tile.gemm_transposed``, which takes the table where the lookup needs it. Values that
    only enter multiply-adds take the operand dtype of ``--dtype``.

    holds after: the tile level; each value is padded to equal tiles.
    """

    name: ClassVar[str] = "tile"

    width: int = 1
    height: int = 1
    dtype: str = "mixed"

    def run(self, module: Module, context: PassContext) -> None:
        conversion = _Conversion(self, module)
        conversion.convert()
        module.level = "tile"
        module.attributes["grid"] = (self.width, self.height)
        module.attributes["dtype"] = self.dtype
        _assign_operand_dtypes(module, *DTYPE_POLICY[self.dtype])


class _Conversion:
    """State of one conversion: the map from graph values to tile values."""

    def __init__(self, options: Tile, module: Module):
        self.options = options
        self.module = module
        self.layouts = infer_layouts(module, options.width)
        self.values: dict[Value, Value] = {}
        self.users = uses(module)
        self.tables = self._embedding_tables()
        self.other = DTYPE_POLICY[options.dtype][1]
        self.sequence = 0
        self.merged: dict[Operation, Operation] = {}

    def _embedding_tables(self) -> set[str]:
        return {
            op.operands[0].op.attributes["name"]
            for op in self.module.walk()
            if op.name == "graph.embedding" and op.operands[0].op is not None
        }

    def convert(self) -> None:
        for func in list(self.module.body.ops):
            if func.name != "func":
                continue
            body = func.regions[0]
            ids = body.args[0]
            assert isinstance(ids.type, TensorType)
            self.batch, self.sequence = ids.type.shape
            self.tokens = Block(self.batch * self.sequence, self.options.height)
            new = IRBlock([a.type for a in body.args], [a.name for a in body.args])
            self.values.update(zip(body.args, new.args, strict=True))
            self._block(body, new)
            func.regions = [new]
            new.parent = func
            func.attributes["batch"] = self.batch
            func.attributes["sequence"] = self.sequence

    def _block(self, source: IRBlock, target: IRBlock) -> None:
        builder = Builder(target)
        for op in source.ops:
            builder.location = op.location
            self._operation(op, source, builder)

    def _shard(self, value: Value, dtype: str | None = None, layout: Layout | None = None) -> ShardType:
        return ShardType(dtype or self.other, self.tokens, layout or self.layouts[value])

    def _map(self, op: Operation, new: Operation) -> None:
        for old_result, new_result in zip(op.results, new.results, strict=True):
            new_result.name = old_result.name
            self.values[old_result] = new_result

    def _operation(self, op: Operation, source: IRBlock, builder: Builder) -> None:
        short = op.name.partition(".")[2]
        operands = [self.values[v] for v in op.operands if v in self.values]
        attributes = dict(op.attributes)
        match op.name:
            case "graph.weight":
                self._map(op, builder.create("tile.weight", [], [r.type for r in op.results], attributes))
            case "graph.positions":
                pass
            case "graph.embedding":
                self._embedding(op, operands, builder)
            case "graph.linear":
                self._linear(op, source, builder)
            case "graph.rms_norm" | "graph.layer_norm":
                self._simple(op, f"tile.{short}", operands, attributes, builder)
            case "graph.rope":
                phases = self._phases(op, builder)
                self._simple(op, "tile.rope", [operands[0], phases], {}, builder)
            case "graph.attention":
                attributes["sequence"] = self.sequence
                self._simple(op, "tile.attention", operands, attributes, builder)
            case "graph.glu":
                self._simple(op, "tile.glu", operands, attributes, builder)
            case "graph.repeat":
                self._repeat(op, operands, builder)
            case "graph.yield":
                builder.create("tile.yield", operands)
            case "return":
                types = [v.type for v in op.operands]
                shapes = tuple(t.shape for t in types if isinstance(t, TensorType))
                builder.create("tile.output", operands, [], {"names": _output_names(len(shapes)), "shapes": shapes})
                builder.create("return")
            case _ if short in BINARY:
                self._simple(op, "tile.binary", operands, {"function": short, **attributes}, builder)
            case _ if short in UNARY:
                self._simple(op, "tile.unary", operands, {"function": short}, builder)
            case _:
                raise uncovered(op)

    def _simple(
        self, op: Operation, name: str, operands: list[Value], attributes: dict, builder: Builder
    ) -> None:
        self._map(op, builder.create(name, operands, [self._shard(op.result)], attributes))

    def _embedding(self, op: Operation, operands: list[Value], builder: Builder) -> None:
        name = "tile.embedding"
        index = op.operands[1]
        if index.op is not None:
            if index.op.name != "graph.positions":
                raise uncovered(op)
            name = "tile.position_embedding"
        attributes = {"sequence": self.sequence}
        self._map(op, builder.create(name, operands, [self._shard(op.result)], attributes))

    def _phases(self, op: Operation, builder: Builder) -> Value:
        """Cosines and sines of a rotation, made once for all rotations alike (next to the frequencies)."""
        frequencies = self.values[op.operands[2]]
        layout = self.layouts[op.result]
        scale = op.attributes.get("scale", 1.0)
        owner = frequencies.op
        assert owner is not None and owner.parent is not None
        for user in owner.parent.ops:
            if user.name == "tile.phases" and user.operands[0] is frequencies and user.attributes["scale"] == scale:
                known = user.result.type
                assert isinstance(known, ShardType)
                if _same_columns(known.x, layout):
                    return user.result
        phases = Operation(
            "tile.phases",
            [frequencies],
            [ShardType("f32" if self.other == "f32" else self.other, self.tokens, layout)],
            {"scale": scale, "sequence": self.sequence},
            location=op.location,
            result_names=["phases"],
        )
        place = owner.parent.ops.index(owner) + 1
        phases.parent = owner.parent
        owner.parent.ops.insert(place, phases)
        return phases.result

    # ---- linear operations ----------------------------------------------------------

    def _linear(self, op: Operation, source: IRBlock, builder: Builder) -> None:
        if op in self.merged:
            return
        weight = op.operands[1].op
        if weight is None or weight.name != "graph.weight":
            raise uncovered(op)
        leaves = any(user.name == "return" for user, _ in self.users.get(op.result, []))
        if weight.attributes["name"] in self.tables or leaves:
            self._transposed(op, builder)
            return
        group = [op]
        for user, index in self.users.get(op.operands[0], []):
            if user is not op and index == 0 and user.parent is source and self._merges(user):
                group.append(user)
        operands = [self.values[op.operands[0]]]
        parts, types = [], []
        for linear in group:
            self.merged[linear] = op
            part: dict[str, object] = {"weight": len(operands)}
            operands.append(self._weight(linear.operands[1], builder))
            if len(linear.operands) > 2:
                part["bias"] = len(operands)
                operands.append(self._weight(linear.operands[2], builder))
            part["order"] = linear.attributes.get("weight", "nk")
            start, stop = _rows(linear)
            part |= {"start": start, "stop": stop}
            parts.append(part)
            types.append(self._shard(linear.result))
        new = builder.create("tile.gemm", operands, types, {"parts": tuple(parts)})
        for linear, result in zip(group, new.results, strict=True):
            result.name = linear.result.name
            self.values[linear.result] = result

    def _merges(self, op: Operation) -> bool:
        if op.name != "graph.linear" or op in self.merged or op.operands[1].op is None:
            return False
        leaves = any(user.name == "return" for user, _ in self.users.get(op.result, []))
        return not leaves and op.operands[1].op.attributes.get("name") not in self.tables

    def _weight(self, value: Value, builder: Builder) -> Value:
        """The tile weight of a graph weight, which may stand further down in the text."""
        if value not in self.values:
            assert value.op is not None
            self._operation(value.op, value.op.parent or IRBlock(), builder)
        return self.values[value]

    def _transposed(self, op: Operation, builder: Builder) -> None:
        width, height = self.options.width, self.options.height
        start, stop = _rows(op)
        features = stop - start
        layout = Block(features, width) if width == height else Cyclic(features, width, height)
        operands = [self.values[op.operands[0]], *(self._weight(v, builder) for v in op.operands[1:])]
        attributes = {"order": op.attributes.get("weight", "nk"), "start": start, "stop": stop}
        self.layouts = {**self.layouts, op.result: layout}
        self._relabel(op.result, layout)
        new = builder.create("tile.gemm_transposed", operands, [self._shard(op.result, layout=layout)], attributes)
        self._map(op, new)

    def _relabel(self, value: Value, layout: Layout) -> None:
        """Elementwise operations on the result keep its layout."""
        for user, _ in self.users.get(value, []):
            for result in user.results:
                if user.name not in ("graph.linear", "graph.attention") and self.layouts.get(result) != layout:
                    self.layouts[result] = layout
                    self._relabel(result, layout)

    # ---- control --------------------------------------------------------------------

    def _repeat(self, op: Operation, operands: list[Value], builder: Builder) -> None:
        body = op.regions[0]
        types: list[Type] = [self._shard(a) for a in body.args]
        new_body = IRBlock(types, [a.name for a in body.args])
        self.values.update(zip(body.args, new_body.args, strict=True))
        self._block(body, new_body)
        new = builder.create("tile.repeat", operands, types, dict(op.attributes), [new_body])
        self._map(op, new)


def _rows(op: Operation) -> tuple[int, int]:
    """Which output features of its weight a linear operation takes."""
    weight = op.operands[1].type
    assert isinstance(weight, TensorType)
    outputs = weight.shape[0] if op.attributes.get("weight", "nk") == "nk" else weight.shape[1]
    return op.attributes.get("rows") or (0, outputs)


def _output_names(count: int) -> tuple[str, ...]:
    return ("logits",) if count == 1 else tuple(f"output_{i}" for i in range(count))


def _same_columns(a: Layout, b: Layout) -> bool:
    """Whether two head layouts put the same pairs into each column."""
    keys = ("columns", "pairs", "rotary", "interleaved", "head_dim", "groups")
    return all(getattr(a, key, None) == getattr(b, key, None) for key in keys)


def uncovered(op: Operation) -> MeshError:
    """The error for an operation that no kernel covers."""
    target = op.attributes.get("target", op.name)
    return MeshError(
        "M0402",
        f"no kernel covers {target}",
        place=Place(op.location.file, op.location.line),
        notes=[f"it stands in {op.location.scope}"] if op.location.scope else [],
        helps=["`meshc coverage MODEL` lists every operation of the model and the nearest supported form"],
    )


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
            if isinstance(result.type, ShardType) and readers:
                if all(index in MAC_OPERANDS.get(user.name, ()) for user, index in readers):
                    result.type = result.type.with_dtype(operand)
