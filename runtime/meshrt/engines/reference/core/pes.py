"""PEs: each runs the steps of its code, one after the other, and rests until its clock has come."""

from __future__ import annotations

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.loading.codes import I32
from meshrt.engines.pointers import f32_at, i32_at, i64_at
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.counts import entry_of
from meshrt.engines.reference.core.expressions import value_of
from meshrt.engines.reference.core.faults import is_halted
from meshrt.engines.reference.core.instructions import execute
from meshrt.engines.reference.core.moves import advance
from meshrt.engines.reference.core.operands import AT, DTYPE, STACK, reads, resolve
from meshrt.engines.reference.core.records import (
    A_COUNTERS,
    A_PES,
    A_PHASE_ENDS,
    A_ROWS,
    A_STEPS,
    A_VIEWS,
    B_DEPTH,
    B_PES,
    BRANCH,
    E_BLOCKED,
    E_CLOCK,
    E_HOPS,
    E_SIZE,
    E_STAGES,
    E_STEP,
    ENDED,
    ENTER,
    EXECUTE,
    FINISHED,
    H_PE,
    H_STATUS,
    HEAD,
    JUMP,
    K_CYCLES,
    LEAVE,
    MARK,
    N_BUSY,
    N_SIZE,
    NO_LAYER,
    P_COSTS,
    P_MEMORY,
    REPEAT,
    ROW_CALL,
    RUN_PE,
    RUNNING,
    S_DEPTH,
    S_KIND,
    S_NUMBER,
    S_OP,
    S_ROW,
    S_SIZE,
    S_TARGET,
    STOP,
    STOPPED,
    WANTS_COST,
    WANTS_ROW,
    X_BRANCH,
    X_ISSUE,
    X_LOOP,
    X_PER_LAYER,
    ZERO,
)


@inline
def row_of(r, s, pe):
    """The row of counts of a step: one for an op, or for an op and an iteration of the outermost loop."""
    if r[s + S_ROW] != 0:
        return r[s + S_ROW] - 1
    by_layer = r[X_PER_LAYER] != 0 and r[s + S_DEPTH] > 0
    layer = r[r[A_COUNTERS] + pe * r[B_DEPTH]] if by_layer else ZERO + NO_LAYER
    entry = entry_of(r, ZERO + ROW_CALL, r[s + S_OP], layer, ZERO, ZERO, ZERO, ZERO)
    if entry < 0:
        r[H_STATUS] = WANTS_ROW
        return ZERO
    row = i64_at(r[P_COSTS])[entry + K_CYCLES]
    if not by_layer:
        r[s + S_ROW] = row + 1
    return row


@inline
def spend(r, e, cycles, row):
    """A PE is busy with control for some cycles."""
    r[r[A_ROWS] + row * N_SIZE + N_BUSY] += cycles
    advance(r, e, r[e + E_CLOCK] + cycles, row)


@internal
def flag_of(r, operand, pe):
    """The value that an ``until`` ends on, as true or false."""
    o = resolve(r, operand, pe, ZERO - 1, ZERO)
    if r[H_STATUS] != FINISHED:
        return False
    reads(r, o, pe, ZERO - 1)
    if r[o + DTYPE] == I32:
        return i32_at(r[P_MEMORY])[r[o + AT]] != 0
    return f32_at(r[P_MEMORY])[r[o + AT]] != 0


@called_by_address
def run_pe(header_at, pe, time):
    """Run a PE from its step on until its clock has passed ``time``, it blocks or its code ends.

    Where Python must say something first (a cost, a row of counts) or something fails, the
    step has had no effect yet.
    """
    r = i64_at(header_at)
    e = r[A_PES] + pe * E_SIZE
    counters = r[A_COUNTERS] + pe * r[B_DEPTH]
    stack = r[A_VIEWS] + STACK
    if r[e + E_CLOCK] != time:
        return ZERO
    if is_halted(r, pe, time):
        r[e + E_BLOCKED] = STOPPED
        return ZERO
    while r[e + E_BLOCKED] == RUNNING:
        if r[e + E_CLOCK] > time:
            push_event(r, r[e + E_CLOCK], RUN_PE, pe)
            return ZERO
        step = r[e + E_STEP]
        s = r[A_STEPS] + step * S_SIZE
        kind, number, depth = r[s + S_KIND], r[s + S_NUMBER], r[s + S_DEPTH]
        if kind == STOP:
            r[e + E_BLOCKED] = ENDED
            return ZERO
        row = row_of(r, s, pe)
        following = step + 1
        if r[H_STATUS] == FINISHED:
            if kind == EXECUTE:
                # A move that begins may end at once, or never: what comes next is known before.
                r[e + E_STEP] = following
                execute(r, number, pe, row)
            elif kind == HEAD:
                if r[counters + depth - 1] < value_of(r, number, pe, stack):
                    if r[H_STATUS] == FINISHED:
                        spend(r, e, r[X_LOOP], row)
                else:
                    following = r[s + S_TARGET]
            elif kind == REPEAT:
                r[counters + depth - 1] += 1
                following = r[s + S_TARGET]
            elif kind == ENTER:
                value = value_of(r, number, pe, stack)
                if r[H_STATUS] == FINISHED:
                    r[counters + depth] = value
                    spend(r, e, r[X_ISSUE], row)
            elif kind == BRANCH:
                if value_of(r, number, pe, stack) == 0:
                    following = r[s + S_TARGET]
                if r[H_STATUS] == FINISHED:
                    spend(r, e, r[X_BRANCH], row)
            elif kind == JUMP:
                following = r[s + S_TARGET]
            elif kind == MARK:
                left = r[A_PHASE_ENDS] + (number * r[B_PES] + pe) * 4
                r[left], r[left + 1], r[left + 2] = r[e + E_CLOCK], r[e + E_HOPS], r[e + E_STAGES]
                r[r[A_PHASE_ENDS] + (r[s + S_TARGET] * r[B_PES] + pe) * 4 + 3] = r[e + E_CLOCK]
            else:
                done = flag_of(r, number, pe)
                if r[H_STATUS] == FINISHED:
                    spend(r, e, r[X_BRANCH], row)
                    if kind == LEAVE:
                        following = r[s + S_TARGET] if done else following
                    elif not done:
                        r[counters + depth - 1] += 1
                        following = r[s + S_TARGET]
        r[e + E_STEP] = following
        if r[H_STATUS] != FINISHED:
            r[e + E_STEP] = step
            r[H_PE] = pe
            if r[H_STATUS] == WANTS_COST or r[H_STATUS] == WANTS_ROW:
                push_event(r, time, RUN_PE, pe)
            return ZERO
    return ZERO
