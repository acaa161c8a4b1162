"""Graphs that are legal but unlike a language model's usual one keep their values, on grids of any form."""

import pytest
import torch
import torch.nn.functional as F

from tests.kernels.harness import Graph, assert_near, run_graph, run_results

GRIDS = [(3, 3), (5, 2), (2, 5)]


@pytest.mark.parametrize(("width", "height"), [*GRIDS, (1, 4), (4, 1), (1, 1)])
def test_a_tied_head_whose_logits_are_scaled(width, height):
    graph = Graph(batch=2, sequence=3)
    x = graph.op("mul", [graph.embedding(7)], 7, scalar=2.5)
    head = graph.op("linear", [x, x.op.operands[0].op.operands[0]], 19, weight="nk")
    logits = graph.op("div", [head], 19, scalar=3.0)
    logits = graph.op("mul", [graph.op("tanh", [logits], 19)], 19, scalar=5.0)
    e = graph.weights["table"][graph.ids]
    assert_near(run_graph(graph, logits, width, height), torch.tanh(e * 2.5 @ graph.weights["table"].T / 3) * 5)


@pytest.mark.parametrize(("width", "height"), GRIDS)
@pytest.mark.parametrize("logits", ["all", "last"])
def test_an_untied_head_whose_logits_are_scaled(width, height, logits):
    graph = Graph(batch=2, sequence=3)
    head = graph.linear(graph.embedding(7), "head", 23)
    found = run_graph(graph, graph.op("mul", [head], 23, scalar=0.5), width, height, logits=logits)
    expected = graph.weights["table"][graph.ids] @ graph.weights["head"].T * 0.5
    assert_near(found, expected if logits == "all" else expected[:, -1:])


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_logits_of_a_tied_head_and_of_another_one_are_added(width, height):
    graph = Graph(batch=1, sequence=4)
    x = graph.embedding(7)
    tied = graph.op("linear", [x, x.op.operands[0]], 19, weight="nk")
    total = graph.op("add", [graph.linear(x, "other", 19), tied], 19)
    total = graph.op("add", [total, graph.tensor("bias", 19)], 19)
    w = graph.weights
    e = w["table"][graph.ids]
    assert_near(run_graph(graph, total, width, height), e @ w["other"].T + e @ w["table"].T + w["bias"])


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_a_product_with_the_token_table_inside_the_model(width, height):
    """Its result joins the residual stream, or attention, that lies otherwise."""
    graph = Graph(batch=1, sequence=5, vocabulary=8)
    x = graph.embedding(8)
    inner = graph.op("linear", [x, x.op.operands[0]], 8, weight="nk")
    v = graph.linear(x, "v", 8)
    attributes = {"heads": 2, "kv_heads": 2, "head_dim": 4, "value_dim": 4, "scale": 0.5, "mask": "causal"}
    out = graph.op("attention", [inner, inner, v], 8, **attributes)
    y = graph.op("add", [graph.linear(out, "o", 8), graph.op("add", [x, inner], 8)], 8)
    w = graph.weights
    e = w["table"][graph.ids]
    t = e @ w["table"].T
    q, k = (t.unflatten(-1, (2, 4)).transpose(1, 2) for _ in range(2))
    attended = F.scaled_dot_product_attention(
        q, k, (e @ w["v"].T).unflatten(-1, (2, 4)).transpose(1, 2), is_causal=True, scale=0.5
    )
    expected = attended.transpose(1, 2).flatten(2) @ w["o"].T + e + t
    assert_near(run_graph(graph, graph.op("mul", [y], 8, scalar=1.0), width, height), expected)


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_attention_without_an_output_projection(width, height):
    """The residual stream then lies by heads, the embedding and the norms with it."""
    graph = Graph(batch=1, sequence=5)
    x = graph.embedding(12)
    n = graph.op("layer_norm", [x, graph.tensor("nw", 12), graph.tensor("nb", 12)], 12, eps=1e-5)
    q, k, v = (graph.linear(n, name, features) for name, features in (("q", 12), ("k", 6), ("v", 6)))
    attributes = {"heads": 4, "kv_heads": 2, "head_dim": 3, "value_dim": 3, "scale": 0.5, "mask": "causal"}
    y = graph.op("add", [x, graph.op("attention", [q, k, v], 12, **attributes)], 12)
    y = graph.op("rms_norm", [y, graph.tensor("rw", 12)], 12, eps=1e-5)
    w = graph.weights
    e = w["table"][graph.ids]
    m = F.layer_norm(e, (12,), w["nw"], w["nb"], 1e-5)
    q, k, v = ((m @ w[name].T).unflatten(-1, (-1, 3)).transpose(1, 2) for name in "qkv")
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5, enable_gqa=True)
    h = e + a.transpose(1, 2).flatten(2)
    expected = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5) * w["rw"]
    assert_near(run_graph(graph, y, width, height), expected)


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_norms_and_rotations_of_heads_without_attention(width, height):
    graph = Graph(batch=2, sequence=3)
    x = graph.linear(graph.embedding(7), "a", 12)
    y = graph.op("rms_norm", [x, graph.tensor("n", 4)], 12, eps=1e-5, heads=3)
    frequencies = graph.tensor("const.f", 2, value=torch.tensor([1.0, 0.1]))
    attributes = {"heads": 3, "head_dim": 4, "rotary_dim": 4, "pairing": "half", "scale": 1.0}
    z = graph.op("rope", [y, graph.positions(), frequencies], 12, **attributes)
    out = graph.linear(graph.op("mul", [z, y], 12), "b", 5)
    w = graph.weights
    h = (w["table"][graph.ids] @ w["a"].T).unflatten(-1, (3, 4))
    h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-5) * w["n"]
    angle = torch.arange(3.0)[:, None, None] * w["const.f"]
    p, q = h.chunk(2, -1)
    turned = torch.cat([p * angle.cos() - q * angle.sin(), q * angle.cos() + p * angle.sin()], -1)
    assert_near(run_graph(graph, out, width, height), (turned * h).flatten(2) @ w["b"].T)


