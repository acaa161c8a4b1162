"""Every arithmetic instruction against numpy: odd shapes, strided views, all dtypes, every rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshrt.program.instructions import INSTRUCTIONS
from tests.meshrt.engines.one_pe import run_one
from tests.meshrt.naive_interpreter import rounded

FLOATS = ("f32", "f16", "bf16")
EXACT = {
    "copy": lambda a: a,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
#: Functions whose last bit is the C library's: one unit in the last place of f32 is allowed.
CLOSE = {
    "div": np.divide,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
}
POSITIVE = {"div", "sqrt", "rsqrt", "log"}
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def inputs(opcode: str) -> int:
    return len(INSTRUCTIONS[opcode].operands) - 1


def numbers(seed: int, shape: tuple[int, ...], dtype: str, positive: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if dtype == "i32":
        return generator.integers(-1000, 1000, shape).astype(np.int32)
    values = generator.standard_normal(shape).astype(np.float32) * 3
    return rounded(np.abs(values) + np.float32(0.25) if positive else values, dtype)


@st.composite
def walks(draw) -> tuple[int, int, int, int]:
    """A view (rows, columns, row stride, column stride) that meets no element twice."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    column_stride = draw(st.integers(1, 3))
    row_stride = column_stride * columns + draw(st.integers(0, 3))
    if draw(st.booleans()):
        return rows, columns, row_stride, column_stride
    return rows, columns, draw(st.integers(1, 2)), 2 * rows + draw(st.integers(0, 2))


def positions(walk: tuple[int, int, int, int]) -> np.ndarray:
    rows, columns, row_stride, column_stride = walk
    return np.arange(rows)[:, None] * row_stride + np.arange(columns) * column_stride


def view(name: str, walk: tuple[int, int, int, int]) -> str:
    rows, columns, row_stride, column_stride = walk
    return f"{name}[0]({rows}:{row_stride}, {columns}:{column_stride})"


def strided(opcode: str, dtypes: list[str], seed: int, walk, column: int, positive: bool) -> tuple:
    """The result buffer after ``opcode`` on strided views, its contents before, and the operands' elements."""
    at = positions(walk)
    buffers = {"r": (dtypes[0], numbers(seed, (int(at.max()) + 1,), dtypes[0]))}
    texts, operands = [view("r", walk)], []
    for i in range(inputs(opcode)):
        name, dtype = "abc"[i], dtypes[1 + i]
        # Each operand is dense, transposed or one element per row repeated along it.
        rows, columns = walk[:2]
        walks_of = [(rows, columns, columns, 1), (rows, columns, 1, rows), (rows, columns, 1, 0)]
        mine = walks_of[(column + i) % 3]
        buffers[name] = (dtype, numbers(seed + 1 + i, (rows * columns,), dtype, positive))
        texts.append(view(name, mine))
        operands.append(buffers[name][1][positions(mine)])
    found = run_one(buffers, f"{opcode} {', '.join(texts)}", "r")
    return found, buffers["r"][1], at, operands


@pytest.mark.parametrize("opcode", EXACT)
@given(data=st.data())
@FEW
def test_exact_elementwise(opcode, data):
    integers = data.draw(st.booleans())
    dtypes = ["i32"] * 4 if integers else [data.draw(st.sampled_from(FLOATS)) for _ in range(4)]
    walk, seed = data.draw(walks()), data.draw(st.integers(0, 999))
    found, before, at, operands = strided(opcode, dtypes, seed, walk, data.draw(st.integers(0, 2)), False)
    wanted = before.copy()
    wanted[at] = rounded(EXACT[opcode](*operands), dtypes[0])
    assert found.tolist() == wanted.tolist()


@given(data=st.data())
@FEW
def test_the_product_of_fma_is_rounded_to_the_dtype_of_the_result(data):
    dtypes = [data.draw(st.sampled_from(FLOATS)) for _ in range(4)]
    walk, seed = data.draw(walks()), data.draw(st.integers(0, 999))
    found, before, at, (a, b, c) = strided("fma", dtypes, seed, walk, data.draw(st.integers(0, 2)), False)
    wanted = before.copy()
    wanted[at] = rounded(rounded(a * b, dtypes[0]) + c, dtypes[0])
    assert found.tolist() == wanted.tolist()


