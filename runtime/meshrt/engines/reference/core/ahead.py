"""Memory that is asked for ahead of its use: where many PEs run, what is needed lies far from the last that was."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.pointers import first_bit, i32_at, prefetch
from meshrt.engines.reference.core.calendar import runs_of
from meshrt.engines.reference.core.operands import Y_SIZE
from meshrt.engines.reference.core.queues import channel_at, link_at
from meshrt.engines.reference.core.records import (
    A_COLORS,
    A_INSTRUCTIONS,
    A_MOVES,
    A_OPERANDS,
    A_PES,
    A_STEPS,
    B_COLOR_LIMIT,
    B_COLORS,
    B_MOVES,
    B_QUEUE,
    B_RUNS,
    B_SHIFT,
    E_SIZE,
    E_STEP,
    EXECUTE,
    I_COLOR,
    I_ENTRY,
    I_FORM,
    I_OPERAND,
    I_SIZE,
    INTO_PE,
    LINKS,
    MOVE,
    OUTPUTS,
    P_COSTS,
    P_QUEUES,
    P_SELF,
    Q_ROUTE,
    QUEUES,
    S_KIND,
    S_NUMBER,
    S_SIZE,
    V_SIZE,
    ZERO,
)

#: Numbers in a cache line.
_LINE = 8
#: How many words ahead the first look at a queue is, and the second.
FAR, NEAR = 12, 5


@inline
def ask_for_queue(r, number):
    """A word comes to a queue soon; a number that is none does no harm."""
    prefetch(r[P_QUEUES] + 4 * number * r[B_QUEUE])


@inline
def ask_for_way(r, number):
    """The same, sooner: what follows in the queue's record is asked for: a link, or the channel of a PE."""
    channel = number // QUEUES
    if number - channel * QUEUES == INTO_PE:
        prefetch(r[P_SELF] + 8 * channel_at(r, channel))
    else:
        outputs = np.int64(i32_at(r[P_QUEUES])[number * r[B_QUEUE] + Q_ROUTE] & OUTPUTS)
        router = channel >> r[B_SHIFT]
        prefetch(r[P_SELF] + 8 * link_at(r, router * LINKS + (first_bit(outputs) & 7)))


@inline
def ask_for_instruction(r, i, pe, depth):
    """An instruction will be executed by a PE: its own record first, then what that names."""
    start = r[P_SELF]
    if depth == 2:
        v = r[A_MOVES] + (pe * r[B_MOVES] + r[B_MOVES] - 1) * V_SIZE
        for line in range(3):
            prefetch(start + 8 * (i + line * _LINE))
            prefetch(start + 8 * (v + line * _LINE))
        return
    y = r[A_OPERANDS] + r[i + I_OPERAND] * Y_SIZE
    prefetch(start + 8 * y)
    prefetch(start + 8 * (y + _LINE))
    prefetch(r[P_COSTS] + 8 * r[i + I_ENTRY])
    color = r[i + I_COLOR] >> 1
    if r[i + I_FORM] == MOVE and r[i + I_COLOR] & 1 and 0 <= color < r[B_COLOR_LIMIT]:
        f = channel_at(r, pe * r[B_COLORS] + r[r[A_COLORS] + color])
        prefetch(start + 8 * f)
        prefetch(start + 8 * (f + _LINE))


@internal
def ask_for_pes(r, slot):
    """The PEs that run in the cycle of a slot: each record leads to the next, so all of one kind, then of the next."""
    runs, start = runs_of(r, slot), r[P_SELF]
    for depth in range(4):
        for word in range(r[B_RUNS]):
            bits = r[runs + word]
            while bits != 0:
                pe = word * 64 + first_bit(bits)
                bits &= bits - 1
                e = r[A_PES] + pe * E_SIZE
                s = r[A_STEPS] + r[e + E_STEP] * S_SIZE if depth > 0 else ZERO
                if depth == 0:
                    prefetch(start + 8 * e)
                elif depth == 1:
                    prefetch(start + 8 * s)
                elif r[s + S_KIND] == EXECUTE:
                    ask_for_instruction(r, r[A_INSTRUCTIONS] + r[s + S_NUMBER] * I_SIZE, pe, depth)
