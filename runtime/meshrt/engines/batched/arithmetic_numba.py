"""Arithmetic on the tiles of a group of PEs: the backend that computes values, on one CPU thread.

The backend's whole interface is :func:`elementwise`, :func:`integer_elementwise`,
:func:`reduce`, :func:`gemm`, :func:`gather_rows` and :func:`fill`. Each
works on the rows that a group's PEs have in the engine's one memory.

An operand is a row of an ``int64`` table: :data:`OPERAND` names its columns. Its address
on a PE is ``addresses[buffer, pe] + offset``. Values of f16 and bf16 are f32 in memory,
rounded at every store; arithmetic is f32, special functions are f64 rounded to f32.
Order and rounding are fixed: sums and products accumulate in ascending order, one
rounding to the accumulator's dtype after each step.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, native
from meshrt.engines.batched.records import F32, I32
from meshrt.engines.numeric.functions import (
    ADD,
    COPY,
    DIV,
    FMA,
    MAX,
    MIN,
    MUL,
    SUB,
    special,
)
from meshrt.engines.numeric.rounding import round_block, round_to
from meshrt.engines.pointers import f32_at, i32_at, prefetch

# Columns of an operand: where it lies, its dtype, four extents and four strides, and 1 when its elements are dense.
O_BUFFER = 0  # -1 for an immediate number
O_DTYPE = 1
O_EXTENT = 2
O_STRIDE = 6
O_DENSE = 10
OPERAND_COLUMNS = 11

SUM, REDUCE_MAX = 0, 1
#: Elements that one step of a blocked loop works on: small enough to stay in the first-level cache.
BLOCK = 4096
#: PEs ahead of the present one whose operands are asked for: tiles, and operands of a line or two.
AHEAD, SOON = 4, 16
#: Elements in a cache line, and how many of a tile are asked for: the hardware sees the rest coming.
LINE, MOST = 16, 512


@inline
def _load(memory, integers, at, operand, out, o):
    """Copy an operand of one PE to ``out[o:]``, in order; integers become f32."""
    e0, e1, e2, e3 = operand[2], operand[3], operand[4], operand[5]
    whole = operand[O_DTYPE] == I32
    if operand[O_DENSE] == 1 and not whole:
        for j in range(e0 * e1 * e2 * e3):
            out[o + j] = memory[at + j]
        return
    s0, s1, s2, s3 = operand[6], operand[7], operand[8], operand[9]
    for i0 in range(e0):
        for i1 in range(e1):
            for i2 in range(e2):
                start = at + i0 * s0 + i1 * s1 + i2 * s2
                if whole:
                    for i3 in range(e3):
                        out[o + i3] = np.float32(integers[start + i3 * s3])
                elif s3 == 1:
                    for i3 in range(e3):
                        out[o + i3] = memory[start + i3]
                else:
                    for i3 in range(e3):
                        out[o + i3] = memory[start + i3 * s3]
                o += e3


@inline
def _store(memory, integers, at, operand, values, v):
    """Copy ``values[v:]`` to an operand of one PE; f32 become integers toward zero."""
    e0, e1, e2, e3 = operand[2], operand[3], operand[4], operand[5]
    whole = operand[O_DTYPE] == I32
    if operand[O_DENSE] == 1 and not whole:
        for j in range(e0 * e1 * e2 * e3):
            memory[at + j] = values[v + j]
        return
    s0, s1, s2, s3 = operand[6], operand[7], operand[8], operand[9]
    for i0 in range(e0):
        for i1 in range(e1):
            for i2 in range(e2):
                start = at + i0 * s0 + i1 * s1 + i2 * s2
                if whole:
                    for i3 in range(e3):
                        integers[start + i3 * s3] = np.int32(values[v + i3])
                else:
                    for i3 in range(e3):
                        memory[start + i3 * s3] = values[v + i3]
                v += e3


@native
def _apply(op, a, b, c, n, dtype):
    """``a[:n] = op(a, b, c)``, rounded to the dtype."""
    if op == ADD:
        for j in range(n):
            a[j] = a[j] + b[j]
    elif op == SUB:
        for j in range(n):
            a[j] = a[j] - b[j]
    elif op == MUL:
        for j in range(n):
            a[j] = a[j] * b[j]
    elif op == DIV:
        for j in range(n):
            a[j] = a[j] / b[j]
    elif op == MAX:
        for j in range(n):
            a[j] = a[j] if a[j] > b[j] or a[j] != a[j] else b[j]
    elif op == MIN:
        for j in range(n):
            a[j] = a[j] if a[j] < b[j] or a[j] != a[j] else b[j]
    elif op == FMA:
        for j in range(n):
            a[j] = a[j] * b[j]
        round_block(a, n, dtype)
        for j in range(n):
            a[j] = a[j] + c[j]
    elif op != COPY:
        for j in range(n):
            a[j] = special(op, a[j])
    round_block(a, n, dtype)


@native
def elementwise(memory_at, addresses, pes, op, operands, offsets, immediates, scratch):
    """``r = op(a, b, c)`` element by element. Operand 0 is r; unused inputs are immediates."""
    memory, integers = f32_at(memory_at), i32_at(memory_at)
    r = operands[0]
    n = r[2] * r[3] * r[4] * r[5]
    if n == 0:
        return
    block = max(1, BLOCK // n)
    wide = 1 if offsets.shape[1] > 1 else 0
    for which in range(1, 4):
        if operands[which, O_BUFFER] < 0:
            scratch[which, : block * n] = immediates[which]
    count = pes.shape[0]
    for first in range(0, count, block):
        stop = min(first + block, count)
        for which in range(1, 4):
            buffer = operands[which, O_BUFFER]
            if buffer >= 0:
                for i in range(first, stop):
                    soon = min(i + SOON, count - 1)
                    prefetch(memory_at + (addresses[buffer, pes[soon]] + offsets[which, soon * wide]) * 4)
                    at = addresses[buffer, pes[i]] + offsets[which, i * wide]
                    _load(memory, integers, at, operands[which], scratch[which], (i - first) * n)
            elif which == 1:
                scratch[1, : (stop - first) * n] = immediates[1]
        _apply(op, scratch[1], scratch[2], scratch[3], (stop - first) * n, r[O_DTYPE])
        for i in range(first, stop):
            at = addresses[r[O_BUFFER], pes[i]] + offsets[0, i * wide]
            _store(memory, integers, at, r, scratch[1], (i - first) * n)


@inline
def _at(operand, j):
    """Offset of element j of an operand."""
    offset = 0
    for d in range(3, -1, -1):
        extent = operand[O_EXTENT + d]
        offset += (j % extent) * operand[O_STRIDE + d]
        j //= extent
    return offset


@native
def integer_elementwise(memory_at, addresses, pes, op, operands, offsets, immediates, scratch):
    """The same on i32 buffers, exactly and with wrap-around; ``div`` rounds toward minus infinity."""
    integers = i32_at(memory_at)
    r = operands[0]
    n = r[2] * r[3] * r[4] * r[5]
    values = scratch[0].view(np.int32)
    for i in range(pes.shape[0]):
        for j in range(n):
            x = np.int64(0)
            y = np.int64(0)
            z = np.int64(0)
            for which in range(1, 4):
                buffer = operands[which, O_BUFFER]
                if buffer >= 0:
                    at = addresses[buffer, pes[i]] + offsets[which, i % offsets.shape[1]] + _at(operands[which], j)
                    v = np.int64(integers[at])
                else:
                    v = np.int64(immediates[which])
                if which == 1:
                    x = v
                elif which == 2:
                    y = v
                else:
                    z = v
            if op == ADD:
                x = x + y
            elif op == SUB:
                x = x - y
            elif op == MUL:
                x = x * y
            elif op == MAX:
                x = max(x, y)
            elif op == MIN:
                x = min(x, y)
            elif op == FMA:
                x = x * y + z
            elif op == DIV:
                x = x // y if y != 0 else np.int64(0)
            values[j] = np.int32(x)
        at = addresses[r[O_BUFFER], pes[i]] + offsets[0, i % offsets.shape[1]]
        for j in range(n):
            integers[at + _at(r, j)] = values[j]


@native
def reduce(memory_at, addresses, pes, op, operands, offsets, scratch):
    """``r[..] = sum`` or largest of ``a[.., n]`` over the last dimension of a (its fourth extent)."""
    memory, integers = f32_at(memory_at), i32_at(memory_at)
    r, a = operands[0], operands[1]
    rows = a[2] * a[3] * a[4]
    n = a[5]
    dtype = r[O_DTYPE]
    for i in range(pes.shape[0]):
        pe = pes[i]
        _load(memory, integers, addresses[a[O_BUFFER], pe] + offsets[1, i % offsets.shape[1]], a, scratch[1], 0)
        for row in range(rows):
            base = row * n
            if op == SUM:
                total = np.float32(0)
                for j in range(n):
                    total = round_to(total + scratch[1, base + j], dtype)
            else:
                total = np.float32(-np.inf)
                for j in range(n):
                    x = scratch[1, base + j]
                    total = total if total > x or total != total else x
                total = round_to(total, dtype)
            scratch[0, row] = total
        _store(memory, integers, addresses[r[O_BUFFER], pe] + offsets[0, i % offsets.shape[1]], r, scratch[0], 0)


@inline
def _add_products(memory, c, a, step, b, row, kk, nn):
    """``c[:nn] += a[k] * b[k, :nn]`` for k in ascending order, on f32 rows without gaps; four k in one pass."""
    k = 0
    while k + 4 <= kk:
        x0, x1 = memory[a + k * step], memory[a + (k + 1) * step]
        x2, x3 = memory[a + (k + 2) * step], memory[a + (k + 3) * step]
        b0 = b + k * row
        b1, b2, b3 = b0 + row, b0 + 2 * row, b0 + 3 * row
        for n in range(nn):
            first = (memory[c + n] + x0 * memory[b0 + n]) + x1 * memory[b1 + n]
            memory[c + n] = (first + x2 * memory[b2 + n]) + x3 * memory[b3 + n]
        k += 4
    while k + 2 <= kk:
        x0, x1 = memory[a + k * step], memory[a + (k + 1) * step]
        b0 = b + k * row
        b1 = b0 + row
        for n in range(nn):
            memory[c + n] = (memory[c + n] + x0 * memory[b0 + n]) + x1 * memory[b1 + n]
        k += 2
    if k < kk:
        x0 = memory[a + k * step]
        b0 = b + k * row
        for n in range(nn):
            memory[c + n] = memory[c + n] + x0 * memory[b0 + n]


@inline
def _add_across(memory, c, c_step, a, a_step, b, b_row, b_step, kk, nn):
    """The same on f32 with any strides: four n in one pass, each with its own sum."""
    n = 0
    while n + 4 <= nn:
        c0 = c + n * c_step
        c1, c2, c3 = c0 + c_step, c0 + 2 * c_step, c0 + 3 * c_step
        b0 = b + n * b_step
        b1, b2, b3 = b0 + b_step, b0 + 2 * b_step, b0 + 3 * b_step
        s0, s1, s2, s3 = memory[c0], memory[c1], memory[c2], memory[c3]
        for k in range(kk):
            x, row = memory[a + k * a_step], k * b_row
            s0 = s0 + x * memory[b0 + row]
            s1 = s1 + x * memory[b1 + row]
            s2 = s2 + x * memory[b2 + row]
            s3 = s3 + x * memory[b3 + row]
        memory[c0], memory[c1], memory[c2], memory[c3] = s0, s1, s2, s3
        n += 4
    if n + 2 <= nn:
        c0, b0 = c + n * c_step, b + n * b_step
        c1, b1 = c0 + c_step, b0 + b_step
        s0, s1 = memory[c0], memory[c1]
        for k in range(kk):
            x, row = memory[a + k * a_step], k * b_row
            s0 = s0 + x * memory[b0 + row]
            s1 = s1 + x * memory[b1 + row]
        memory[c0], memory[c1] = s0, s1
        n += 2
    if n < nn:
        at, from_ = c + n * c_step, b + n * b_step
        total = memory[at]
        for k in range(kk):
            total = total + memory[a + k * a_step] * memory[from_ + k * b_row]
        memory[at] = total


@inline
def _add_rounded(memory, c, c_step, a, a_step, b, b_row, b_step, kk, nn, dtype):
    """The same with any strides, each sum rounded to the dtype."""
    for k in range(kk):
        x = memory[a + k * a_step]
        row = b + k * b_row
        for n in range(nn):
            at = c + n * c_step
            memory[at] = round_to(memory[at] + x * memory[row + n * b_step], dtype)


@native
def gemm(memory_at, addresses, pes, operands, offsets, shape, strides):
    """``c[b, m, n] += a[b, m, k] * b[b, k, n]``.

    ``shape`` is (batch 0, batch 1, m, k, n); ``strides[operand]`` are its strides by
    (batch 0, batch 1, m, k, n), zero where the operand has no such dimension.
    """
    memory = f32_at(memory_at)
    dtype = operands[0, O_DTYPE]
    outers, inners, mm, kk, nn = shape[0], shape[1], shape[2], shape[3], shape[4]
    ck, cn, am, ak, bk, bn = (strides[0, 2], strides[0, 4], strides[1, 2], strides[1, 3], strides[2, 3], strides[2, 4])
    dense = dtype == F32 and cn == 1 and bn == 1
    across = dtype == F32 and not dense
    wide = 1 if offsets.shape[1] > 1 else 0
    count = pes.shape[0]
    sums, lefts, rights = (
        addresses[operands[0, O_BUFFER]],
        addresses[operands[1, O_BUFFER]],
        addresses[operands[2, O_BUFFER]],
    )
    ahead = min(kk * nn, MOST)
    for i in range(count):
        pe, o = pes[i], i * wide
        if i + AHEAD < count:
            soon = rights[pes[i + AHEAD]] + offsets[2, (i + AHEAD) * wide]
            for line in range(0, ahead, LINE):
                prefetch(memory_at + (soon + line) * 4)
            prefetch(memory_at + (soon + ahead - 1) * 4)
        c_of, a_of, b_of = sums[pe] + offsets[0, o], lefts[pe] + offsets[1, o], rights[pe] + offsets[2, o]
        for outer in range(outers):
            for inner in range(inners):
                c = c_of + outer * strides[0, 0] + inner * strides[0, 1]
                a = a_of + outer * strides[1, 0] + inner * strides[1, 1]
                b = b_of + outer * strides[2, 0] + inner * strides[2, 1]
                for m in range(mm):
                    if dense:
                        _add_products(memory, c + m * ck, a + m * am, ak, b, bk, kk, nn)
                    elif across:
                        _add_across(memory, c + m * ck, cn, a + m * am, ak, b, bk, bn, kk, nn)
                    else:
                        _add_rounded(memory, c + m * ck, cn, a + m * am, ak, b, bk, bn, kk, nn, dtype)


@native
def gather_rows(memory_at, addresses, pes, operands, offsets, bases, rows, width):
    """``r[i, ..] = table[index[i] - base, ..]``, zero where the index is outside the table."""
    memory, integers = f32_at(memory_at), i32_at(memory_at)
    r, table, index = operands[0], operands[1], operands[2]
    count = index[2] * index[3] * index[4] * index[5]
    for i in range(pes.shape[0]):
        pe = pes[i]
        o = i % offsets.shape[1]
        to = addresses[r[O_BUFFER], pe] + offsets[0, o]
        source = addresses[table[O_BUFFER], pe] + offsets[1, o]
        at = addresses[index[O_BUFFER], pe] + offsets[2, o]
        for j in range(count):
            if index[O_DTYPE] == I32:
                row = np.int64(integers[at + _at(index, j)])
            else:
                row = np.int64(memory[at + _at(index, j)])
            row -= bases[i % bases.shape[0]]
            for e in range(width):
                target = to + _at(r, j * width + e)
                if 0 <= row < rows:
                    value = memory[source + _at(table, row * width + e)]
                    if r[O_DTYPE] != I32 and r[O_DTYPE] != table[O_DTYPE]:
                        value = round_to(value, r[O_DTYPE])
                    memory[target] = value
                else:
                    memory[target] = np.float32(0)


@native
def fill(memory_at, addresses, pes, operand, offsets, values, where):
    """``r = values`` where ``where`` is not zero; both are [1 or PEs, elements or 1]. f64 values hold i32 exactly."""
    memory, integers = f32_at(memory_at), i32_at(memory_at)
    n = operand[2] * operand[3] * operand[4] * operand[5]
    if operand[O_DENSE] == 1 and operand[O_DTYPE] != I32 and values.size == 1 and where.size == 1 and where[0, 0]:
        number = round_to(np.float32(values[0, 0]), operand[O_DTYPE])
        for i in range(pes.shape[0]):
            at = addresses[operand[O_BUFFER], pes[i]] + offsets[0, i % offsets.shape[1]]
            for j in range(n):
                memory[at + j] = number
        return
    for i in range(pes.shape[0]):
        at = addresses[operand[O_BUFFER], pes[i]] + offsets[0, i % offsets.shape[1]]
        vi, wi = i % values.shape[0], i % where.shape[0]
        for j in range(n):
            if where[wi, j % where.shape[1]]:
                value = values[vi, j % values.shape[1]]
                target = at + (j if operand[O_DENSE] else _at(operand, j))
                if operand[O_DTYPE] == I32:
                    integers[target] = np.int32(value)
                else:
                    memory[target] = round_to(np.float32(value), operand[O_DTYPE])