def test_fma_of_integers():
    a = numbers(9, (7,), "i32")
    buffers = {"a": ("i32", a), "r": ("i32", np.zeros(7, np.int32))}
    assert run_one(buffers, "fma r, a, 3.0, a", "r").tolist() == (a * 4).tolist()


@pytest.mark.parametrize("opcode", CLOSE)
@given(data=st.data())
@FEW
def test_functions(opcode, data):
    dtypes = [data.draw(st.sampled_from(FLOATS)) for _ in range(3)]
    walk, seed = data.draw(walks()), data.draw(st.integers(0, 999))
    found, before, at, operands = strided(opcode, dtypes, seed, walk, data.draw(st.integers(0, 2)), opcode in POSITIVE)
    wanted = before.astype(np.float64)
    wanted[at] = CLOSE[opcode](*[o.astype(np.float64) for o in operands])
    ulp = {"f32": 2.0**-22, "f16": 2.0**-10, "bf16": 2.0**-7}[dtypes[0]]
    np.testing.assert_allclose(found, wanted, rtol=ulp, atol=2.0**-24)


def test_every_elementwise_instruction_is_tested():
    elementwise = {o for o, row in INSTRUCTIONS.items() if row.immediates}
    assert elementwise == {"fma"} | set(EXACT) | set(CLOSE)


SPECIAL = [
    0.0, -0.0, 1.0, -1.0,
    65504.0, 65519.996, 65520.0, -65520.0, 1e6, 3.4e38, -3.4e38,
    2.0**-14, 2.0**-15, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25, 3 * 2.0**-25, 2.0**-26, 6.0975e-05,
    1 + 2.0**-11, 1 + 3 * 2.0**-11, 2049.0, 2051.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 257.0, 259.0,
    1e-40, -1e-40, 1.1754942e-38, math.inf, -math.inf, math.nan,
]  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_at_ties_subnormals_and_overflow(dtype):
    values = np.array(SPECIAL, np.float32)
    found = run_one({"a": ("f32", values), "r": (dtype, np.zeros_like(values))}, "copy r, a", "r")
    np.testing.assert_array_equal(found.view(np.uint32)[:-1], rounded(values, dtype).view(np.uint32)[:-1])
    assert math.isnan(found[-1])


@pytest.mark.parametrize("dtype", FLOATS)
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
@FEW
def test_rounding_of_any_bits(dtype, bits):
    values = np.array(bits, np.uint32).view(np.float32)
    found = run_one({"a": ("f32", values), "r": (dtype, np.zeros_like(values))}, "copy r, a", "r")
    wanted = rounded(values, dtype)
    same = (found.view(np.uint32) == wanted.view(np.uint32)) | (np.isnan(found) & np.isnan(wanted))
    assert same.all()


@pytest.mark.parametrize("opcode", ["gemm", "gemm_t"])
@given(data=st.data())
@FEW
def test_products(opcode, data):
    batch, m, k, n = (data.draw(st.integers(1, high)) for high in (2, 5, 6, 9))
    c_type, ab_type = data.draw(st.sampled_from([(c, a) for c in FLOATS for a in FLOATS]))
    seed, across = data.draw(st.integers(0, 999)), data.draw(st.booleans())
    vector = data.draw(st.sampled_from(["", ", vector=m", ", vector=n"]))
    c, a = numbers(seed, (batch, m, n), c_type), numbers(seed + 1, (batch, m, k), ab_type)
    b = numbers(seed + 2, (batch, n, k) if opcode == "gemm_t" else (batch, k, n), ab_type)
    buffers = {"c": (c_type, c), "a": (ab_type, a), "b": (ab_type, b)}
    text = "b"
    if across:
        # The same matrix, stored the other way round.
        buffers["b"] = (ab_type, np.ascontiguousarray(np.swapaxes(b, -1, -2)))
        rows, columns = b.shape[-2:]
        text = f"b[0]({batch}:{rows * columns}, {rows}:1, {columns}:{rows})"
    found = run_one(buffers, f"{opcode} c, a, {text}{vector}", "c")
    right = np.swapaxes(b, -1, -2) if opcode == "gemm_t" else b
    wanted = c
    for i in range(k):
        wanted = rounded(wanted + a[..., :, i, None] * right[..., None, i, :], c_type)
    np.testing.assert_array_equal(found, wanted)


