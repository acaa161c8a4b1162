"""Arithmetic instructions on one PE: values, in the order and with the rounding that the instruction table fixes.

Operands are resolved and merged (:mod:`.operands`); results are collected before any of
them is stored, so that an operand may overlap the result.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.loading.codes import I32
from meshrt.engines.numeric import functions as op
from meshrt.engines.numeric.functions import special
from meshrt.engines.numeric.rounding import round_to
from meshrt.engines.pointers import f32_at, f64_at, i32_at, i64_at
from meshrt.engines.reference.core.expressions import ABSENT, DEPTH, value_of
from meshrt.engines.reference.core.operands import (
    AT,
    COUNT,
    DIMS,
    DTYPE,
    EXTENT,
    MERGED,
    ROW,
    SIZE,
    STACK,
    STRIDE,
    Y_NUMBER,
    Y_SIZE,
    is_view,
)
from meshrt.engines.reference.core.records import (
    A_ADDRESSES,
    A_OPERANDS,
    A_SLOTS,
    A_VIEWS,
    B_PES,
    ELEMENTWISE,
    FILL,
    GATHER_FORM,
    I_BASE,
    I_COUNT,
    I_FORM,
    I_NUMBER,
    I_OP,
    I_OPERAND,
    I_VALUE,
    I_WHERE,
    P_IMMEDIATES,
    P_MEMORY,
    P_SCRATCH,
    PRODUCT_FORM,
    REDUCTION_FORM,
    ZERO,
)

ADD, SUB, MUL, DIV, MAX, MIN, FMA, COPY = op.ADD, op.SUB, op.MUL, op.DIV, op.MAX, op.MIN, op.FMA, op.COPY


@inline
def load(r, memory, integers, o, at):
    """An element of a resolved operand as f32."""
    return np.float32(integers[at]) if r[o + DTYPE] == I32 else memory[at]


@inline
def keep(memory, integers, dtype, at, value):
    """Store an f32 value that is already rounded; integers are rounded toward zero."""
    if dtype == I32:
        integers[at] = np.int32(value)
    else:
        memory[at] = value


@inline
def apply(which, x, y, z, dtype):
    """``op(x, y, z)`` of f32 values, rounded to a dtype."""
    if which == ADD:
        x = x + y
    elif which == SUB:
        x = x - y
    elif which == MUL:
        x = x * y
    elif which == DIV:
        x = x / y
    elif which == MAX:
        x = x if x > y or x != x else y
    elif which == MIN:
        x = x if x < y or x != x else y
    elif which == FMA:
        x = round_to(x * y, dtype) + z
    elif which != COPY:
        x = special(which, x)
    return round_to(x, dtype)


@inline
def apply_to_integers(which, x, y, z):
    """The same on integers; ``div`` rounds toward minus infinity and gives zero for a divisor of zero."""
    if which == ADD:
        return x + y
    if which == SUB:
        return x - y
    if which == MUL:
        return x * y
    if which == MAX:
        return max(x, y)
    if which == MIN:
        return min(x, y)
    if which == FMA:
        return x * y + z
    if which == DIV:
        return x // y if y != 0 else np.int64(0)
    return x


@inline
def base_of(r, which, i0, i1, i2):
    """Where the innermost dimension of a merged operand begins."""
    m = r[A_VIEWS] + MERGED + which * SIZE
    at = r[r[A_VIEWS] + which * SIZE + AT]
    return at + i0 * r[m + STRIDE] + i1 * r[m + STRIDE + 1] + i2 * r[m + STRIDE + 2]


@internal
def elementwise(r, which, inputs, numbers):
    """``r = op(a, b, c)`` element by element; ``numbers`` are the indices of immediates, by operand."""
    memory, integers, scratch = f32_at(r[P_MEMORY]), i32_at(r[P_MEMORY]), f32_at(r[P_SCRATCH])
    values = i32_at(r[P_SCRATCH])
    immediates = f64_at(r[P_IMMEDIATES])
    base = r[A_VIEWS]
    a, b, c = base + SIZE, base + 2 * SIZE, base + 3 * SIZE
    m = base + MERGED
    dtype = r[base + DTYPE]
    exact = dtype == I32
    view_a, view_b, view_c = is_view(r, a), inputs > 1 and is_view(r, b), inputs > 2 and is_view(r, c)
    if (view_a and r[a + DTYPE] != I32) or (view_b and r[b + DTYPE] != I32) or (view_c and r[c + DTYPE] != I32):
        exact = False
    fa = immediates[r[numbers + 1]] if not view_a else 0.0
    fb = immediates[r[numbers + 2]] if inputs > 1 and not view_b else 0.0
    fc = immediates[r[numbers + 3]] if inputs > 2 and not view_c else 0.0
    sa, sb, sc = r[m + SIZE + STRIDE + 3], r[m + 2 * SIZE + STRIDE + 3], r[m + 3 * SIZE + STRIDE + 3]
    n = r[m + EXTENT + 3]
    j = ZERO
    for i0 in range(r[m + EXTENT]):
        for i1 in range(r[m + EXTENT + 1]):
            for i2 in range(r[m + EXTENT + 2]):
                at_a = base_of(r, 1, i0, i1, i2) if view_a else ZERO
                at_b = base_of(r, 2, i0, i1, i2) if view_b else ZERO
                at_c = base_of(r, 3, i0, i1, i2) if view_c else ZERO
                if exact:
                    for i in range(n):
                        x = np.int64(integers[at_a + i * sa]) if view_a else np.int64(fa)
                        y = np.int64(integers[at_b + i * sb]) if view_b else np.int64(fb)
                        z = np.int64(integers[at_c + i * sc]) if view_c else np.int64(fc)
                        values[j + i] = np.int32(apply_to_integers(which, x, y, z))
                else:
                    for i in range(n):
                        u = load(r, memory, integers, a, at_a + i * sa) if view_a else np.float32(fa)
                        v = load(r, memory, integers, b, at_b + i * sb) if view_b else np.float32(fb)
                        w = load(r, memory, integers, c, at_c + i * sc) if view_c else np.float32(fc)
                        scratch[j + i] = apply(which, u, v, w, dtype)
                j += n
    j = ZERO
    step = r[m + STRIDE + 3]
    for i0 in range(r[m + EXTENT]):
        for i1 in range(r[m + EXTENT + 1]):
            for i2 in range(r[m + EXTENT + 2]):
                at = base_of(r, 0, i0, i1, i2)
                for i in range(n):
                    if exact:
                        integers[at + i * step] = values[j + i]
                    else:
                        keep(memory, integers, dtype, at + i * step, scratch[j + i])
                j += n


@inline
def offset_of(r, o, j):
    """Offset of element j of a resolved operand, row by row; the element's indices go to the stack of expressions."""
    indices = r[A_VIEWS] + STACK + DEPTH
    offset = ZERO
    for d in range(r[o + DIMS] - 1, -1, -1):
        extent = r[o + EXTENT + d]
        i = j % extent
        r[indices + d] = i
        offset += i * r[o + STRIDE + d]
        j //= extent
    return offset


