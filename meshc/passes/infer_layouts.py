"""Which layout each graph value's features have over x: an analysis, not a pass.

Elementwise operations, norms, rotations and loops keep the layout of their operands, so
values that they join form classes (union-find). Linear operations end a class: a ring
takes any layout in and gives any out. Each class then gets the layout that its most
demanding operation asks for: attention (its operands and result lie by heads), rotations
and norms of single heads (a pair, a head lies in one place), what the caller wishes, and
where nothing asks, plain blocks. Where a class has its layout already and another
operation asks for a different one, that operation works in its own: its operands are moved
there and its result back (``tile.relayout``). In decode the features of some classes lie
over y: these have their layout before anything asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshc.dialects.layout import Block, Heads, Layout
from meshc.ir.core import Module, Operation, TensorType, Value

#: Operations whose result need not lie as their operands do.
_FREE = ("func", "return", "graph.weight", "graph.positions", "graph.embedding", "graph.linear", "graph.yield")


#: Operations whose operands and result lie by heads, each in a layout of its own.
ATTENTION = ("graph.attention", "graph.cached_attention")


@dataclass(frozen=True, slots=True)
class OverY:
    """Features that lie over y, so."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Layouts:
    """The feature layout of every value, over x unless it says otherwise, and where an operation works in another one.

    ``taken`` are the layouts in which an operation takes its operands (by their number),
    ``given`` those in which it gives its result, where they are not those of the values.
    """

    values: Mapping[Value, Layout | OverY]
    taken: Mapping[tuple[Operation, int], Layout | OverY] = field(default_factory=dict)
    given: Mapping[Operation, Layout | OverY] = field(default_factory=dict)

    def result(self, op: Operation) -> Layout | OverY:
        """The layout in which an operation gives its only result."""
        return self.given.get(op, self.values[op.result])


