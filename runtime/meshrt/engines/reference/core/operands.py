"""Views of buffers on one PE, in numbers: resolved when the instruction is executed.

An operand's record of scratch entries: :data:`AT` and so on below. Operands that are
walked together lose dimensions of extent 1 and those that merge with their neighbour.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import I32
from meshrt.engines.pointers import f32_at, i32_at
from meshrt.engines.reference.core.expressions import value_of
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    A_ADDRESSES,
    A_DECLARED,
    A_LIVE,
    A_NAMED,
    A_OPERANDS,
    A_RIVALS,
    A_SLOTS,
    A_VIEWS,
    B_DECLARED,
    B_PES,
    ERROR_OPERANDS,
    ERROR_STALE,
    FINISHED,
    H_STATUS,
    P_MEMORY,
    ZERO,
)

#: Dimensions that a view may have, and dimensions that an instruction walks after merging.
RANK, WALKED = 8, 4

# An operand as the program gives it: row of the address table (-1 for a number), how many dimensions (-1 for the
# whole buffer), its offset, extents and strides, and the index of its number.
Y_ROW = 0
Y_DIMS = 1
Y_OFFSET = 2
Y_EXTENT = 3
Y_STRIDE = Y_EXTENT + RANK
Y_NUMBER = Y_STRIDE + RANK
Y_SIZE = Y_NUMBER + 5  # whole cache lines

# A declared buffer.
D_DTYPE = 0
D_ELEMENTS = 1
D_RANK = 2
D_ADDRESS = 3  # in halfwords of SRAM
D_WATCHED = 4  # 1 when it shares addresses with others, which are then
D_RIVALS = 5  # .. from this entry of the rivals on,
D_RIVAL_COUNT = 6
D_EXTENT = 8
D_SIZE = D_EXTENT + RANK

# An operand, resolved.
ROW = 0
DTYPE = 1
AT = 2  # in memory
COUNT = 3  # elements
DIMS = 4  # extents and strides below
COVERS = 5  # 1 for a whole buffer, densely
DECLARED = 6
FROM = 7  # offset in the buffer
EXTENT = 8
STRIDE = EXTENT + RANK
SIZE = STRIDE + RANK
#: Records of resolved operands, then of merged ones, then the stack of expressions.
OPERANDS = 4
MERGED = OPERANDS * SIZE
STACK = 2 * OPERANDS * SIZE
SCRATCH = STACK + 128

# What is wrong with an operand.
NO_BUFFER, OUTSIDE, NEGATIVE, EXTENTS, WALKS, PRODUCT, GATHER, ROTATE, REDUCTION, RANKS, BATCHES = range(11)


@internal
def resolve(r, operand, pe, call, which):
    """Operand number ``operand`` of the program on a PE, into scratch record ``which``; gives the record."""
    o = r[A_VIEWS] + which * SIZE
    y = r[A_OPERANDS] + operand * Y_SIZE
    stack = r[A_VIEWS] + STACK
    row = r[y + Y_ROW]
    r[o + ROW] = row
    if row < 0:
        return o
    number = r[r[A_NAMED] + row * r[B_PES] + pe]
    if number < 0:
        fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, NO_BUFFER, which)
        return o
    d = r[A_DECLARED] + number * D_SIZE
    offset = value_of(r, r[y + Y_OFFSET], pe, stack)
    dims = r[y + Y_DIMS]
    count, low, high, step = ZERO + 1, ZERO, ZERO, ZERO + 1
    dense = True
    if dims < 0:
        dims = r[d + D_RANK]
        for i in range(dims - 1, -1, -1):
            r[o + EXTENT + i] = r[d + D_EXTENT + i]
            r[o + STRIDE + i] = count
            count *= r[d + D_EXTENT + i]
        high = count - 1
    else:
        for i in range(dims - 1, -1, -1):
            extent = value_of(r, r[y + Y_EXTENT + i], pe, stack)
            stride = value_of(r, r[y + Y_STRIDE + i], pe, stack)
            if extent < 0 and r[H_STATUS] == FINISHED:
                fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, NEGATIVE, which)
            r[o + EXTENT + i] = extent
            r[o + STRIDE + i] = stride
            count *= extent
            low += min(ZERO, (extent - 1) * stride)
            high += max(ZERO, (extent - 1) * stride)
            if extent > 1 and stride != step:
                dense = False
            step *= extent
    if r[H_STATUS] != FINISHED:
        return o
    if count != 0 and (offset + low < 0 or offset + high >= r[d + D_ELEMENTS]):
        fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, OUTSIDE, which)
        return o
    r[o + DTYPE] = r[d + D_DTYPE]
    r[o + COUNT] = count
    r[o + DIMS] = dims
    r[o + COVERS] = 1 if dense and count == r[d + D_ELEMENTS] else 0
    r[o + DECLARED] = number
    r[o + FROM] = offset
    r[o + AT] = r[r[A_ADDRESSES] + row * r[B_PES] + pe] + offset
    return o


@inline
def is_view(r, o):
    """Whether a resolved operand is a view, not a number."""
    return r[o + ROW] >= 0


@internal
def merge(r, count, first, leave, pe, call):
    """Merge dimensions of the operands from record ``first`` on, ``leave`` innermost ones apart, into WALKED or fewer.

    The results go to the second half of the records, filled up in front. The operands'
    squeezed extents must agree; otherwise and where too many dimensions are left it fails.
    """
    base = r[A_VIEWS]
    positions = base + STACK + 100
    for which in range(first, first + count):
        m = base + MERGED + which * SIZE
        for i in range(WALKED):
            r[m + EXTENT + i] = 1
            r[m + STRIDE + i] = 0
        r[positions + which] = r[base + which * SIZE + DIMS] - leave - 1
    lead = base + first * SIZE
    while not is_view(r, lead):
        lead += SIZE
    leader = (lead - base) // SIZE
    walked = ZERO
    extra = ZERO
    while True:
        ended = False
        extent = ZERO
        for which in range(leader, first + count):
            o = base + which * SIZE
            if is_view(r, o):
                i = r[positions + which]
                while i >= 0 and r[o + EXTENT + i] == 1:
                    i -= 1
                r[positions + which] = i
                mine = r[o + EXTENT + i] if i >= 0 else ZERO - 1
                if which == leader:
                    extent = mine
                    ended = i < 0
                elif mine != extent:
                    fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, EXTENTS, which)
                    return
        if ended:
            break
        merges = walked > 0
        slot = WALKED - walked
        if merges and walked <= WALKED:
            for which in range(leader, first + count):
                o, m = base + which * SIZE, base + MERGED + which * SIZE
                if is_view(r, o):
                    inner = r[m + STRIDE + slot] * r[m + EXTENT + slot]
                    if r[o + STRIDE + r[positions + which]] != inner:
                        merges = False
        if not merges:
            walked += 1
            slot = WALKED - walked
            if walked > WALKED:
                extra += 1
                walked = WALKED
        for which in range(leader, first + count):
            o, m = base + which * SIZE, base + MERGED + which * SIZE
            if is_view(r, o):
                i = r[positions + which]
                if extra == 0:
                    if merges:
                        r[m + EXTENT + slot] *= extent
                    else:
                        r[m + EXTENT + slot] = extent
                        r[m + STRIDE + slot] = r[o + STRIDE + i]
                r[positions + which] = i - 1
    if extra > 0:
        fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, WALKS, WALKED + extra)


@inline
def walk_alone(r):
    """What :func:`merge` does with a single operand of one dimension or none."""
    o, m = r[A_VIEWS], r[A_VIEWS] + MERGED
    for i in range(WALKED):
        r[m + EXTENT + i] = 1
        r[m + STRIDE + i] = 0
    if r[o + DIMS] == 1 and r[o + EXTENT] != 1:
        r[m + EXTENT + WALKED - 1] = r[o + EXTENT]
        r[m + STRIDE + WALKED - 1] = r[o + STRIDE]


# Which buffers hold what they should.


@internal
def reads(r, o, pe, call):
    """What is about to be read must not have been overwritten by a buffer that shares its addresses."""
    slot = r[r[A_SLOTS] + r[o + ROW] * r[B_PES] + pe]
    if r[r[A_DECLARED] + slot * D_SIZE + D_WATCHED] != 0 and r[r[A_LIVE] + pe * r[B_DECLARED] + slot] == 0:
        fail(r, ERROR_STALE, pe, ZERO - 1, call, r[o + ROW], slot)


@internal
def claim(r, row, pe, covers):
    """A buffer is about to be written: those that share its addresses are overwritten, and it is live."""
    slot = r[r[A_SLOTS] + row * r[B_PES] + pe]
    d = r[A_DECLARED] + slot * D_SIZE
    if r[d + D_WATCHED] == 0:
        return
    live = r[A_LIVE] + pe * r[B_DECLARED]
    was = r[live + slot]
    for i in range(r[d + D_RIVAL_COUNT]):
        r[live + r[r[A_RIVALS] + r[d + D_RIVALS] + i]] = 0
    r[live + slot] = 1
    if was == 0 and not covers:
        at = r[r[A_ADDRESSES] + row * r[B_PES] + pe]
        if r[d + D_DTYPE] == I32:
            integers = i32_at(r[P_MEMORY])
            for j in range(r[d + D_ELEMENTS]):
                integers[at + j] = POISON
        else:
            memory = f32_at(r[P_MEMORY])
            for j in range(r[d + D_ELEMENTS]):
                memory[at + j] = NAN


@inline
def writes(r, o, pe, covers):
    """What is about to be written; ``covers`` says that it is written whole."""
    claim(r, r[o + ROW], pe, covers)


#: What a buffer holds before it is written, by kind.
POISON = -(2**31) + 1
NAN = float("nan")
