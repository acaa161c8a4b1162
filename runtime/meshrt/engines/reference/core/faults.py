"""Faults that a test injects (:mod:`meshrt.engines.faults`): what compiled code asks of them, and does for them.

A record each in a table; B_FAULTS is their number, and where it is 0 nothing here runs.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.pointers import call_at, i64_at
from meshrt.engines.reference.core.held import halfword_of, width_of
from meshrt.engines.reference.core.operands import (
    COUNT,
    DIMS,
    DTYPE,
    EXTENT,
    SIZE,
    STRIDE,
    is_view,
)
from meshrt.engines.reference.core.queues import fail, free_word
from meshrt.engines.reference.core.records import (
    A_FAULTS,
    A_PES,
    A_VIEWS,
    B_FAULTS,
    DAMAGED,
    DEAF,
    E_CLOCK,
    E_SIZE,
    ERROR_SHORT,
    H_TIME,
    HALTED,
    I_COUNT,
    LOST,
    P_DISTURB,
    P_SELF,
    P_WORDS,
    SHORT,
    STUCK,
    W_SIZE,
    W_VALUE,
    Z_AT,
    Z_CYCLE,
    Z_KIND,
    Z_SIZE,
    Z_VALUE,
    ZERO,
)


@internal
def fault_of(r, kind, at, time):
    """The record of a fault of a kind at a link or PE that has begun, or -1."""
    for number in range(r[B_FAULTS]):
        z = r[A_FAULTS] + number * Z_SIZE
        if r[z + Z_KIND] == kind and r[z + Z_AT] == at and r[z + Z_CYCLE] <= time:
            return z
    return ZERO - 1


@inline
def is_stuck(r, link, time):
    """Whether a link carries nothing."""
    return r[B_FAULTS] != 0 and fault_of(r, STUCK, link, time) >= 0


@inline
def is_deaf(r, link, time):
    """Whether a link does not notice that the queue behind it is full."""
    return r[B_FAULTS] != 0 and fault_of(r, DEAF, link, time) >= 0


@inline
def is_halted(r, pe, time):
    """Whether a PE issues nothing any more."""
    return r[B_FAULTS] != 0 and fault_of(r, HALTED, pe, time) >= 0


@inline
def is_lost(r, word, link):
    """Whether a word that goes over a link in this cycle does not arrive; a fault may damage it as well."""
    return call_at(r[P_DISTURB], r[P_SELF], word, link) != 0


@called_by_address
def disturb(header_at, word, link):
    """What happens once to a word on a link: damage, or (1) its loss, and it is free."""
    r = i64_at(header_at)
    time = r[H_TIME]
    z = fault_of(r, DAMAGED, link, time)
    if z >= 0:
        r[z + Z_KIND] = 0
        i64_at(r[P_WORDS])[word * W_SIZE + W_VALUE] ^= np.int64(1) << r[z + Z_VALUE]
    z = fault_of(r, LOST, link, time)
    if z >= 0:
        r[z + Z_KIND] = 0
        free_word(r, word)
        return ZERO + 1
    return ZERO


@internal
def stay_within(r, i, pe, call):
    """An instruction whose operands are resolved reaches no byte past the end of its PE's SRAM."""
    z = fault_of(r, SHORT, pe, r[r[A_PES] + pe * E_SIZE + E_CLOCK])
    if z < 0:
        return
    for which in range(r[i + I_COUNT]):
        o = r[A_VIEWS] + which * SIZE
        if not is_view(r, o) or r[o + COUNT] == 0:
            continue
        width = width_of(r[o + DTYPE])
        end = halfword_of(r, o, pe) + width
        for d in range(r[o + DIMS]):
            end += max(ZERO, (r[o + EXTENT + d] - 1) * r[o + STRIDE + d] * width)
        if 2 * end > r[z + Z_VALUE]:
            fail(r, ERROR_SHORT, pe, ZERO - 1, call, 2 * end, r[z + Z_VALUE])
            return