def test_one_weight_behind_several_inputs_and_twice_behind_one():
    graph = Graph(batch=1, sequence=4)
    x = graph.embedding(6)
    w = graph.tensor("w", 6, 6)
    a = graph.op("linear", [x, w], 6, weight="nk")
    b = graph.op("linear", [x, w], 6, weight="kn")
    c = graph.op("linear", [graph.op("mul", [a, b], 6), w], 6, weight="nk")
    d = graph.op("linear", [x, w], 6, weight="nk")
    y = graph.op("add", [graph.op("mul", [c, d], 6), a], 6)
    w = graph.weights["w"]
    e = graph.weights["table"][graph.ids]
    assert_near(run_graph(graph, y, 3, 3), (((e @ w.T) * (e @ w)) @ w.T) * (e @ w.T) + e @ w.T)


@pytest.mark.parametrize(("width", "height"), [(4, 7), (7, 4), (6, 6)])
def test_fewer_tokens_entries_and_features_than_rows_and_columns(width, height):
    graph = Graph(batch=1, sequence=3, vocabulary=2)
    x = graph.embedding(3)
    y = graph.op("rms_norm", [x, graph.tensor("n", 3)], 3, eps=1e-5)
    head = graph.op("linear", [y, x.op.operands[0]], 2, weight="nk")
    w = graph.weights
    e = w["table"][graph.ids]
    normed = e * torch.rsqrt(e.pow(2).mean(-1, keepdim=True) + 1e-5) * w["n"]
    assert_near(run_graph(graph, head, width, height), normed @ w["table"].T)


@pytest.mark.parametrize("function", ["sigmoid", "exp", "cos", "hardsigmoid"])
def test_padding_is_cleared_behind_functions_that_are_not_zero_at_zero(function):
    graph = Graph(batch=1, sequence=4)
    y = graph.op(function, [graph.linear(graph.embedding(7), "a", 7)], 7)
    out = graph.op("layer_norm", [y], 7, eps=1e-5)
    h = graph.weights["table"][graph.ids] @ graph.weights["a"].T
    expected = F.layer_norm((F.hardsigmoid if function == "hardsigmoid" else getattr(torch, function))(h), (7,))
    assert_near(run_graph(graph, out, 3, 3), expected, 1e-4)


