"""What both phases share of going from whole tensors to shards: operation by operation, values by a map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from meshc.dialects.elementwise import UNARY
from meshc.dialects.layout import Heads, Layout
from meshc.dialects.shard import ShardType, heads_of
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Builder, Operation, TensorType, Value, uses
from meshc.passes.infer_layouts import Layouts, OverY


class Conversion(ABC):
    """State of the conversion of one function: the map from graph values to tile values."""

    #: The layouts of all values, which each phase infers its own way.
    layouts: Layouts

    def __init__(self, func: Operation, width: int, height: int, dtype: str, joined: bool = True):
        ids = func.regions[0].args[0].type
        assert isinstance(ids, TensorType)
        self.func = func
        self.width = width
        self.height = height
        self.dtype = dtype
        #: Whether linears on one input become one product.
        self.joined = joined
        self.batch, self.sequence = ids.shape
        self.values: dict[Value, Value] = {}
        self.users = uses(func.regions[0])
        self.merged: set[Operation] = set()
        #: Values that were moved to another layout, by the block for which they were.
        self.moved: dict[tuple[Value, Layout | OverY, IRBlock], Value] = {}

    def convert(self) -> None:
        """Replace the function's body."""
        func = self.func
        body = func.regions[0]
        new = IRBlock([a.type for a in body.args], [a.name for a in body.args])
        new.parent = func
        self.values.update(zip(body.args, new.args, strict=True))
        self._block(body, new)
        func.regions = [new]
        func.attributes |= {
            "width": self.width, "height": self.height, "dtype": self.dtype,
            "batch": self.batch, "sequence": self.sequence,
        }  # fmt: skip

    @abstractmethod
    def lying(self, layout: Layout | OverY) -> ShardType:
        """The shard of a value whose features lie so."""

    @abstractmethod
    def attention(self, op: Operation, builder: Builder) -> None:
        """The attention of this phase."""

    @abstractmethod
    def linear(self, op: Operation, builder: Builder) -> None:
        """A linear operation, perhaps together with others on the same input."""

    @abstractmethod
    def results(self, op: Operation, builder: Builder) -> None:
        """The end of the function: what becomes of its results."""

    # ---- operations -------------------------------------------------------------------

    def _block(self, source: IRBlock, target: IRBlock) -> None:
        builder = Builder(target)
        for op in source.ops:
            builder.location = op.location
            self._operation(op, builder)

    def _operation(self, op: Operation, builder: Builder) -> None:
        short = op.name.removeprefix("graph.")
        match op.name:
            case "graph.weight":
                self.weight(op.result, builder)
            case "graph.positions":
                pass
            case "graph.embedding":
                table, indices = op.operands
                sequence = {"sequence": self.sequence}
                if indices.op is None:
                    self.simple(op, "tile.embedding", [table, indices], sequence, builder)
                else:
                    self.simple(op, "tile.position_embedding", [table], sequence, builder)
            case "graph.linear":
                if op not in self.merged:
                    self.linear(op, builder)
            case "graph.rms_norm" | "graph.layer_norm" | "graph.glu":
                self.simple(op, f"tile.{short}", op.operands, op.attributes, builder)
            case "graph.rope":
                self.one(op, "tile.rope", [*self.taken(op, op.operands[:1], builder), self._phases(op)], {}, builder)
            case "graph.attention" | "graph.cached_attention":
                self.attention(op, builder)
            case "graph.repeat":
                self._repeat(op, builder)
            case "graph.yield":
                builder.create("tile.yield", self.mapped(op.operands))
            case "return":
                self.results(op, builder)
            case _ if short in UNARY:
                self.simple(op, "tile.unary", op.operands, {"function": short}, builder)
            case _:
                self.simple(op, "tile.binary", op.operands, {"function": short, **op.attributes}, builder)

    def mapped(self, values: Sequence[Value]) -> list[Value]:
        """The tile values of graph values."""
        return [self.values[v] for v in values]

    def map(self, results: Sequence[Value], new: Sequence[Value]) -> None:
        """Take note of the tile values of graph values, which keep their names."""
        for old, made in zip(results, new, strict=True):
            made.name = old.name
            self.values[old] = made

    def shard(self, value: Value) -> ShardType:
        """How a graph value lies."""
        return self.lying(self.layouts.values[value])

    def simple(
        self, op: Operation, name: str, operands: Sequence[Value], attributes: Mapping[str, object], builder: Builder
    ) -> None:
        """One operation for one, with these of its operands."""
        self.one(op, name, self.taken(op, operands, builder), attributes, builder)

    def one(
        self, op: Operation, name: str, operands: Sequence[Value], attributes: Mapping[str, object], builder: Builder
    ) -> None:
        """One operation for one, on these values."""
        given = self.lying(self.layouts.result(op))
        self.map(op.results, [self.settled(builder.create(name, operands, [given], attributes).result, op, builder)])

    def settled(self, made: Value, op: Operation, builder: Builder) -> Value:
        """An operation's result, moved where it must lie otherwise than it is given."""
        wanted = self.shard(op.result)
        return made if made.type == wanted else builder.create("tile.relayout", [made], [wanted]).result

    def taken(self, op: Operation, operands: Sequence[Value], builder: Builder) -> list[Value]:
        """Operands as the operation takes them: moved where they lie in another layout."""
        taken = self.mapped(operands)
        for number, value in enumerate(taken):
            layout = self.layouts.taken.get((op, number))
            if layout is not None:
                key = value, layout, builder.block
                if key not in self.moved:
                    self.moved[key] = builder.create("tile.relayout", [value], [self.lying(layout)]).result
                taken[number] = self.moved[key]
        return taken

    def weight(self, value: Value, builder: Builder) -> Value:
        """The tile weight of a graph weight, which may stand further down in the text."""
        if value not in self.values:
            assert value.op is not None
            self.map([value], builder.create("tile.weight", [], [value.type], value.op.attributes).results)
        return self.values[value]

    def _repeat(self, op: Operation, builder: Builder) -> None:
        body = op.regions[0]
        new_body = IRBlock([self.shard(a) for a in body.args], [a.name for a in body.args])
        self.values.update(zip(body.args, new_body.args, strict=True))
        self._block(body, new_body)
        types = [self.shard(r) for r in op.results]
        made = builder.create("tile.repeat", self.mapped(op.operands), types, op.attributes, [new_body])
        self.map(op.results, made.results)

    def _phases(self, op: Operation) -> Value:
        """Cosines and sines of a rotation, made once for all rotations alike (next to the frequencies)."""
        frequencies = self.values[op.operands[2]]
        type, scale = self.lying(self.layouts.result(op)), op.attributes.get("scale", 1.0)
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

    def parts(
        self, linears: Sequence[Operation], builder: Builder
    ) -> tuple[list[Value], tuple[Mapping[str, object], ...]]:
        """Operands of one product for several linears on the same input, and what each of them takes of its weight."""
        operands = self.mapped(linears[0].operands[:1])
        parts = []
        for linear in linears:
            part: dict[str, object] = {}
            for role, value in zip(("weight", "bias"), linear.operands[1:], strict=False):
                part[role] = len(operands)
                operands.append(self.weight(value, builder))
            start, stop = rows_of(linear)
            parts.append(part | {"order": linear.attributes["weight"], "start": start, "stop": stop})
        self.merged.update(linears)
        return operands, tuple(parts)


def weight_name(weight: Value) -> str:
    """The name of a graph weight."""
    assert weight.op is not None
    return weight.op.attributes["name"]


def rows_of(op: Operation) -> tuple[int, int]:
    """Which output features of its weight a linear operation takes."""
    weight = op.operands[1].type
    assert isinstance(weight, TensorType)
    outputs = weight.shape[0] if op.attributes["weight"] == "nk" else weight.shape[1]
    return op.attributes.get("rows") or (0, outputs)


def other_dtype(dtype: str) -> str:
    """The dtype of everything but multiply-adds' operands under a ``--dtype``."""
    return DTYPE_POLICY[dtype][1]
