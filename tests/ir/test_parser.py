"""Texts that are unusual but legal, and texts that would break a careless parser."""

from __future__ import annotations

import pytest

from meshc.ir.core import Location, TensorType
from meshc.ir.parser import parse_module, read_module
from meshc.ir.printer import print_module, print_operation
from meshrt.diagnostics import MeshError


def test_windows_line_ends_and_tabs():
    module = parse_module('module graph\r\n\t%a = op() {text = "x"} : tensor<4xf32>\r\n')
    assert print_module(module) == 'module graph\n%a = op() {text = "x"} : tensor<4xf32>\n'


def test_a_caret_stands_below_a_tabbed_column():
    with pytest.raises(MeshError) as caught:
        parse_module("module graph\n\t\top(%a)\n")
    lines = str(caught.value).splitlines()
    assert lines[2][lines[3].index("^")] == "%"


def test_keywords_are_keys_only_in_quotes():
    module = parse_module('module graph {"true" = 1, "a b" = 2, loc = 3, module = 4, x.y = 5}')
    assert list(module.attributes) == ["true", "a b", "loc", "module", "x.y"]
    assert print_module(module) == 'module graph {"true" = 1, "a b" = 2, "loc" = 3, "module" = 4, x.y = 5}\n'


def test_several_regions_and_results():
    module = parse_module(
        'module graph\n%a, %b = if() : tensor<1xf32>, tensor<i1> loc("s") (%x: tensor<i1>) {\nyield(%x)\n} () {\n}\n'
    )
    (op,) = module.body.ops
    assert [r.type for r in op.results] == [TensorType((1,), "f32"), TensorType((), "i1")]
    assert [len(block.ops) for block in op.regions] == [1, 0]
    assert op.location == Location("", 0, "s")
    assert all(block.parent is op for block in op.regions) and op.parent is module.body
    assert print_operation(op) == '%a, %b = if() : tensor<1xf32>, tensor<i1> loc("s")'


def test_sibling_regions_may_use_one_name():
    module = parse_module("module graph\nop() () {\n%x = a() : tensor<i1>\n} () {\n%x = a() : tensor<i1>\n}\n")
    assert "%x_1 = a()" in print_module(module)


@pytest.mark.parametrize(
    "text",
    [
        "module graph {a = " + "[" * 5000 + "]" * 5000 + "}",
        "module graph {a = " + "9" * 5000 + "}",
        "module graph {a = tensor<" + "9" * 5000 + "xf32>}",
        "module graph\n" + "op() () {\n" * 3000 + "}\n" * 3000,
        "module graph\x00",
        "\ufeffmodule graph",
        "module",
        "module graph {a = tensor<",
        'module graph {a = expr<"' + "(" * 3000 + '">}',
        "module graph {a = expr<1>}",
        'module graph {a = view<"a", "b">}',
        'module graph {"a}',
        "%",
        "module graph\n%a",
    ],
    ids=range(14),
)
def test_no_text_breaks_the_parser(text):
    with pytest.raises(MeshError) as caught:
        parse_module(text)
    assert caught.value.diagnostic.code.startswith("M02")


@pytest.mark.parametrize(("name", "content"), [("none.mir", None), ("bytes.mir", b"\xff\xfe"), ("", None)])
def test_a_file_that_cannot_be_read(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MeshError) as caught:
        read_module(tmp_path / name)
    assert caught.value.diagnostic.code == "M0209"