@pytest.mark.parametrize("case", ["add", "reversed_sub", "reversed_div", "quotient", "vector", "maximum"])
def test_padding_is_cleared_behind_arithmetic(case):
    graph = Graph(batch=1, sequence=4)
    x = graph.op("abs", [graph.linear(graph.embedding(7), "a", 7)], 7)
    h = (graph.weights["table"][graph.ids] @ graph.weights["a"].T).abs()
    vector = graph.tensor("v", 7)
    y, expected = {
        "add": lambda: (graph.op("add", [x], 7, scalar=2.0), h + 2),
        "reversed_sub": lambda: (graph.op("sub", [x], 7, scalar=2.0, reversed=True), 2 - h),
        "reversed_div": lambda: (graph.op("div", [x], 7, scalar=2.0, reversed=True), 2 / h),
        "quotient": lambda: (graph.op("div", [x, x], 7), h / h),
        "vector": lambda: (graph.op("div", [x, vector], 7), h / graph.weights["v"]),
        "maximum": lambda: (graph.op("maximum", [x], 7, scalar=1.0), h.clamp(min=1)),
    }[case]()
    # A norm over the row would take padding that is not zero into its mean.
    found = run_graph(graph, graph.op("rms_norm", [y], 7, eps=1e-5), 4, 3)
    assert_near(found, expected * torch.rsqrt(expected.pow(2).mean(-1, keepdim=True) + 1e-5), 1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_prompt_shorter_than_the_build_under_a_full_mask(batch):
    graph = Graph(batch, sequence=7)
    for ids in graph.inputs.values():
        ids[:, 4:] = 0
    x = graph.embedding(8)
    q, k, v = (graph.linear(x, name, 8) for name in "qkv")
    attributes = {"heads": 2, "kv_heads": 2, "head_dim": 4, "value_dim": 4, "scale": 0.5, "mask": "full"}
    out = graph.linear(graph.op("attention", [q, k, v], 8, **attributes), "o", 5)
    found = run_graph(graph, out, 3, 4, length=4)[:, :4]
    w = graph.weights
    e = w["table"][graph.ids[:, :4]]
    q, k, v = ((e @ w[name].T).unflatten(-1, (2, 4)).transpose(1, 2) for name in "qkv")
    attended = F.scaled_dot_product_attention(q, k, v, scale=0.5)
    assert_near(found, attended.transpose(1, 2).flatten(2) @ w["o"].T)


def test_steps_of_an_activation_are_not_rounded_to_the_operands_dtype():
    """In f16 1 + erf(-3) has no digit right; in f32 it has, and only the result is rounded."""
    graph = Graph(batch=1, sequence=4, vocabulary=4)
    x = graph.op("mul", [graph.embedding(6)], 6, scalar=1.0)
    graph.weights["table"] = torch.linspace(-3.5, -2.5, 24).reshape(4, 6)
    act = graph.op("gelu", [x], 6)
    out = graph.op("mul", [graph.op("linear", [act, graph.tensor("w", 6, 6, value=torch.eye(6))], 6, weight="nk")], 6,
                   scalar=1.0)  # fmt: skip
    found = run_graph(graph, out, 2, 2, "mixed")
    expected = F.gelu(graph.weights["table"][graph.ids].half().float())
    assert abs(found / expected.numpy() - 1).max() < 2e-3


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_two_results(width, height):
    graph = Graph(batch=2, sequence=3)
    x = graph.embedding(6)
    found = run_results(graph, [graph.linear(x, "head", 11), x], width, height)
    h = graph.weights["table"][graph.ids]
    assert_near(found["output_0"], h @ graph.weights["head"].T)
    assert_near(found["output_1"], h)


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_two_inputs_and_one_that_nothing_reads(width, height):
    graph = Graph(batch=2, sequence=3)
    graph.input("unused")
    graph.input("token_type_ids")
    x = graph.op("add", [graph.embedding(6), graph.embedding(6, "types", argument=2)], 6)
    w = graph.weights
    expected = w["table"][graph.ids] + w["types"][graph.inputs["token_type_ids"]]
    assert_near(run_graph(graph, x, width, height), expected)


@pytest.mark.parametrize("name", ["x", "e", "inf", "l", "s", "length", "a b", "0", "ring_x_own", "main"])
def test_names_of_the_model_do_not_meet_those_of_the_program(name):
    graph = Graph(batch=1, sequence=4)
    x = graph.embedding(6)
    x.name = name
    y = graph.linear(x, "w", 6)
    y.name = name

    def body(p):
        p.name = name
        q = graph.op("add", [p, graph.op("linear", [p, graph.layers("v", 2, 6, 6)], 6, weight="nk")], 6)
        q.name = name
        return [q]

    (z,) = graph.repeat(2, [y], body)
    z.name = name
    w = graph.weights
    h = w["table"][graph.ids] @ w["w"].T
    for layer in range(2):
        h = h + h @ w[f"v.{layer}"].T
    assert_near(run_graph(graph, z, 3, 3), h)


@pytest.mark.parametrize("counter", ["x", "i", "s", "a", "length", "e"])
def test_counters_of_the_model_do_not_meet_those_of_the_program(counter):
    graph = Graph(batch=1, sequence=4)

    def body(p):
        weight = graph.layers("v", 2, 6, 6, counter=counter)
        return [graph.op("add", [p, graph.op("linear", [p, weight], 6, weight="nk")], 6)]

    (z,) = graph.repeat(2, [graph.embedding(6)], body, counter=counter)
    h = graph.weights["table"][graph.ids]
    for layer in range(2):
        h = h + h @ graph.weights[f"v.{layer}"].T
    assert_near(run_graph(graph, z, 2, 3), h)


def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Causal attention of [batch, tokens, features] in torch, with a scale of 1/2."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    return (
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5).transpose(1, 2).flatten(2)
    )


