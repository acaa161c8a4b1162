"""Norms and elementwise operations on the mesh equal torch's."""

import pytest
import torch
import torch.nn.functional as F

from meshc.dialects.elementwise import UNARY
from tests.kernels.harness import Graph, assert_near, run_graph
from tests.meshrt.naive_interpreter import ELEMENTWISE

GRIDS = [(1, 1), (3, 3), (4, 2), (2, 5)]


@pytest.mark.parametrize(("width", "height"), GRIDS)
@pytest.mark.parametrize("unit_offset", [False, True])
def test_rms_norm(width, height, unit_offset):
    graph = Graph(batch=1, sequence=6)
    x = graph.embedding(10)
    found = run_graph(
        graph, graph.op("rms_norm", [x, graph.tensor("w", 10)], 10, eps=1e-5, unit_offset=unit_offset), width, height
    )
    e, w = graph.weights["table"][graph.ids], graph.weights["w"]
    assert_near(found, e * torch.rsqrt(e.pow(2).mean(-1, keepdim=True) + 1e-5) * (w + unit_offset))


@pytest.mark.parametrize(("width", "height"), GRIDS)
@pytest.mark.parametrize("operands", [1, 2, 3])
def test_layer_norm(width, height, operands):
    graph = Graph(batch=1, sequence=6)
    x = graph.op("add", [graph.embedding(10)], 10, scalar=30.0)
    parameters = [graph.tensor("w", 10), graph.tensor("b", 10)][: operands - 1]
    found = run_graph(graph, graph.op("layer_norm", [x, *parameters], 10, eps=1e-5), width, height)
    e, w = graph.weights["table"][graph.ids] + 30, graph.weights
    weight, bias = (w["w"] if operands > 1 else None), (w["b"] if operands > 2 else None)
    assert_near(found, F.layer_norm(e, (10,), weight, bias, 1e-5))


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_norm_of_each_head(width, height):
    graph = Graph(batch=1, sequence=4)
    x = graph.embedding(10)
    weight, values = graph.tensor("w", 6), graph.tensor("v", 12, 10)
    normed = []
    for name, heads in (("q", 4), ("k", 2)):
        y = graph.op("linear", [x, graph.tensor(name, heads * 6, 10)], heads * 6, weight="nk")
        normed.append(graph.op("rms_norm", [y, weight], heads * 6, eps=1e-6, heads=heads))
    v = graph.op("linear", [x, values], 12, weight="nk")
    out = graph.op("attention", [*normed, v], 24, heads=4, kv_heads=2, head_dim=6, value_dim=6, scale=0.4, mask="full")
    found = run_graph(graph, graph.op("linear", [out, graph.tensor("o", 5, 24)], 5, weight="nk"), width, height)
    w = graph.weights
    e = w["table"][graph.ids]

    def head_norm(name, heads):
        y = (e @ w[name].T).unflatten(-1, (heads, 6))
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6) * w["w"]).transpose(1, 2)

    q, k, v = head_norm("q", 4), head_norm("k", 2), (e @ w["v"].T).unflatten(-1, (2, 6)).transpose(1, 2)
    attended = F.scaled_dot_product_attention(q, k, v, scale=0.4, enable_gqa=True)
    assert_near(found, attended.transpose(1, 2).flatten(2) @ w["o"].T)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh", "relu"])
def test_gated_unit(activation):
    graph = Graph(batch=1, sequence=5)
    x = graph.embedding(8)
    gate = graph.op("linear", [x, graph.tensor("g", 11, 8)], 11, weight="nk")
    up = graph.op("linear", [x, graph.tensor("u", 11, 8)], 11, weight="nk")
    found = run_graph(graph, graph.op("glu", [gate, up], 11, activation=activation), 3, 3)
    w = graph.weights
    e = w["table"][graph.ids]
    assert_near(found, TORCH[activation](e @ w["g"].T) * (e @ w["u"].T))


TORCH = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_quick": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x) ** 2,
    "identity": lambda x: x,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "mish": F.mish,
}


@pytest.mark.parametrize("function", UNARY)
def test_recipes_of_elementwise_functions(function):
    x = torch.linspace(0.1, 3, 40) if function in ("log", "log1p", "sqrt", "rsqrt") else torch.linspace(-3, 3, 41)
    operands = {"x": x.numpy(), "r": None}
    for opcode, arguments in UNARY[function]:
        operands["r"] = ELEMENTWISE[opcode](*(operands.get(a, a) for a in arguments))
    torch_function = TORCH.get(function) or getattr(torch, function)
    assert torch.allclose(torch.as_tensor(operands["r"], dtype=torch.float32), torch_function(x), atol=1e-5)


def test_learned_positions_vectors_and_scalars():
    graph = Graph(batch=2, sequence=5)
    x = graph.embedding(8)
    y = graph.op("add", [x, graph.position_embedding(graph.tensor("positions", 12, 8))], 8)
    y = graph.op("mul", [y, graph.tensor("vector", 8)], 8)
    y = graph.op("sub", [y], 8, scalar=1.5, reversed=True)
    found = run_graph(graph, y, 3, 4)
    w = graph.weights
    assert_near(found, 1.5 - (w["table"][graph.ids] + w["positions"][:5]) * w["vector"])