def infer_layouts(
    module: Module | Operation,
    columns: int,
    wishes: Mapping[Value, Layout] | None = None,
    over_y: Mapping[Value, OverY] | None = None,
) -> Layouts:
    """The feature layout of every activation in a module or a function, for ``columns`` PEs along x.

    ``wishes`` are layouts that are better for some values, granted where nothing speaks
    against it; ``over_y`` those of all values whose features lie over y.
    """
    operations = list(module.walk())
    demands = _Demands(classes_of(operations))
    for value, lying in (over_y or {}).items():
        demands.asked.setdefault(demands.classes.find(value), lying)
    rotations = {demands.classes.find(op.result): op for op in operations if op.name == "graph.rope"}
    for op in operations:
        if op.name in ATTENTION:
            q, k, _ = (demands.classes.find(operand) for operand in op.operands)
            *taken, given = attention_layouts(op, columns, rotations.get(k) or rotations.get(q))
            for number, layout in enumerate(taken):
                demands.take(op, number, layout)
            demands.give(op, given)
    for op in operations:
        if op.name == "graph.rope":
            a = op.attributes
            demands.ask_heads(
                op, Heads(columns, a["heads"], 1, a["head_dim"], a["rotary_dim"], a["pairing"] == "interleaved")
            )
    for op in operations:
        if op.name == "graph.rms_norm" and op.attributes.get("heads"):
            heads = op.attributes["heads"]
            demands.ask_heads(op, Heads(columns, heads, 1, _features(op.result) // heads, 0), any_rotation=True)
    for value, layout in (wishes or {}).items():
        demands.wish(value, layout)
    values = [r for op in operations for r in op.results if op.name != "graph.weight"]
    values += [argument for op in operations for block in op.regions for argument in block.args]
    granted = {v: demands.granted(v) or Block(_features(v), columns) for v in values if _features(v)}
    return Layouts(granted, demands.taken, demands.given)


def attention_layouts(op: Operation, columns: int, rope: Operation | None) -> tuple[Heads, Heads, Heads, Heads]:
    """Layouts of q, k, v and the result of an attention whose heads ``rope`` turns, on ``columns`` PEs of an axis."""
    kv, group = op.attributes["kv_heads"], op.attributes["heads"] // op.attributes["kv_heads"]
    head_dim, value_dim = op.attributes["head_dim"], op.attributes["value_dim"]
    rotary = rope.attributes["rotary_dim"] if rope is not None else 0
    interleaved = rope is not None and rope.attributes["pairing"] == "interleaved"
    # Q, K and V must agree on the columns of a group.
    columns_k, columns_v = (Heads(columns, kv, 1, dim, 0).columns for dim in (head_dim, value_dim))
    limit = min(columns_k, columns_v) if columns_k != columns_v else None
    return (
        Heads(columns, kv, group, head_dim, rotary, interleaved, limit),
        Heads(columns, kv, 1, head_dim, rotary, interleaved, limit),
        Heads(columns, kv, 1, value_dim, 0, False, limit),
        Heads(columns, kv, group, value_dim, 0, False, limit),
    )


@dataclass(slots=True)
class Classes:
    """Values that lie alike (union-find)."""

    parent: dict[Value, Value] = field(default_factory=dict)

    def find(self, value: Value) -> Value:
        root = value
        while self.parent.get(root, root) is not root:
            root = self.parent[root]
        while self.parent.get(value, value) is not root:
            self.parent[value], value = root, self.parent[value]
        return root

    def join(self, *values: Value) -> None:
        root = self.find(values[0])
        for value in values[1:]:
            self.parent[self.find(value)] = root


def classes_of(operations: list[Operation]) -> Classes:
    """Classes of values that must lie alike."""
    classes = Classes()
    for op in operations:
        match op.name:
            case _ if op.name in ATTENTION:
                pass
            case "graph.repeat":
                body = op.regions[0]
                for same in zip(op.results, op.operands, body.args, body.ops[-1].operands, strict=True):
                    classes.join(*same)
            case "graph.rope":
                classes.join(op.result, op.operands[0])
            case _ if op.name not in _FREE:
                weights = ("graph.weight", "graph.positions")
                classes.join(op.result, *(v for v in op.operands if v.op is None or v.op.name not in weights))
    return classes


@dataclass(slots=True)
class _Demands:
    """The layout that each class must have, and the operations that must work in another one."""

    classes: Classes
    asked: dict[Value, Layout | OverY] = field(default_factory=dict)
    wished: dict[Value, Layout] = field(default_factory=dict)
    taken: dict[tuple[Operation, int], Layout | OverY] = field(default_factory=dict)
    given: dict[Operation, Layout | OverY] = field(default_factory=dict)

    def take(self, op: Operation, number: int, layout: Layout) -> None:
        """An operation takes an operand in a layout, which its class gets if it has none yet."""
        if self.asked.setdefault(self.classes.find(op.operands[number]), layout) != layout:
            self.taken[op, number] = layout

    def give(self, op: Operation, layout: Layout) -> None:
        """An operation gives its result in a layout, which its class gets if it has none yet."""
        if self.asked.setdefault(self.classes.find(op.result), layout) != layout:
            self.given[op] = layout

    def ask_heads(self, op: Operation, layout: Heads, any_rotation: bool = False) -> None:
        """An operation on heads of that size and rotation (of any, if so) keeps the layout of its operand."""
        known = self.asked.setdefault(self.classes.find(op.result), layout)
        alike = isinstance(known, Heads) and known.head_dim == layout.head_dim
        turned = any_rotation or (isinstance(known, Heads) and _rotation(known) == _rotation(layout))
        if not (alike and turned):
            self.take(op, 0, layout)
            self.give(op, layout)

    def wish(self, value: Value, layout: Layout) -> None:
        self.wished.setdefault(self.classes.find(value), layout)

    def granted(self, value: Value) -> Layout | OverY | None:
        """What was asked for the value's class, or else wished."""
        root = self.classes.find(value)
        return self.asked.get(root) or self.wished.get(root)


def _rotation(layout: Heads) -> tuple[int, bool]:
    return layout.rotary, layout.interleaved


def _features(value: Value) -> int:
    """The features of an activation, 0 for what is none."""
    return value.type.shape[-1] if isinstance(value.type, TensorType) and value.type.rank >= 2 else 0