@internal
def reduce(r, largest):
    """``r[..] = sum``, or largest, of ``a[.., n]`` over the last dimension, in ascending order."""
    memory, integers, scratch = f32_at(r[P_MEMORY]), i32_at(r[P_MEMORY]), f32_at(r[P_SCRATCH])
    base = r[A_VIEWS]
    o, a = base, base + SIZE
    dtype = r[o + DTYPE]
    last = r[a + DIMS] - 1
    n, step = r[a + EXTENT + last], r[a + STRIDE + last]
    for row in range(r[o + COUNT]):
        at = r[a + AT] + offset_of(r, a, row * n) if n > 0 else ZERO
        total = np.float32(-np.inf) if largest else np.float32(0)
        for i in range(n):
            x = load(r, memory, integers, a, at + i * step)
            if largest:
                total = total if total > x or total != total else x
            else:
                total = round_to(total + x, dtype)
        scratch[row] = round_to(total, dtype)
    for row in range(r[o + COUNT]):
        keep(memory, integers, dtype, r[o + AT] + offset_of(r, o, row), scratch[row])


@internal
def product(r, transposed):
    """``c[.., m, n] += a[.., m, k] * b[.., k, n]`` (or ``b[.., n, k]``): sums in ascending k, rounded every time."""
    memory = f32_at(r[P_MEMORY])
    base = r[A_VIEWS]
    c, a, b = base, base + SIZE, base + 2 * SIZE
    dtype = r[c + DTYPE]
    rank = r[c + DIMS]
    mm, nn, kk = r[c + EXTENT + rank - 2], r[c + EXTENT + rank - 1], r[a + EXTENT + rank - 1]
    cm, cn = r[c + STRIDE + rank - 2], r[c + STRIDE + rank - 1]
    am, ak = r[a + STRIDE + rank - 2], r[a + STRIDE + rank - 1]
    bk, bn = r[b + STRIDE + rank - 2], r[b + STRIDE + rank - 1]
    if transposed:
        bk, bn = bn, bk
    batches = ZERO + 1
    for d in range(rank - 2):
        batches *= r[c + EXTENT + d]
    for batch in range(batches):
        at_c, at_a, at_b = r[c + AT], r[a + AT], r[b + AT]
        j = batch
        for d in range(rank - 3, -1, -1):
            i = j % r[c + EXTENT + d]
            j //= r[c + EXTENT + d]
            at_c += i * r[c + STRIDE + d]
            at_a += i * r[a + STRIDE + d]
            at_b += i * r[b + STRIDE + d]
        for m in range(mm):
            for k in range(kk):
                x = memory[at_a + m * am + k * ak]
                row = at_b + k * bk
                out = at_c + m * cm
                for n in range(nn):
                    memory[out + n * cn] = round_to(memory[out + n * cn] + x * memory[row + n * bn], dtype)


