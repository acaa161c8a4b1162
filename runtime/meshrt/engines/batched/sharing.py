"""Rows of memory that several buffers share until one of them is written.

When a whole buffer is sent and received as a whole, its elements need not be copied: the
receiver's buffer takes the sender's row, and each row counts the buffers that refer to
it. Who writes a shared row takes a free one first. A *cell* names the row of one buffer
of one PE. There are as many rows as cells, so where a row is shared another is free.
Values are those that copying gives; only the work differs.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal, native
from meshrt.engines.batched.records import A_CELLS, B_PES
from meshrt.engines.pointers import f32_at, i64_at, i64_of, integers_of

#: Elements in front of a shareable row; the last holds the number of buffers that refer to it, as an integer.
ROW_HEADER = 16
#: Rows start at multiples of this many elements, which is a cache line.
ROW_ALIGNMENT = 16
#: Smaller buffers are cheaper to copy.
LEAST_SHARED = 32


@inline
def free_row(r, memory, row, pool):
    """Put a row that no buffer refers to on the list of free ones; it holds the link itself."""
    i64_of(memory)[row // 2] = r[pool]
    r[pool] = row


@inline
def share_row(r, memory, cell, row, pool):
    """The buffer of a cell now refers to a row, and no more to its own."""
    count = integers_of(memory)
    old = r[cell]
    count[row - 1] += 1
    count[old - 1] -= 1
    if count[old - 1] == 0:
        free_row(r, memory, old, pool)
    r[cell] = row


@internal
def own_row(r, memory, cell, pool, copied):
    """The row of a cell that is about to be written: a free one where it is shared, with the first elements copied."""
    count = integers_of(memory)
    row = r[cell]
    if count[row - 1] == 1:
        return row
    fresh = r[pool]
    r[pool] = i64_of(memory)[fresh // 2]
    count[row - 1] -= 1
    count[fresh - 1] = 1
    for j in range(copied):
        memory[fresh + j] = memory[row + j]
    r[cell] = fresh
    return fresh


@native
def own_rows(records_at, memory_at, row, pool, pes, copied):
    """:func:`own_row` for buffer ``row`` of the address table on a group of PEs."""
    r, memory = i64_at(records_at), f32_at(memory_at)
    cells = r[A_CELLS] + row * r[B_PES]
    for i in range(pes.shape[0]):
        own_row(r, memory, cells + pes[i], pool, copied)
