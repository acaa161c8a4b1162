"""Repeated layers: what is carried, yielded and used from outside keeps its values."""

import pytest
import torch

from tests.kernels.harness import Graph, assert_near, run_graph


def linear(graph, x, weight, features):
    return graph.op("linear", [x, weight], features, weight="nk")


def start(sequence=5, features=6):
    """A graph and two values that lie in buffers of their own."""
    graph = Graph(batch=1, sequence=sequence)
    e = graph.embedding(features)
    a = linear(graph, e, graph.tensor("a", features, features), features)
    b = linear(graph, e, graph.tensor("b", features, features), features)
    table = graph.weights["table"][graph.ids]
    return graph, a, b, table @ graph.weights["a"].T, table @ graph.weights["b"].T


def check(graph, result, expected, width=3, height=3, tolerance=1e-5, dtype="f32"):
    assert_near(run_graph(graph, result, width, height, dtype), expected, tolerance)


def test_values_that_change_places():
    graph, a, b, x, y = start()
    p, q = graph.repeat(3, [a, b], lambda p, q: [q, p])
    check(graph, graph.op("sub", [p, q], 6), y - x)


def test_three_values_in_a_circle_and_one_beside_it():
    graph, a, b, x, y = start()
    c = graph.op("mul", [a, b], 6)

    def body(p, q, r, s):
        return [q, r, p, graph.op("add", [s, q], 6)]

    p, q, r, s = graph.repeat(2, [a, b, c, a], body)
    total = graph.op("sub", [graph.op("sub", [graph.op("mul", [p, r], 6), q], 6), s], 6)
    check(graph, total, x * y * y - x - (x + y + x * y))


def test_a_value_moves_into_the_place_of_the_one_before_it():
    graph, a, b, x, y = start()
    p, q = graph.repeat(2, [a, b], lambda p, q: [graph.op("mul", [p, q], 6), p])
    check(graph, graph.op("sub", [p, q], 6), x * y * x - x * y)


def test_one_value_starts_two():
    graph, a, _, x, _ = start()
    p, q = graph.repeat(2, [a, a], lambda p, q: [graph.op("add", [p], 6, scalar=1.0), graph.op("mul", [q, p], 6)])
    check(graph, graph.op("sub", [p, q], 6), x + 2 - x * x * (x + 1))


def test_one_value_is_yielded_twice():
    graph, a, b, x, y = start()

    def body(p, q):
        r = graph.op("add", [p, q], 6)
        return [r, r]

    p, q = graph.repeat(2, [a, b], body)
    check(graph, graph.op("mul", [p, q], 6), (2 * (x + y)) ** 2)


def test_what_was_carried_is_used_again_behind_the_loop():
    graph, a, b, x, y = start()
    (p,) = graph.repeat(2, [a], lambda p: [graph.op("add", [p, b], 6)])
    (q,) = graph.repeat(2, [p], lambda q: [graph.op("mul", [q, a], 6)])
    check(graph, graph.op("sub", [q, p], 6), (x + 2 * y) * x * x - (x + 2 * y))


def test_a_value_from_outside_is_read_in_every_round():
    graph, a, b, x, y = start()

    def body(p):
        # Were the outer value taken to end here, its buffer would be overwritten in the first round.
        t = graph.op("add", [b, p], 6)
        return [graph.op("mul", [t, b], 6)]

    (p,) = graph.repeat(2, [a], body)
    check(graph, p, ((x + y) * y + y) * y)


def test_a_value_from_outside_is_yielded():
    graph, a, b, x, y = start()
    p, q = graph.repeat(3, [a, b], lambda p, q: [b, graph.op("add", [p, q], 6)])
    check(graph, graph.op("sub", [p, q], 6), y - (x + 3 * y))


def test_a_value_passes_through_unchanged():
    graph, a, b, x, y = start()
    p, q = graph.repeat(3, [a, b], lambda p, q: [graph.op("add", [p, q], 6), q])
    check(graph, graph.op("mul", [p, q], 6), (x + 3 * y) * y)


def test_a_loop_in_a_loop_with_weights_of_both():
    graph, a, _, x, _ = start()
    shape = TensorShape = (6, 6)
    for outer in range(2):
        for inner in range(3):
            graph.weights[f"w.{outer}.{inner}"] = torch.randn(shape, generator=graph.random) * 0.5
    assert TensorShape == shape

    def body(p):
        def inside(q):
            weight = graph.tensor("w.{l}.{m}", 6, 6, value=torch.zeros(6, 6))
            return [linear(graph, q, weight, 6)]

        return graph.repeat(3, [p], inside, counter="m")

    (p,) = graph.repeat(2, [a], body)
    del graph.weights["w.{l}.{m}"]
    expected = x
    for outer in range(2):
        for inner in range(3):
            expected = expected @ graph.weights[f"w.{outer}.{inner}"].T
    check(graph, p, expected)


@pytest.mark.parametrize(("width", "height"), [(3, 3), (4, 4), (5, 5), (2, 3), (3, 5)])
@pytest.mark.parametrize("dtype", ["f32", "mixed"])
def test_buffers_that_rotate_an_odd_number_of_times(width, height, dtype):
    """After an odd ring a tile lies where its second buffer was; the next layer must not mind."""
    graph = Graph(batch=1, sequence=7)
    count, features = 3, 8
    x = graph.embedding(features)

    def body(p):
        n = graph.op("rms_norm", [p, graph.layers("n", count, features)], features, eps=1e-5)
        q, k, v = (linear(graph, n, graph.layers(name, count, features, features), features) for name in "qkv")
        attributes = {"heads": 2, "kv_heads": 2, "head_dim": 4, "value_dim": 4, "scale": 0.5, "mask": "causal"}
        o = graph.op("attention", [q, k, v], features, **attributes)
        p = graph.op("add", [p, linear(graph, o, graph.layers("o", count, features, features), features)], features)
        up = linear(graph, p, graph.layers("up", count, 13, features), 13)
        act = graph.op("silu", [up], 13)
        return [graph.op("add", [p, linear(graph, act, graph.layers("down", count, features, 13), features)], features)]

    (p,) = graph.repeat(count, [x], body)
    w = graph.weights
    h = w["table"][graph.ids]
    for i in range(count):
        n = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5) * w[f"n.{i}"]
        q, k, v = ((n @ w[f"{name}.{i}"].T).unflatten(-1, (2, 4)).transpose(1, 2) for name in "qkv")
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5)
        h = h + o.transpose(1, 2).flatten(2) @ w[f"o.{i}"].T
        h = h + torch.nn.functional.silu(h @ w[f"up.{i}"].T) @ w[f"down.{i}"].T
    check(graph, p, h, width, height, {"f32": 1e-5, "mixed": 1e-2}[dtype], dtype)
