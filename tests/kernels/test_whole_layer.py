"""A layer with every kernel computes on any grid what its graph says."""

import pytest

from tests import graph_reference
from tests.kernels.harness import assert_near, run_graph, transformer

GRIDS = [(1, 1), (1, 4), (5, 1), (2, 2), (4, 4), (7, 7), (5, 3), (2, 6)]


@pytest.mark.parametrize(("width", "height"), GRIDS)
@pytest.mark.parametrize(("batch", "sequence"), [(1, 5), (2, 3), (1, 1)])
def test_the_mesh_computes_what_the_graph_says(width, height, batch, sequence):
    graph, result = transformer(sequence, batch)
    expected = graph_reference.run_graph(graph.module(result), graph.weights, graph.ids)
    assert_near(run_graph(graph, result, width, height), expected)


@pytest.mark.parametrize(("width", "height"), [(3, 3), (4, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("mixed", 4e-3), ("f16", 2e-2), ("bf16", 3e-2)])
def test_narrow_dtypes_stay_near(width, height, dtype, tolerance):
    graph, result = transformer()
    expected = graph_reference.run_graph(graph.module(result), graph.weights, graph.ids)
    assert_near(run_graph(graph, result, width, height, dtype), expected, tolerance)