@internal
def fill(r, pe, value, expression, where):
    """``r = value``, or the value of an expression over the element indices, where ``where`` is not zero."""
    memory, integers = f32_at(r[P_MEMORY]), i32_at(r[P_MEMORY])
    o, stack = r[A_VIEWS], r[A_VIEWS] + STACK
    dtype, step = r[o + DTYPE], r[o + STRIDE]
    if r[o + DIMS] == 1 and where == ABSENT and expression == ABSENT:
        rounded = round_to(np.float32(value), dtype)
        for j in range(r[o + COUNT]):
            if dtype == I32:
                integers[r[o + AT] + j * step] = np.int32(value)
            else:
                memory[r[o + AT] + j * step] = rounded
        return
    for j in range(r[o + COUNT]):
        at = r[o + AT] + offset_of(r, o, j)
        if where != ABSENT and value_of(r, where, pe, stack) == 0:
            continue
        if expression != ABSENT:
            value = np.float64(value_of(r, expression, pe, stack))
        if dtype == I32:
            integers[at] = np.int32(value)
        else:
            memory[at] = round_to(np.float32(value), dtype)


@internal
def gather(r, base):
    """``r[i, ..] = table[index[i] - base, ..]``, zero where the index is outside the table."""
    memory, integers = f32_at(r[P_MEMORY]), i32_at(r[P_MEMORY])
    o, table, index = r[A_VIEWS], r[A_VIEWS] + SIZE, r[A_VIEWS] + 2 * SIZE
    rows = r[table + EXTENT]
    width = r[table + COUNT] // rows if rows > 0 else ZERO
    for i in range(r[index + COUNT]):
        at = r[index + AT] + offset_of(r, index, i)
        row = (np.int64(integers[at]) if r[index + DTYPE] == I32 else np.int64(memory[at])) - base
        for e in range(width):
            to = r[o + AT] + offset_of(r, o, i * width + e)
            if 0 <= row < rows:
                value = memory[r[table + AT] + offset_of(r, table, row * width + e)]
                if r[o + DTYPE] != I32 and r[o + DTYPE] != r[table + DTYPE]:
                    value = round_to(value, r[o + DTYPE])
                memory[to] = value
            else:
                memory[to] = np.float32(0)


@inline
def exchange(r, pe, a, b):
    """``rotate``: exchange the addresses of two buffers, and which declared buffer's memory each means."""
    for table in range(2):
        at = (r[A_ADDRESSES] if table == 0 else r[A_SLOTS]) + pe
        r[at + a * r[B_PES]], r[at + b * r[B_PES]] = r[at + b * r[B_PES]], r[at + a * r[B_PES]]


@called_by_address
def calculate(header_at, i, pe):
    """What an arithmetic instruction does to the memory of a PE; its operands are resolved and fit together."""
    r = i64_at(header_at)
    form, base = r[i + I_FORM], r[A_VIEWS]
    if form == ELEMENTWISE:
        numbers = base + STACK + 110
        for which in range(1, r[i + I_COUNT]):
            r[numbers + which] = r[r[A_OPERANDS] + r[i + I_OPERAND + which] * Y_SIZE + Y_NUMBER]
        elementwise(r, r[i + I_OP], r[i + I_COUNT] - 1, numbers)
    elif form == REDUCTION_FORM:
        reduce(r, r[i + I_OP] != 0)
    elif form == PRODUCT_FORM:
        product(r, r[i + I_OP] != 0)
    elif form == FILL:
        fill(r, pe, f64_at(r[P_IMMEDIATES])[r[i + I_NUMBER]], r[i + I_VALUE], r[i + I_WHERE])
    elif form == GATHER_FORM:
        gather(r, value_of(r, r[i + I_BASE], pe, base + STACK) if r[i + I_BASE] != ABSENT else ZERO)
    else:
        exchange(r, pe, r[base + ROW], r[base + SIZE + ROW])
    return ZERO
