"""Memory that is asked for ahead of its use: where many PEs run, what is needed lies far from the last that was."""

from __future__ import annotations

from meshrt.engines.compiled import inline, internal
from meshrt.engines.pointers import first_bit, prefetch
from meshrt.engines.reference.core.calendar import runs_of
from meshrt.engines.reference.core.records import (
    A_INSTRUCTIONS,
    A_MOVES,
    A_PES,
    A_STEPS,
    B_MOVES,
    B_QUEUE,
    B_RUNS,
    E_SIZE,
    E_STEP,
    EXECUTE,
    I_SIZE,
    P_QUEUES,
    P_SELF,
    S_KIND,
    S_NUMBER,
    S_SIZE,
    V_SIZE,
    ZERO,
)

#: Records per cache line, and entries of the wheel that are looked at ahead.
_LINE, AHEAD = 8, 8


@inline
def ask_for_queue(r, number):
    """The record of a queue will be needed; a number that is none does no harm."""
    prefetch(r[P_QUEUES] + 4 * number * r[B_QUEUE])


@internal
def ask_for_pes(r, slot):
    """The PEs that run in the cycle of a slot: each record leads to the next, so all of one kind, then of the next."""
    runs, start = runs_of(r, slot), r[P_SELF]
    for depth in range(3):
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
                    i = r[A_INSTRUCTIONS] + r[s + S_NUMBER] * I_SIZE
                    v = r[A_MOVES] + (pe * r[B_MOVES] + r[B_MOVES] - 1) * V_SIZE
                    for line in range(3):
                        prefetch(start + 8 * (i + line * _LINE))
                        prefetch(start + 8 * (v + line * _LINE))
