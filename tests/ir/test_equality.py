"""Structural equality finds every difference, and says where it is."""

from __future__ import annotations

import pytest

from meshc.ir.equality import difference, equal
from meshc.ir.parser import parse_module

TEXT = """module graph {seed = 1}

func() {name = "forward"} (%x: tensor<4xf32>, %y: tensor<4xf32>) {
  %a = graph.add(%x, %y) : tensor<4xf32> loc("model.py":3 "layer")
  %b = graph.repeat(%a) {count = 2, counter = "l"} : tensor<4xf32> (%c: tensor<4xf32>) {
    graph.yield(%c)
  }
  return(%b)
}
"""


def test_names_do_not_matter():
    renamed = TEXT.replace("%a", "%sum").replace("%c", "%carried")
    assert equal(parse_module(TEXT), parse_module(renamed))


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("module graph", "module tile", "module: level"),
        ("seed = 1", "seed = 2", "module: seed is 1 and 2"),
        ("seed = 1", "speed = 1", "module: attributes"),
        ("count = 2", "count = 2.0", "1 graph.repeat: count is 2 and 2.0"),
        ("graph.add", "graph.mul", "0 graph.add: also graph.mul"),
        ("(%x, %y)", "(%y, %x)", "0 graph.add: operands differ"),
        ("model.py", "other.py", "0 graph.add: from"),
        (": tensor<4xf32> loc", ": tensor<4xf16> loc", "0 graph.add: results of types"),
        ("(%c: tensor<4xf32>)", "(%c: tensor<4xf16>)", "1 graph.repeat: arguments of types"),
        ("graph.yield(%c)", "graph.yield(%a)", "0 graph.yield: operands differ"),
        ("  return(%b)\n", "", "3 and 2 operations"),
        (" (%c: tensor<4xf32>) {\n    graph.yield(%c)\n  }", "", "1 and 0 regions"),
    ],
)
def test_a_difference_is_found(old, new, where):
    assert TEXT.count(old) == 1
    found = difference(parse_module(TEXT), parse_module(TEXT.replace(old, new)))
    assert found is not None and where in found
