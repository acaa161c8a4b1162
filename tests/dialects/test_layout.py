"""Layouts put every global index at exactly one place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.dialects.layout import Block, Cyclic, Heads, Replicated
from meshrt.program.expr import Name, evaluate

LAYOUTS = [
    Block(17, 5),
    Block(3, 8),
    Cyclic(17, 3, 5),
    Cyclic(64, 5, 3),
    Heads(96, 3, 3, 64, 64),
    Heads(24, 2, 2, 8, 8),
    Heads(10, 3, 1, 7, 0),
    Heads(10, 3, 2, 8, 4),
    Heads(2, 5, 1, 8, 8, interleaved=True),
    Heads(5, 7, 1, 16, 4, interleaved=True),
    Heads(9, 2, 1, 16, 8, limit=2),
]


def places(layout):
    return [
        index
        for p in range(layout.parts)
        for i in range(layout.tile)
        if 0 <= (index := evaluate(layout.index(p, i), {}, {})) < layout.extent
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_bijection(layout):
    assert sorted(places(layout)) == list(range(layout.extent))


def assert_ways_back(layout):
    p, i = np.indices((layout.parts, layout.tile))
    index = np.broadcast_to(evaluate(layout.index(Name("p"), Name("i")), {"p": p, "i": i}, {}), p.shape)
    place = np.broadcast_to(evaluate(layout.place(Name("g")), {"g": index}, {}), p.shape)
    held = (index >= 0) & (index < layout.extent)
    assert (place[held] == (p * layout.tile + i)[held]).all()
    low, high = (np.broadcast_to(evaluate(bound, {"p": p}, {}), p.shape) for bound in layout.bounds(Name("p")))
    assert ((low <= index) & (index < high))[held].all()


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_place_leads_back_to_its_index_which_lies_within_the_bounds(layout):
    assert_ways_back(layout)


def test_replicated_holds_everything_everywhere():
    layout = Replicated(6, 3)
    assert sorted(places(layout)) == sorted(list(range(6)) * 3)
    assert [evaluate(layout.place(i), {}, {}) for i in range(6)] == list(range(6))


@settings(max_examples=60, deadline=None)
@given(
    parts=st.integers(1, 12),
    kv_heads=st.integers(1, 6),
    per_kv=st.integers(1, 3),
    head_dim=st.integers(1, 12),
    rotary=st.integers(0, 6),
    interleaved=st.booleans(),
)
def test_heads_of_any_size(parts, kv_heads, per_kv, head_dim, rotary, interleaved):
    layout = Heads(parts, kv_heads, per_kv, head_dim, min(2 * rotary, head_dim // 2 * 2), interleaved)
    assert sorted(places(layout)) == list(range(layout.extent))
    assert_ways_back(layout)


def test_rotary_pairs_share_a_pe():
    layout = Heads(8, 2, 2, 12, 8)
    where = {evaluate(layout.index(p, i), {}, {}): p for p in range(8) for i in range(layout.tile)}
    for head in range(4):
        for pair in range(4):
            assert where[head * 12 + pair] == where[head * 12 + pair + 4]


def test_layouts_that_put_the_same_pairs_into_each_column():
    queries, keys = Heads(9, 2, 3, 16, 8), Heads(9, 2, 1, 16, 8)
    assert queries.same_pairs(keys)
    assert not queries.same_pairs(Heads(9, 2, 1, 16, 8, interleaved=True))
    assert not queries.same_pairs(Heads(9, 2, 1, 16, 8, limit=3))
    assert not queries.same_pairs(Heads(9, 2, 1, 16, 4))
