"""How much of the work is padding."""

from meshc.passes.padding import padding_report, useful_macs
from meshc.passes.pipeline import run_pipeline
from meshc.passes.tile import Tile
from tests.kernels.harness import Graph, transformer


def tiled(graph, result, width, height):
    module = graph.module(result)
    run_pipeline(module, [Tile(width=width, height=height, dtype="f32")])
    return module


def test_multiply_adds_of_the_model_alone():
    graph, result = transformer(sequence=5)
    linear = 8 * (16 + 8 + 8) + 16 * 8 + 8 * 24 + 12 * 8 + 8 * 19
    attention = 5 * 4 * (4 + 4)
    assert useful_macs(tiled(graph, result, 3, 4)) == 5 * (linear + attention)


def test_layers_count_as_often_as_they_run():
    graph = Graph(batch=2, sequence=3)

    def body(h):
        return [graph.op("linear", [h, graph.layers("w", 4, 6, 6)], 6, weight="nk")]

    (y,) = graph.repeat(4, [graph.embedding(6)], body)
    assert useful_macs(tiled(graph, y, 2, 2)) == 4 * 2 * 3 * 6 * 6


def test_extents_before_and_after():
    graph, result = transformer(sequence=5)
    report = padding_report(tiled(graph, result, 3, 4))
    assert report["tokens"] == [5, 8]
    # The residual stream, keys and values by heads, the gated unit, queries by heads, four blocks of logits on three
    # columns.
    assert report["features"] == [[8, 9], [8, 12], [12, 12], [16, 24], [19, 30]]
