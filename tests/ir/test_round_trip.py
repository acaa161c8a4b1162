"""Printing and parsing give the same module, and the same bytes, for any module."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.ir.attributes import attribute_text
from meshc.ir.core import Block, Location, Module, Operation, TensorType, Type, Value
from meshc.ir.equality import difference, equal
from meshc.ir.parser import parse_module
from meshc.ir.printer import print_module
from meshc.ir.types import DTYPES, ParametricType
from meshrt.program import expr
from meshrt.program.model import Dim, View


@dataclass(frozen=True, slots=True)
class PairType(ParametricType):
    mnemonic: ClassVar[str] = "pair"
    positional: ClassVar[tuple[str, ...]] = ("first",)
    first: TensorType
    label: str = ""
    sizes: tuple[int, ...] = ()
    weight: float | None = None
    inner: PairType | None = None


TYPES = (PairType,)


def check(module: Module) -> None:
    text = print_module(module)
    again = parse_module(text, types=TYPES)
    assert difference(module, again) is None
    assert print_module(again) == text


# ---- generated modules ---------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in ("true", "min", "max")
)
INTEGERS = st.integers(-(2**70), 2**70)
TENSORS = st.builds(TensorType, st.lists(st.integers(0, 9999), max_size=4).map(tuple), st.sampled_from(DTYPES))
PAIRS = st.recursive(
    st.builds(
        PairType, TENSORS, ANY_TEXT, st.lists(INTEGERS, max_size=3).map(tuple), st.none() | st.floats(allow_nan=False)
    ),
    lambda inner: st.builds(PairType, TENSORS, ANY_TEXT, inner=inner),
    max_leaves=3,
)
VALUE_TYPES = TENSORS | PAIRS
EXPRESSIONS = st.recursive(
    st.integers(0, 10**6).map(expr.Int) | st.sampled_from(["x", "y", "l", "@k_ring"]).map(expr.Name),
    lambda inner: (
        st.builds(expr.binary, st.sampled_from(["+", "-", "*", "min", "max", "==", "<"]), inner, inner)
        | st.builds(expr.select, inner, inner, inner)
        | st.builds(expr.TableRef, st.just("phys"), inner)
    ),
    max_leaves=5,
)
VIEWS = st.builds(
    View,
    st.sampled_from(["a", "tile_2"]),
    EXPRESSIONS,
    st.none() | st.lists(st.builds(Dim, EXPRESSIONS, EXPRESSIONS), min_size=1, max_size=3).map(tuple),
)
ATTRIBUTES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | ANY_TEXT | VALUE_TYPES | EXPRESSIONS | VIEWS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
LOCATIONS = st.builds(Location, ANY_TEXT, st.integers(0, 10**6), ANY_TEXT)
DICTIONARIES = st.dictionaries(NAMES | ANY_TEXT, ATTRIBUTES, max_size=3)
OP_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}(\.[a-z0-9_]{1,4}){0,2}", fullmatch=True).filter(
    lambda n: n != "loc"
)


def fill(block: Block, visible: list[Value], draw: Any, depth: int) -> None:
    for _ in range(draw(st.integers(0, 3))):
        types = draw(st.lists(VALUE_TYPES, max_size=3))
        op = Operation(
            draw(OP_NAMES),
            draw(st.lists(st.sampled_from(visible), max_size=3)) if visible else [],
            types,
            draw(DICTIONARIES),
            location=draw(LOCATIONS),
            result_names=[draw(ANY_TEXT) for _ in types],
        )
        for _ in range(draw(st.integers(0, 2)) if depth else 0):
            arguments = draw(st.lists(VALUE_TYPES, max_size=2))
            inner = Block(arguments, [draw(ANY_TEXT) for _ in arguments])
            inner.parent = op
            op.regions.append(inner)
            fill(inner, [*visible, *inner.args], draw, depth - 1)
        block.append(op)
        visible = [*visible, *op.results]


@st.composite
def modules(draw: Any) -> Module:
    module = Module(draw(st.sampled_from(["graph", "tile", "mesh"])), attributes=draw(DICTIONARIES))
    fill(module.body, [], draw, 2)
    return module


@settings(max_examples=60, deadline=None)
@given(modules())
def test_generated_modules(module):
    check(module)


# ---- what is easily forgotten --------------------------------------------------------


def holding(value: Any) -> Module:
    return Module("graph", attributes={"value": value})


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63, 0.0, -0.0, 1.0, 1e-5, 1e22, 5e-324, math.inf, -math.inf, math.nan,
        "", "plain", 'a "quote"', "back\\slash", "line\nbreak\ttab\r", "\x00\x7f\u0085\u2028\ud800", "中文 é 🙂",
        "// no comment", "{l} %x", (), ((),), (1, (2.0, "three")), {}, {"a": {"b": ()}}, {"not a name": 1, "none": 2},
        {"": 0}, TensorType((), "f32"), TensorType((0, 3), "i1"), PairType(TensorType((1,), "f16")),
        (expr.X * 4 + expr.Y, View("b")),
    ],
    ids=attribute_text,
)  # fmt: skip
def test_attribute_values(value):
    check(holding(value))


def test_kinds_do_not_mix():
    for left, right in [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("1", 1),
        (None, False),
        ((1,), (1.0,)),
        ({"a": 1}, {"a": 1.0}),
    ]:
        assert not equal(holding(left), holding(right))
    assert equal(holding(math.nan), holding(float("nan")))
    assert equal(holding([1, [2]]), holding((1, (2,))))


@pytest.mark.parametrize(
    "location",
    [
        Location(),
        Location("a.py", 3),
        Location("a.py", 0, "s"),
        Location("", 0, "s"),
        Location("", 7),
        Location("", 7, "s"),
    ],
)
def test_locations(location):
    module = Module("graph")
    module.body.append(Operation("op", location=location))
    check(module)


def test_defaults_of_a_type_are_left_out():
    inner = PairType(TensorType((2,), "f32"))
    outer = PairType(TensorType((), "i64"), sizes=(4, 5), inner=inner)
    assert attribute_text(outer) == "pair<tensor<i64>, sizes = [4, 5], inner = pair<tensor<2xf32>>>"
    check(holding(outer))


# ---- names ---------------------------------------------------------------------------


def chain(hints: list[str]) -> Module:
    module = Module("graph")
    kind: Type = TensorType((1,), "f32")
    previous: list[Value] = []
    for hint in hints:
        op = module.body.append(Operation("op", previous, [kind], result_names=[hint]))
        previous = op.results
    return module


def test_names_are_unique_and_stay():
    module = chain(["x", "x", "x_1", "", "", "x", "7", "a b", "%", "x"])
    lines = print_module(module).splitlines()[1:]
    assert [line.split(" ")[0] for line in lines] == [
        "%x", "%x_1", "%x_1_1", "%0", "%1", "%x_2", "%_7", "%a_b", "%_", "%x_3",
    ]  # fmt: skip
    check(module)


def test_functions_have_their_own_names():
    text = (
        "module graph\n"
        "\nfunc() (%x: tensor<1xf32>) {\n  %0 = op(%x) : tensor<1xf32>\n}\n"
        "\nfunc() (%x: tensor<1xf32>) {\n  %0 = op(%x) : tensor<1xf32>\n}\n"
    )
    assert print_module(parse_module(text)) == text


def test_comments_and_spaces_do_not_matter():
    loose = '// head\nmodule   graph{a=1,b=[1,2]}%x=op ( ):tensor<4xf32>// tail\nop(%x)loc("s")( ){ }'
    assert print_module(parse_module(loose)) == (
        'module graph {a = 1, b = [1, 2]}\n%x = op() : tensor<4xf32>\n\nop(%x) loc("s") () {\n}\n'
    )
