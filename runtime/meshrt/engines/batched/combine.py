"""What a move does with the elements that it takes: it copies them, or combines them with its view."""

from __future__ import annotations

from meshrt.compiled import inline
from meshrt.engines.batched.records import (
    C_LOG,
    G_BUFFER,
    G_DENSE,
    G_DTYPE,
    G_KIND,
    G_VIEW,
    I32,
    M_ADDR,
    M_CALL,
    M_CELL,
    OUT,
    P_ADDR,
    P_PE,
    RECV,
    RECV_ADD,
    RECV_MAX,
    STREAM_ADD,
    STREAM_COPY,
    V_EXTENT,
    V_STRIDE,
    X_VALUES,
)
from meshrt.engines.batched.value_log import TAKEN, log
from meshrt.engines.numeric.rounding import round_to
from meshrt.engines.pointers import integers_of


@inline
def element_offset(r, view, j):
    """Where element j of a view lies, relative to the view's first element."""
    offset = 0
    for d in range(3, -1, -1):
        extent = r[view + V_EXTENT + d]
        offset += (j % extent) * r[view + V_STRIDE + d]
        j //= extent
    return offset


@inline
def combine(r, memory, base, g, result, done, source, n):
    """Values of n elements from ``source`` on become elements ``done`` onwards of a move, or go to ``result``.

    ``base`` is where the view of the move begins.
    """
    if r[X_VALUES] == 0:
        return
    kind = r[g + G_KIND]
    view = r[g + G_VIEW]
    dtype = r[g + G_DTYPE]
    dense = r[g + G_DENSE] == 1
    if kind == RECV and dense:
        target = base + done
        for j in range(n):
            memory[target + j] = memory[source + j]
        return
    adds = kind == RECV_ADD or kind == STREAM_ADD
    stores = kind <= RECV_MAX
    copies = kind == RECV or kind == STREAM_COPY
    target = result
    integers = integers_of(memory)
    for j in range(n):
        at = base + done + j if dense else base + element_offset(r, view, done + j)
        to = at if stores else target + j
        if copies:
            memory[at] = memory[source + j]
            memory[to] = memory[source + j]
        elif dtype == I32:
            a, b = integers[at], integers[source + j]
            integers[to] = a + b if adds else max(a, b)
        else:
            x, y = memory[at], memory[source + j]
            memory[to] = round_to(x + y, dtype) if adds else (x if x > y or x != x else y)


@inline
def take_values(r, memory, p, g, m, result, done, n):
    """Move p takes n elements of message m."""
    source, base = r[m + M_ADDR], r[p + P_ADDR]
    combine(r, memory, base, g, result, done, source, n)
    if r[C_LOG] != 0:
        cell = r[g + G_BUFFER] + r[p + P_PE] % OUT
        log(r, TAKEN, g, n, r[m + M_CELL], source, r[m + M_CALL], cell, base, result, done)
