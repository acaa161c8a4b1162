"""Partial softmax results merged in one go are the softmax over all parts, for every tree and dtype."""

from __future__ import annotations

import numpy as np
import pytest

from meshc.kernels.collectives.auto import draw_all_reduce, draw_reduce
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import SoftmaxMerge
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import collectives
from meshc.kernels.collectives.search import fastest
from meshrt.target import load_target
from tests.kernels.collectives.harness import run

NAMES = [n for n in collectives() if n.startswith("all_reduce.") and n != "all_reduce.ring"]
LOWEST = np.float32(np.finfo(np.float32).min)


def parts(random, pes, rows, values, entries):
    """(m, s, v) of each PE's own scores, and weighted sum over the softmax of all of them."""
    scores = random.normal(scale=4, size=(pes, rows, entries))
    weighted = random.normal(size=(pes, rows, entries, values))
    largest = scores.max(-1, keepdims=True)
    factors = np.exp(scores - largest)
    held = np.concatenate(
        [largest, factors.sum(-1, keepdims=True), np.einsum("prev,pre->prv", weighted, factors)], axis=-1
    )
    weights = np.exp(scores - scores.max((0, 2), keepdims=True))
    return held, np.einsum("prev,pre->rv", weighted, weights) / weights.sum((0, 2))[:, None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("length", "rows", "values"), [(1, 1, 1), (2, 3, 4), (7, 2, 5), (13, 1, 8)])
def test_it_is_the_softmax_over_all(name, length, rows, values):
    held, wanted = parts(np.random.default_rng(length), length, rows, values, 6)
    data = held.reshape(1, length, -1).astype(np.float32)
    merge = SoftmaxMerge(rows, values)
    _, after = run(length, 1, Line("x", length, (0, 1)), name, merge, elements=merge.elements, data=data)
    found = after.reshape(length, rows, values + 2)
    assert (found == found[0]).all()
    assert np.abs(found[0, :, 2:] / found[0, :, 1:2] - wanted).max() < 1e-5 * np.abs(wanted).max() + 1e-6


def test_a_part_without_entries_has_no_weight():
    rows, values, length = 2, 3, 5
    held, _ = parts(np.random.default_rng(1), length, rows, values, 4)
    held[2], held[2, :, 0] = 0, LOWEST
    held[:, 1], held[:, 1, 0] = 0, LOWEST
    others, merge = held[[0, 1, 3, 4]], SoftmaxMerge(rows, values)
    options = {"elements": merge.elements}
    _, found = run(
        5, 1, Line("x", 5, (0, 1)), "all_reduce.tree", merge, data=held.reshape(1, 5, -1).astype("f4"), **options
    )
    _, wanted = run(
        4, 1, Line("x", 4, (0, 1)), "all_reduce.tree", merge, data=others.reshape(1, 4, -1).astype("f4"), **options
    )
    assert np.allclose(found[0, 0], wanted[0, 0], rtol=1e-5)
    assert np.isfinite(found).all()
    assert found[0, 0].reshape(rows, values + 2)[1, 1:].tolist() == [0] * (values + 1)


@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_it_runs_again_at_once(engine):
    """Merging equal results multiplies sum and values, and leaves what they stand for."""
    held, wanted = parts(np.random.default_rng(3), 8, 2, 3, 4)
    merge = SoftmaxMerge(2, 3)
    data = held.reshape(1, 8, -1).astype(np.float32)
    line = Line("x", 8, (0, 1))
    _, after = run(8, 1, line, "all_reduce.auto", merge, elements=10, data=data, rounds=3, engine=engine)
    found = after.reshape(8, 2, 5)[0]
    assert np.abs(found[:, 2:] / found[:, 1:2] - wanted).max() < 1e-5 * np.abs(wanted).max() + 1e-6


@pytest.mark.parametrize("root", [0, 14, 20])
def test_a_line_too_long_for_a_color_each_has_a_known_tree(root):
    """What a PE stores takes a color for each message, so four make no tree over 28 PEs or more."""
    merge = SoftmaxMerge(1, 2)
    payload = Payload(merge.elements, "f32", merge, load_target("tiny"))
    assert fastest(28, root, payload, 4) is None
    plan = draw_reduce(28, payload, root, 4)
    assert plan.root == root
    assert plan.color_count <= 4
    assert draw_all_reduce(28, payload, 4).color_count <= 4
