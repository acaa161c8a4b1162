"""Linear operations on the mesh equal torch's, on every kind of grid."""

import pytest
import torch

from tests.kernels.harness import Graph, assert_near, run_graph

GRIDS = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 3), (3, 1), (2, 5), (5, 2), (6, 4)]


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_several_parts_with_biases_and_both_orders(width, height):
    graph = Graph(batch=1, sequence=7)
    x = graph.embedding(11)
    a = graph.op("linear", [x, graph.tensor("a", 9, 11), graph.tensor("a_bias", 9)], 9, weight="nk")
    b = graph.op("linear", [x, graph.tensor("b", 11, 9), graph.tensor("b_bias", 9)], 9, weight="kn")
    found = run_graph(graph, graph.op("mul", [a, b], 9), width, height)
    w = graph.weights
    e = w["table"][graph.ids]
    assert_near(found, (e @ w["a"].T + w["a_bias"]) * (e @ w["b"] + w["b_bias"]))


def test_a_bias_on_one_of_several_parts():
    graph = Graph(batch=1, sequence=5)
    x = graph.embedding(6)
    a = graph.op("linear", [x, graph.tensor("a", 5, 6), graph.tensor("a_bias", 5)], 5, weight="nk")
    found = run_graph(graph, graph.op("mul", [a, graph.linear(x, "b", 5)], 5), 2, 3)
    w = graph.weights
    e = w["table"][graph.ids]
    assert_near(found, (e @ w["a"].T + w["a_bias"]) * (e @ w["b"].T))


@pytest.mark.parametrize(("width", "height"), [(3, 3), (2, 3)])
def test_rows_of_a_fused_weight(width, height):
    graph = Graph(batch=2, sequence=3)
    x = graph.embedding(6)
    fused, bias = graph.tensor("fused", 10, 6), graph.tensor("bias", 10)
    a = graph.op("linear", [x, fused, bias], 5, weight="nk", rows=(0, 5))
    b = graph.op("linear", [x, fused, bias], 5, weight="nk", rows=(5, 10))
    found = run_graph(graph, graph.op("sub", [a, b], 5), width, height)
    w = graph.weights
    whole = w["table"][graph.ids] @ w["fused"].T + w["bias"]
    assert_near(found, whole[..., :5] - whole[..., 5:])


@pytest.mark.parametrize(("width", "height"), GRIDS)
@pytest.mark.parametrize("chunk", [8, 1024])
def test_tied_head_and_lookup_share_one_table(width, height, chunk):
    graph = Graph(batch=1, sequence=5, vocabulary=23)
    x = graph.embedding(7)
    table = x.op.operands[0]
    head = graph.op("linear", [x, table], 23, weight="nk")
    found = run_graph(graph, head, width, height, chunk_elements=chunk)
    e = graph.weights["table"][graph.ids]
    assert_near(found, e @ graph.weights["table"].T)


def test_last_token_only():
    graph = Graph(batch=2, sequence=4, vocabulary=23)
    x = graph.embedding(7)
    head = graph.op("linear", [x, graph.tensor("head", 23, 7), graph.tensor("bias", 23)], 23, weight="nk")
    found = run_graph(graph, head, 3, 3, logits="last")
    e = graph.weights["table"][graph.ids]
    assert_near(found, (e @ graph.weights["head"].T + graph.weights["bias"])[:, -1:])


def test_mixed_keeps_accumulators_in_f32():
    """A sum that f16 could not hold: 2048 + 1 + 1 + .. stays exact in an f32 accumulator."""
    graph = Graph(batch=1, sequence=1, vocabulary=2)
    x = graph.embedding(64)
    graph.weights["table"] = torch.ones(2, 64)
    weight = torch.ones(4, 64)
    weight[:, 0] = 2048
    y = graph.op("linear", [x, graph.tensor("w", 4, 64, value=weight)], 4, weight="nk")
    found = run_graph(graph, graph.op("mul", [y], 4, scalar=1.0), 2, 2, "mixed")
    assert (found == 2048 + 63).all()
