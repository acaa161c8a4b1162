"""Attention and rotary embedding on the mesh equal torch's."""

import pytest
import torch

from tests.kernels.harness import Graph, assert_near, run_graph


def reference(q, k, v, mask, scale, softcap=None):
    """q [B, H, S, D], k and v [B, KV, S, ..] -> [B, S, H * D]."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * scale
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    probabilities = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return (probabilities @ v).transpose(1, 2).flatten(2)


def heads(x, count):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def attend(width, height, batch=1, sequence=7, query_heads=4, kv_heads=2, dim=6, value_dim=6, **options):
    graph = Graph(batch, sequence)
    x = graph.embedding(10)
    q = graph.op("linear", [x, graph.tensor("q", query_heads * dim, 10)], query_heads * dim, weight="nk")
    k = graph.op("linear", [x, graph.tensor("k", kv_heads * dim, 10)], kv_heads * dim, weight="nk")
    v = graph.op("linear", [x, graph.tensor("v", kv_heads * value_dim, 10)], kv_heads * value_dim, weight="nk")
    attributes = {"heads": query_heads, "kv_heads": kv_heads, "head_dim": dim, "value_dim": value_dim, "scale": 0.4,
                  "mask": "causal", **options}  # fmt: skip
    out = graph.op("attention", [q, k, v], query_heads * value_dim, **attributes)
    out = graph.op("linear", [out, graph.tensor("o", 8, query_heads * value_dim)], 8, weight="nk")
    found = run_graph(graph, graph.op("mul", [out], 8, scalar=1.0), width, height)
    w = graph.weights
    e = w["table"][graph.ids]
    at = torch.arange(sequence)
    ahead = at[:, None] - at[None]
    mask = {"causal": ahead >= 0, "full": ahead > -99, "window": (ahead >= 0) & (ahead < options.get("window", 0))}
    expected = reference(
        heads(e @ w["q"].T, query_heads), heads(e @ w["k"].T, kv_heads), heads(e @ w["v"].T, kv_heads),
        mask[attributes["mask"]], 0.4, options.get("softcap"),
    ) @ w["o"].T  # fmt: skip
    assert_near(found, expected)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (4, 4), (7, 7), (5, 3), (3, 5), (1, 4), (6, 1)])
def test_causal(width, height):
    attend(width, height)


@pytest.mark.parametrize(("query_heads", "kv_heads"), [(3, 3), (5, 1), (6, 3), (7, 7)])
def test_head_counts(query_heads, kv_heads):
    attend(4, 4, query_heads=query_heads, kv_heads=kv_heads)


def test_full_mask():
    attend(3, 3, mask="full")


def test_sliding_window_and_batches():
    attend(3, 4, batch=2, sequence=5, mask="window", window=3)


def test_softcap_and_unequal_value_size():
    attend(5, 4, value_dim=4, softcap=2.0)
    attend(6, 2, dim=4, value_dim=10)


def test_odd_head_size():
    attend(4, 3, dim=5, value_dim=5)


def rotate(x, angle, pairing, rotary):
    """x [B, S, H, D]; angle [S, rotary / 2]."""
    turned, rest = x[..., :rotary], x[..., rotary:]
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    if pairing == "half":
        a, b = turned.chunk(2, -1)
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine, rest], -1)
    a, b = turned[..., ::2], turned[..., 1::2]
    return torch.cat([torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2), rest], -1)


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
@pytest.mark.parametrize(("dim", "rotary", "scale"), [(8, 8, 1.0), (8, 4, 1.0), (6, 6, 1.3), (10, 4, 1.2)])
def test_rotary_embedding(pairing, dim, rotary, scale):
    graph = Graph(batch=2, sequence=5)
    x = graph.embedding(9)
    frequencies = graph.tensor("const.inv_freq", rotary // 2, value=torch.rand(rotary // 2) * 2)
    positions = graph.positions()
    turned = []
    for name, count in (("q", 4), ("k", 2)):
        y = graph.op("linear", [x, graph.tensor(name, count * dim, 9)], count * dim, weight="nk")
        turned.append(
            graph.op(
                "rope",
                [y, positions, frequencies],
                count * dim,
                heads=count,
                head_dim=dim,
                rotary_dim=rotary,
                pairing=pairing,
                scale=scale,
            )
        )
    v = graph.op("linear", [x, graph.tensor("v", 2 * dim, 9)], 2 * dim, weight="nk")
    out = graph.op(
        "attention", [*turned, v], 4 * dim,
        heads=4, kv_heads=2, head_dim=dim, value_dim=dim, scale=0.3, mask="causal",
    )  # fmt: skip
    found = run_graph(graph, graph.op("linear", [out, graph.tensor("o", 7, 4 * dim)], 7, weight="nk"), 5, 3)
    w = graph.weights
    e = w["table"][graph.ids]
    angle = torch.arange(5.0)[:, None] * w["const.inv_freq"]

    def projected(name, count):
        y = rotate((e @ w[name].T).unflatten(-1, (count, dim)), angle, pairing, rotary)
        # The amplitude belongs to cosine and sine, so it scales the rotated dimensions only.
        y = torch.cat([y[..., :rotary] * scale, y[..., rotary:]], -1)
        return y.transpose(1, 2)

    at = torch.arange(5)
    mask = at[:, None] >= at[None]
    expected = reference(projected("q", 4), projected("k", 2), heads(e @ w["v"].T, 2), mask, 0.3) @ w["o"].T
    assert_near(found, expected)