def attention(graph: Graph, operands: list, heads: int):
    size = operands[0].type.shape[-1] // heads
    attributes = {"heads": heads, "kv_heads": heads, "head_dim": size, "value_dim": size, "scale": 0.5}
    return graph.op("attention", operands, size * heads, mask="causal", **attributes)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 3), (4, 4), (5, 3), (2, 4)])
def test_two_attentions_that_cut_one_value_differently(width, height):
    graph = Graph(batch=1, sequence=4)
    q = graph.linear(graph.embedding(6), "q", 12)
    a, b = attention(graph, [q, q, q], 2), attention(graph, [q, q, q], 4)
    found = run_graph(graph, graph.op("add", [a, b], 12), width, height)
    x = graph.weights["table"][graph.ids] @ graph.weights["q"].T
    assert_near(found, attended(x, x, x, 2) + attended(x, x, x, 4))


@pytest.mark.parametrize(("width", "height"), [(1, 3), (3, 3), (4, 4), (5, 2)])
def test_a_norm_of_other_heads_than_those_of_attention(width, height):
    graph = Graph(batch=1, sequence=4)
    q = graph.op("rms_norm", [graph.linear(graph.embedding(6), "q", 12)], 12, eps=1e-5, heads=3)
    found = run_graph(graph, attention(graph, [q, q, q], 2), width, height)
    x = (graph.weights["table"][graph.ids] @ graph.weights["q"].T).unflatten(-1, (3, 4))
    x = torch.nn.functional.rms_norm(x, (4,), eps=1e-5).flatten(2)
    assert_near(found, attended(x, x, x, 2))


def test_a_value_that_is_moved_in_every_layer():
    """Heads of attention in a residual stream that two attentions cut differently."""
    graph = Graph(batch=1, sequence=5)

    def body(h):
        a = attention(graph, [h, h, h], 2)
        return [graph.op("add", [h, attention(graph, [a, a, a], 3)], 12)]

    (y,) = graph.repeat(2, [graph.embedding(12)], body)
    h = graph.weights["table"][graph.ids]
    for _ in range(2):
        a = attended(h, h, h, 2)
        h = h + attended(a, a, a, 3)
    assert_near(run_graph(graph, y, 4, 3), h)
