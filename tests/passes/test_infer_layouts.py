"""Which values lie alike: classes that attention, rotations, norms of heads and wishes give their layouts."""

from __future__ import annotations

import pytest

from meshc.dialects.layout import Block, Cyclic, Heads
from meshc.ir.core import Value
from meshc.passes.infer_layouts import infer_layouts
from tests.kernels.harness import Graph

COLUMNS = 6
ATTENTION = {"heads": 4, "kv_heads": 2, "head_dim": 4, "value_dim": 4, "scale": 0.5, "mask": "causal"}


def found(graph: Graph, *results: Value, wishes=None):
    layouts = infer_layouts(graph.module(*results), COLUMNS, wishes)
    assert not layouts.taken and not layouts.given
    return lambda value: layouts.values[value]


def projections(graph: Graph, x: Value) -> list[Value]:
    return [graph.linear(x, name, features) for name, features in (("q", 16), ("k", 8), ("v", 8))]


def rope(graph: Graph, x: Value, heads: int, rotary: int = 4, pairing: str = "half", head_dim: int = 4) -> Value:
    frequencies = graph.tensor(f"f{x.name}{heads}", rotary // 2)
    attributes = {"heads": heads, "head_dim": head_dim, "rotary_dim": rotary, "pairing": pairing}
    return graph.op("rope", [x, graph.positions(), frequencies], x.type.shape[-1], **attributes)


def test_attention_decides_for_what_is_joined_to_it():
    graph = Graph(1, 4)
    x = graph.embedding(6)
    q, k, v = projections(graph, x)
    scaled = graph.op("mul", [q], 16, scalar=2.0)
    out = graph.op("attention", [scaled, k, v], 16, **ATTENTION)
    y = graph.linear(out, "o", 6)
    layout = found(graph, graph.op("add", [x, y], 6))
    assert layout(q) == layout(scaled) == Heads(COLUMNS, 2, 2, 4, 0)
    assert layout(k) == layout(v) == Heads(COLUMNS, 2, 1, 4, 0)
    assert layout(out) == Heads(COLUMNS, 2, 2, 4, 0)
    assert layout(x) == layout(y) == Block(6, COLUMNS)


@pytest.mark.parametrize(("pairing", "rotary"), [("half", 4), ("interleaved", 4), ("half", 2)])
def test_rotations_lie_in_pairs_whatever_stands_between_them_and_attention(pairing, rotary):
    graph = Graph(1, 4)
    q, k, v = projections(graph, graph.embedding(6))
    turned = rope(graph, q, 4, rotary, pairing)
    biased = graph.op("add", [graph.tensor("bias", 16), turned], 16)
    out = graph.op("attention", [biased, rope(graph, k, 2, rotary, pairing), v], 16, **ATTENTION)
    layout = found(graph, out)
    interleaved = pairing == "interleaved"
    assert layout(q) == layout(turned) == layout(biased) == Heads(COLUMNS, 2, 2, 4, rotary, interleaved)
    assert layout(k) == Heads(COLUMNS, 2, 1, 4, rotary, interleaved)
    assert layout(v) == Heads(COLUMNS, 2, 1, 4, 0)


def test_unequal_head_sizes_agree_on_the_columns_of_a_group():
    graph = Graph(1, 4)
    x = graph.embedding(6)
    q, k, v = (graph.linear(x, name, features) for name, features in (("q", 4), ("k", 4), ("v", 8)))
    attributes = {**ATTENTION, "heads": 1, "kv_heads": 1, "value_dim": 8}
    out = graph.op("attention", [q, k, v], 8, **attributes)
    layout = found(graph, out)
    assert {layout(value).columns for value in (q, k, v, out)} == {2}


def test_loops_join_what_they_carry():
    graph = Graph(1, 4)
    x = graph.embedding(16)

    def body(h):
        q, k, v = projections(graph, h)
        return [graph.op("add", [h, graph.op("attention", [q, k, v], 16, **ATTENTION)], 16)]

    (y,) = graph.repeat(2, [x], body)
    layout = found(graph, y)
    assert layout(x) == layout(y) == layout(y.op.regions[0].args[0]) == Heads(COLUMNS, 2, 2, 4, 0)


def test_norms_and_rotations_of_heads_decide_where_attention_does_not():
    graph = Graph(1, 4)
    x = graph.embedding(6)
    a, b = graph.linear(x, "a", 12), graph.linear(x, "b", 12)
    normed = graph.op("rms_norm", [a], 12, eps=1e-5, heads=3)
    both = graph.op("rms_norm", [rope(graph, b, 3)], 12, eps=1e-5, heads=3)
    layout = found(graph, normed, both)
    assert layout(a) == Heads(COLUMNS, 3, 1, 4, 0)
    assert layout(b) == layout(both) == Heads(COLUMNS, 3, 1, 4, 4)


def test_wishes_are_granted_where_nothing_speaks_against_them():
    graph = Graph(1, 4)
    x = graph.embedding(6)
    q, k, v = projections(graph, x)
    logits = graph.linear(x, "head", 9)
    scaled = graph.op("div", [logits], 9, scalar=2.0)
    wish = Cyclic(9, COLUMNS, 3)
    out = graph.op("attention", [q, k, v], 16, **ATTENTION)
    layout = found(graph, scaled, out, wishes={logits: wish, q: Cyclic(16, COLUMNS, 3)})
    assert layout(logits) == layout(scaled) == wish
    assert layout(q) == Heads(COLUMNS, 2, 2, 4, 0)


def test_what_disagrees_with_its_values_works_in_its_own_layout():
    graph = Graph(1, 4)
    q, k, v = projections(graph, graph.embedding(6))
    turned = graph.op("attention", [q, q, q], 16, **{**ATTENTION, "kv_heads": 4})
    out = graph.op("attention", [graph.op("add", [q, turned], 16), k, v], 16, **ATTENTION)
    layouts = infer_layouts(graph.module(out), COLUMNS)
    fours, twos = Heads(COLUMNS, 4, 1, 4, 0), Heads(COLUMNS, 2, 2, 4, 0)
    assert layouts.values[q] == layouts.values[turned] == fours
    assert layouts.values[out] == twos
    assert layouts.taken == {(out.op, 0): twos}
    assert not layouts.given


def test_a_rotation_of_other_pairs_is_moved_there_and_back():
    graph = Graph(1, 4)
    q, k, v = projections(graph, graph.embedding(6))
    short, long = rope(graph, q, 4, 2), rope(graph, k, 2, 4)
    out = graph.op("attention", [short, long, v], 16, **ATTENTION)
    layouts = infer_layouts(graph.module(out), COLUMNS)
    own = Heads(COLUMNS, 4, 1, 4, 2)
    assert layouts.values[q] == layouts.values[short] == Heads(COLUMNS, 2, 2, 4, 4)
    assert layouts.taken == {(short.op, 0): own}
    assert layouts.given == {short.op: own}


def test_keys_that_are_values_too():
    graph = Graph(1, 4)
    q, k, _ = projections(graph, graph.embedding(6))
    turned = rope(graph, k, 2)
    out = graph.op("attention", [rope(graph, q, 4), turned, turned], 16, **ATTENTION)
    layouts = infer_layouts(graph.module(out), COLUMNS)
    assert layouts.taken == {(out.op, 2): Heads(COLUMNS, 2, 1, 4, 0)}


def test_a_norm_of_heads_of_another_size():
    graph = Graph(1, 4)
    q, k, v = projections(graph, graph.embedding(6))
    normed = graph.op("rms_norm", [q], 16, eps=1e-5, heads=2)
    layouts = infer_layouts(graph.module(graph.op("attention", [normed, k, v], 16, **ATTENTION)), COLUMNS)
    own = Heads(COLUMNS, 2, 1, 8, 0)
    assert (layouts.taken, layouts.given) == ({(normed.op, 0): own}, {normed.op: own})
