"""Which layout each graph value's features have over x: an analysis, not a pass.

Attention decides: its operands and result lie by heads. Elementwise operations, norms and
rotations keep the layout of their operands, so values joined by them form classes
(union-find); linear operations end a class, because the ring takes any layout in and
gives any out. A class that no attention touches is cut into plain blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshc.dialects.layout import Block, Heads, Layout
from meshc.ir.core import Module, Operation, TensorType, Value
from meshrt.diagnostics import MeshError, Place

#: Operations that keep the feature layout from these operands to their result.
SAME_LAYOUT = {
    "graph.rope": (0,),
    "graph.rms_norm": (0,),
    "graph.layer_norm": (0,),
    "graph.glu": (0, 1),
}


@dataclass(slots=True)
class _Classes:
    """Union-find over values; a class may carry the layout that an attention asked for."""

    parent: dict[Value, Value] = field(default_factory=dict)
    demand: dict[Value, tuple[Layout, Operation]] = field(default_factory=dict)

    def find(self, value: Value) -> Value:
        root = value
        while self.parent.get(root, root) is not root:
            root = self.parent[root]
        while self.parent.get(value, value) is not root:
            self.parent[value], value = root, self.parent[value]
        return root

    def ask(self, value: Value, layout: Layout, op: Operation) -> None:
        root = self.find(value)
        known = self.demand.get(root)
        if known is not None and known[0] != layout:
            raise MeshError(
                "M0403",
                f"a value would have to lie in two layouts at once, for {known[1].name} and {op.name}",
                place=Place(op.location.file, op.location.line),
                helps=["put a linear layer between the two uses; moving a value between layouts is not supported"],
            )
        self.demand[root] = (layout, op)

    def join(self, a: Value, b: Value) -> None:
        a, b = self.find(a), self.find(b)
        if a is b:
            return
        moved = self.demand.pop(b, None)
        self.parent[b] = a
        if moved is not None:
            self.ask(a, *moved)


def attention_layouts(op: Operation, columns: int, rope: Operation | None) -> tuple[Heads, Heads, Heads, Heads]:
    """Layouts of q, k, v and the result of an attention on ``columns`` PEs of an axis."""
    heads, kv = op.attributes["heads"], op.attributes["kv_heads"]
    head_dim = op.attributes["head_dim"]
    value_dim = op.attributes.get("value_dim", head_dim)
    rotary = rope.attributes["rotary_dim"] if rope is not None else 0
    interleaved = rope is not None and rope.attributes.get("pairing", "half") == "interleaved"

    def layout(per_kv: int, dim: int, rotary: int, interleaved: bool, limit: int | None = None) -> Heads:
        return Heads(columns, kv, per_kv, dim, rotary, interleaved, limit)

    group = heads // kv
    # Q, K and V must agree on the columns of a group.
    columns_k = layout(1, head_dim, rotary, interleaved).columns
    columns_v = layout(1, value_dim, 0, False).columns
    limit = min(columns_k, columns_v) if columns_k != columns_v else None
    return (
        layout(group, head_dim, rotary, interleaved, limit),
        layout(1, head_dim, rotary, interleaved, limit),
        layout(1, value_dim, 0, False, limit),
        layout(group, value_dim, 0, False, limit),
    )


def rope_before(value: Value) -> Operation | None:
    """The rotation that gave the value, looking through elementwise operations and norms."""
    while (op := value.op) is not None:
        if op.name == "graph.rope":
            return op
        if op.name in SAME_LAYOUT or op.name in ("graph.mul", "graph.add"):
            value = op.operands[0]
        else:
            return None
    return None


def infer_layouts(module: Module, columns: int) -> dict[Value, Layout]:
    """The feature layout of every activation in the module, for ``columns`` PEs along x.

    Raises M0403 where one value would need two layouts.
    """
    classes = _Classes()
    activations: list[Value] = []

    def features(value: Value) -> int | None:
        return value.type.shape[-1] if isinstance(value.type, TensorType) and value.type.rank >= 2 else None

    for op in module.walk():
        match op.name:
            case "graph.weight" | "graph.positions" | "graph.embedding" | "graph.linear" | "return" | "func":
                pass
            case "graph.attention":
                rope = rope_before(op.operands[1]) or rope_before(op.operands[0])
                q, k, v, out = attention_layouts(op, columns, rope)
                for value, layout in zip((*op.operands[:3], op.results[0]), (q, k, v, out), strict=True):
                    classes.ask(value, layout, op)
            case "graph.repeat":
                body = op.regions[0]
                for outer, inner, yielded, result in zip(
                    op.operands, body.args, body.ops[-1].operands, op.results, strict=True
                ):
                    classes.join(result, inner)
                    classes.join(result, outer)
                    classes.join(result, yielded)
            case "graph.yield":
                pass
            case _:
                keeps = SAME_LAYOUT.get(op.name, range(len(op.operands)))
                for i in keeps:
                    operand = op.operands[i]
                    if operand.op is not None and operand.op.name in ("graph.weight", "graph.positions"):
                        continue
                    if op.results:
                        classes.join(op.results[0], operand)
        activations += [r for r in op.results if features(r) is not None]
        for block in op.regions:
            activations += [a for a in block.args if features(a) is not None]
    layouts: dict[Value, Layout] = {}
    for value in activations:
        demand = classes.demand.get(classes.find(value))
        extent = features(value)
        assert extent is not None
        layouts[value] = demand[0] if demand is not None else Block(extent, columns)
    return layouts
