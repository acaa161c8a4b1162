"""Decode graphs of tiny models on a grid: reductions alternate axes, and nothing has to be moved."""

from __future__ import annotations

import pytest

from meshc.dialects.levels import LEVELS
from meshc.frontend.export import export_module
from meshc.ir.printer import print_module
from meshc.ir.verifier import verify
from meshc.passes.base import PassContext
from meshc.passes.pipeline import parse_pipeline, run_pipeline
from tests.frontend.comparison import graph_of, operations
from tests.models import FAMILIES, tiny, token_ids


def tiled(family: str, layers: int = 4):
    """The tile level of a tiny model's decode on 5 x 3 PEs."""
    module, weights = graph_of(export_module(tiny(family, num_hidden_layers=layers), token_ids(2, 9)))
    run_pipeline(module, parse_pipeline("derive-decode,tile{width = 5, height = 3}"), PassContext(weights))
    verify(module, LEVELS)
    return module


# The layers of smollm3 differ in whether they rotate.
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"smollm3"}))
def test_reductions_alternate_axes(family):
    module = tiled(family)
    names = [name.removeprefix("tile.") for name in operations(module)]
    assert "relayout" not in names
    assert names.count("sample") == names.count("repeat") == 1
    for op in module.walk():
        if op.name == "tile.gemv":
            assert {result.type.axis for result in op.results} == {"x" if op.operands[0].type.axis == "y" else "y"}
        if op.name == "tile.cached_attention":
            assert {value.type.axis for value in (*op.operands, op.result)} == {"x"}


@pytest.mark.parametrize(("family", "products"), [("llama", 5), ("gpt2", 5)])
def test_one_reduction_serves_all_products_of_one_input(family, products):
    """Queries, keys and values; gate and up; then what follows each of them, and the head."""
    assert operations(tiled(family)).count("tile.gemv") == products


def test_the_text_does_not_grow_with_the_layers():
    few, many = (print_module(tiled("llama", n)).replace(f"count = {n}", "count = N") for n in (2, 7))
    assert few == many
