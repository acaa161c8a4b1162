"""With ``--checked``: what asynchronous moves hold, and who touches it before their ``wait`` (rule R4).

SRAM is looked at in halfwords. What a move under way holds is marked with a number of its
own, and an instruction's operands are looked up among the marks.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import BF16, F16
from meshrt.engines.reference.core.operands import (
    COUNT,
    D_ADDRESS,
    D_SIZE,
    DIMS,
    DTYPE,
    EXTENT,
    FROM,
    ROW,
    SIZE,
    STRIDE,
    is_view,
)
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    A_DECLARED,
    A_MARKS,
    A_MOVES,
    A_SLOTS,
    A_VIEWS,
    B_MOVES,
    B_PES,
    ERROR_HELD,
    H_STAMP,
    I_COUNT,
    I_ROLES,
    V_CALL,
    V_DTYPE,
    V_EXTENT,
    V_FROM,
    V_HOLDS,
    V_N,
    V_PE,
    V_SIZE,
    V_STRIDE,
    ZERO,
)


@inline
def width_of(dtype):
    """Halfwords of an element."""
    return 1 if dtype == F16 or dtype == BF16 else 2


@inline
def halfword_of(r, o, pe):
    """The halfword of SRAM where a resolved view begins; rotation may have given the PE another declared buffer."""
    slot = r[r[A_SLOTS] + r[o + ROW] * r[B_PES] + pe]
    return r[r[A_DECLARED] + slot * D_SIZE + D_ADDRESS] + r[o + FROM] * width_of(r[o + DTYPE])


@internal
def hold(r, v, writes):
    """A move that is launched holds the memory of its operand until it is released."""
    r[v + V_HOLDS] = 2 if writes else 1
    r[v + V_FROM] = halfword_of(r, r[A_VIEWS], r[v + V_PE])


@inline
def release(r, v):
    """A move is waited for."""
    r[v + V_HOLDS] = 0


@internal
def mark(r, v):
    """Mark the halfwords that a move holds with the present stamp."""
    width = width_of(r[v + V_DTYPE])
    for j in range(r[v + V_N]):
        at, rest = r[v + V_FROM], j
        for d in range(4):
            at += (rest % r[v + V_EXTENT + d]) * r[v + V_STRIDE + d] * width
            rest //= r[v + V_EXTENT + d]
        for half in range(width):
            r[r[A_MARKS] + at + half] = r[H_STAMP]


@internal
def meets(r, o, pe):
    """Whether a resolved view has a halfword with the present stamp."""
    width, start = width_of(r[o + DTYPE]), halfword_of(r, o, pe)
    for j in range(r[o + COUNT]):
        at, rest = start, j
        for d in range(r[o + DIMS] - 1, -1, -1):
            at += (rest % r[o + EXTENT + d]) * r[o + STRIDE + d] * width
            rest //= r[o + EXTENT + d]
        for half in range(width):
            if r[r[A_MARKS] + at + half] == r[H_STAMP]:
                return True
    return False


@internal
def watch(r, i, pe, call):
    """An instruction whose operands are resolved touches nothing that a move under way holds."""
    count, roles = r[i + I_COUNT], r[i + I_ROLES]
    for handle in range(r[B_MOVES] - 1):
        v = r[A_MOVES] + (pe * r[B_MOVES] + handle) * V_SIZE
        if r[v + V_HOLDS] == 0:
            continue
        r[H_STAMP] += 1
        marked = False
        for which in range(count):
            o = r[A_VIEWS] + which * SIZE
            writes = (roles >> (2 * which)) & 2
            if is_view(r, o) and (writes != 0 or r[v + V_HOLDS] == 2):
                if not marked:
                    mark(r, v)
                    marked = True
                if meets(r, o, pe):
                    fail(r, ERROR_HELD, pe, ZERO - 1, call, r[v + V_CALL], writes)
                    return