@given(rows=st.integers(1, 6), columns=st.integers(1, 9), seed=st.integers(0, 999), dtype=st.sampled_from(FLOATS))
@FEW
def test_reductions(rows, columns, seed, dtype):
    a = numbers(seed, (rows, columns), dtype)
    buffers = {"a": (dtype, a), "r": ("f32", np.zeros(rows, np.float32))}
    np.testing.assert_array_equal(run_one(buffers, "reduce_max r, a", "r"), a.max(-1))
    total = np.zeros(rows, np.float32)
    for i in range(columns):
        total = total + a[:, i]
    np.testing.assert_array_equal(run_one(buffers, "sum r, a", "r"), total)


def test_reductions_of_integers():
    a = numbers(3, (3, 5), "i32")
    buffers = {"a": ("i32", a), "r": ("i32", np.zeros(3, np.int32))}
    assert run_one(buffers, "sum r, a", "r").tolist() == a.sum(-1).tolist()
    assert run_one(buffers, "reduce_max r, a", "r").tolist() == a.max(-1).tolist()


def test_immediates_stand_for_any_operand():
    a = numbers(4, (2, 3), "f32")
    buffers = {"a": ("f32", a), "r": ("f32", np.zeros((2, 3), np.float32))}
    assert run_one(buffers, "sub r, 1.5, a", "r").tolist() == (np.float32(1.5) - a).tolist()
    assert run_one(buffers, "fma r, a, 2.0, 0.5", "r").tolist() == (a * np.float32(2) + np.float32(0.5)).tolist()


def test_fill_where_and_index():
    r = numbers(5, (3, 4), "f32")
    found = run_one({"r": ("f32", r)}, "fill r, value=-1.5, where=i1 > i0", "r")
    i0, i1 = np.indices(r.shape)
    assert found.tolist() == np.where(i1 > i0, np.float32(-1.5), r).tolist()
    found = run_one({"r": ("i32", np.zeros((3, 4), np.int32))}, "index r, value=i0 * 10 - i1 // 2 + x", "r")
    assert found.tolist() == (i0 * 10 - i1 // 2).tolist()


def test_gather_gives_zero_outside_the_table():
    table, index = numbers(6, (4, 3), "f16"), np.array([5, 2, 7, 1, 4, 6], np.int32)
    buffers = {"t": ("f16", table), "i": ("i32", index), "r": ("f16", np.ones((6, 3), np.float32))}
    found = run_one(buffers, "gather r, t, i, base=3", "r")
    wanted = [table[i - 3].tolist() if 0 <= i - 3 < 4 else [0.0] * 3 for i in index]
    assert found.tolist() == wanted


def test_rotate_exchanges_two_buffers():
    a, b = numbers(7, (2, 3), "f32"), numbers(8, (2, 3), "f32")
    buffers = {"a": ("f32", a), "b": ("f32", b)}
    assert run_one(buffers, "rotate a, b", "a").tolist() == b.tolist()
    assert run_one(buffers, "for l in 0..3 {\n rotate a, b\n add a, a, 1.0\n}", "b").tolist() == (a + 1).tolist()


def test_a_loop_until_a_flag():
    buffers = {"n": ("i32", np.array([0], np.int32)), "flag": ("i32", np.array([0], np.int32))}
    text = "until flag {\n add n, n, 1.0\n sub flag, n, 5.0\n max flag, flag, -1.0\n add flag, flag, 1.0\n}"
    assert run_one(buffers, text, "n").tolist() == [5]


@pytest.mark.parametrize(("stop", "rounds"), [(9, 5), (5, 5), (3, 3), (0, 0)])
def test_a_counted_loop_until_a_flag(stop, rounds):
    buffers = {"n": ("i32", np.array([0], np.int32)), "flag": ("i32", np.array([0], np.int32))}
    text = f"for l in 0..{stop} until flag {{\n add n, n, 1.0\n sub flag, n, 5.0\n fill flag, value=1.0, where=l == 4\n"
    text += " fill flag, value=0.0, where=l != 4\n}"
    assert run_one(buffers, text, "n").tolist() == [rounds]
