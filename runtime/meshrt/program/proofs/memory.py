"""What an instruction does to SRAM: it needs its operands' own data, overwrites what shares addresses, respects moves.

Each PE has a bit for every declared buffer that shares addresses with another: whether it holds its own data. Writing
a buffer sets its bit and clears those of its *rivals*; reading one without its bit is M0512. Buffers may be exchanged
by ``rotate``, so names lead to declared buffers PE by PE.
"""

from __future__ import annotations

from meshrt.compiled import internal
from meshrt.program.proofs.evaluation import fail, value_of
from meshrt.program.proofs.records import (
    D_ADDRESS,
    D_BITS,
    D_BYTES,
    D_ELEMENTS,
    D_TRACKED,
    ERROR_HELD,
    ERROR_NO_BUFFER,
    ERROR_STALE,
    EXCHANGES,
    H_HANDLES,
    H_LIVE,
    H_LIVE_WIDTH,
    H_MOVES,
    H_NAMES,
    H_SCRATCH,
    IDLE,
    M_CALL,
    M_DECLARED,
    M_DIMS,
    M_OFFSET,
    M_RANK,
    M_SIZE,
    M_STATE,
    M_WRITES,
    O_DIMS,
    O_HELD,
    O_NAME,
    O_OFFSET,
    O_RANK,
    O_ROLE,
    P_MOVES,
    P_STEP,
    READS,
    WRITES,
)


@internal
def note_view(s, m, o, pe):
    """Write down in move record m which elements operand o means on a PE; gives False where it has none."""
    d = s[pe + s[H_NAMES] + s[o + O_NAME]]
    s[m + M_DECLARED] = d
    s[m + M_WRITES] = 1 if s[o + O_ROLE] & WRITES else 0
    rank = s[o + O_RANK]
    s[m + M_RANK] = rank
    if rank < 0:
        s[m + M_OFFSET] = 0
        s[m + M_RANK] = 1
        s[m + M_DIMS] = s[d + D_ELEMENTS]
        s[m + M_DIMS + 1] = 1
        return True
    s[m + M_OFFSET] = value_of(s, s[o + O_OFFSET], pe)
    some = True
    for i in range(rank):
        extent = value_of(s, s[s[o + O_DIMS] + 2 * i], pe)
        s[m + M_DIMS + 2 * i] = extent
        s[m + M_DIMS + 2 * i + 1] = value_of(s, s[s[o + O_DIMS] + 2 * i + 1], pe)
        if extent < 1:
            some = False
    return some


@internal
def reach(s, m, highest):
    """Lowest or highest byte address that a noted view takes."""
    at = s[m + M_OFFSET]
    for i in range(s[m + M_RANK]):
        step = (s[m + M_DIMS + 2 * i] - 1) * s[m + M_DIMS + 2 * i + 1]
        if (step > 0) == highest:
            at += step
    d = s[m + M_DECLARED]
    size = s[d + D_BYTES]
    return s[d + D_ADDRESS] + at * size + (size - 1 if highest else 0)


@internal
def element_address(s, m, number):
    """Byte address of element ``number`` of a noted view."""
    at = s[m + M_OFFSET]
    for j in range(s[m + M_RANK]):
        i = s[m + M_RANK] - 1 - j
        extent = s[m + M_DIMS + 2 * i]
        at += number % extent * s[m + M_DIMS + 2 * i + 1]
        number //= extent
    d = s[m + M_DECLARED]
    return s[d + D_ADDRESS] + at * s[d + D_BYTES]


@internal
def elements_of(s, m):
    """How many elements a noted view has."""
    n = 1
    for i in range(s[m + M_RANK]):
        n *= max(0, s[m + M_DIMS + 2 * i])
    return n


@internal
def views_meet(s, a, b):
    """Whether two noted views of one PE have a byte in common."""
    if reach(s, a, True) < reach(s, b, False) or reach(s, b, True) < reach(s, a, False):
        return False
    size_a = s[s[a + M_DECLARED] + D_BYTES]
    size_b = s[s[b + M_DECLARED] + D_BYTES]
    for i in range(elements_of(s, a)):
        at = element_address(s, a, i)
        for j in range(elements_of(s, b)):
            there = element_address(s, b, j)
            if at < there + size_b and there < at + size_a:
                return True
    return False


@internal
def check_held(s, o, pe):
    """M0509 where operand o of the PE's present instruction meets what an asynchronous move holds."""
    scratch = s[H_SCRATCH]
    known = False
    for h in range(s[H_HANDLES]):
        m = pe + s[H_MOVES] + h * M_SIZE
        if s[m + M_STATE] == IDLE or not (s[m + M_WRITES] == 1 or s[o + O_ROLE] & WRITES):
            continue
        if not known:
            if not note_view(s, scratch, o, pe):
                return
            known = True
        if elements_of(s, m) > 0 and views_meet(s, scratch, m):
            fail(s, ERROR_HELD, pe, s[pe + P_STEP], o, s[m + M_CALL], 0)
            return


@internal
def touch(s, o, pe):
    """The PE's present instruction reads, writes, or reads and writes operand o."""
    name, role = s[o + O_NAME], s[o + O_ROLE]
    d = s[pe + s[H_NAMES] + name]
    if d == 0:
        fail(s, ERROR_NO_BUFFER, pe, s[pe + P_STEP], o, 0, 0)
        return
    if s[o + O_HELD] == 1 and s[pe + P_MOVES] > 0:
        check_held(s, o, pe)
    if s[d + D_TRACKED] == 0 or role & EXCHANGES:
        return
    width = s[H_LIVE_WIDTH]
    live, own, rivals = pe + s[H_LIVE], d + D_BITS, d + D_BITS + width
    if role & READS:
        found = False
        for w in range(width):
            if s[live + w] & s[own + w]:
                found = True
        if not found:
            fail(s, ERROR_STALE, pe, s[pe + P_STEP], o, d, 0)
    if role & WRITES:
        for w in range(width):
            s[live + w] = (s[live + w] & ~s[rivals + w]) | s[own + w]
