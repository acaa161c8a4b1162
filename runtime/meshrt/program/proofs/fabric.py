"""Words move through routers, untimed: each as far as the queues before it have room.

A router passes a word when every output of its configuration has room for it; a PE takes a word when the move at the
head of the channel's line of receivers wants one. A stream-through takes a word only when its result finds room, which
is the least that a machine can offer.
"""

from __future__ import annotations

from meshrt.program.proofs.compiled import internal
from meshrt.program.proofs.evaluation import fail
from meshrt.program.proofs.records import (
    BLOCKED,
    CALL_UNIT,
    DONE,
    DTYPE_UNIT,
    ERROR_DTYPE,
    ERROR_LEAVES,
    ERROR_PORT_OVERFLOW,
    ERROR_SPLIT,
    F_BEHIND,
    F_EARLIER,
    F_EPOCH,
    F_INPUT,
    F_LAST_RECEIVER,
    F_LAST_SENDER,
    F_OUTPUTS,
    F_PASSED,
    F_PENDING,
    F_QUEUED,
    F_RECEIVERS,
    F_SENDERS,
    F_SOURCE,
    G_INPUT,
    G_OUTPUTS,
    G_WORDS,
    H_CAPACITY,
    H_ERROR,
    H_GUARDED,
    H_HANDLES,
    H_PES,
    H_READY_TAIL,
    H_WORD_BYTES,
    H_WORDS,
    H_WORK_HEAD,
    H_WORK_TAIL,
    IDLE,
    INBOX,
    M_CALL,
    M_DTYPE,
    M_IN,
    M_KIND,
    M_LEFT,
    M_NEXT_IN,
    M_NEXT_OUT,
    M_OUT,
    M_STATE,
    NO_ERROR,
    P_IN,
    P_MOVES,
    P_ON,
    P_OUT,
    P_STATUS,
    QUEUES,
    RAMP,
    RECV,
    RUNNING,
    SEND,
    SIDES,
    STREAM,
    U_DTYPE,
    U_LEFT,
    U_NEXT,
    U_SIDE,
    X_DTYPE,
    X_EXPECTED,
    X_GOT,
)


@internal
def add_work(s, f):
    """Something has changed at channel f."""
    if s.channels[f, F_QUEUED] == 0:
        s.channels[f, F_QUEUED] = 1
        s.work[s.header[H_WORK_TAIL] % s.work.shape[0]] = f
        s.header[H_WORK_TAIL] += 1


@internal
def wake(s, pe):
    """A PE can go on."""
    s.pes[pe, P_STATUS] = RUNNING
    s.ready[s.header[H_READY_TAIL] % s.ready.shape[0]] = pe
    s.header[H_READY_TAIL] += 1


@internal
def put(s, q, word):
    """Append a word to a queue that has room."""
    s.words[q, s.count[q]] = word
    s.count[q] += 1


@internal
def drop(s, q, n):
    """Remove the first n words of a queue."""
    left = s.count[q] - n
    for i in range(left):
        s.words[q, i] = s.words[q, i + n]
    s.count[q] = left


@internal
def elements_per_word(s, dtype):
    """Elements of one word."""
    size = 2 if dtype == 1 or dtype == 2 else 4
    return max(1, s.header[H_WORD_BYTES] // size)


@internal
def words_of(s, n, dtype):
    """Words that carry n elements."""
    per = elements_per_word(s, dtype)
    return (n + per - 1) // per


@internal
def release(s, m, pe):
    """The PE has waited for move m, or the move was a blocking one."""
    handles = s.header[H_HANDLES]
    s.moves[m, M_STATE] = IDLE
    if m % (handles + 1) != handles:
        s.pes[pe, P_MOVES] -= 1
        if s.moves[m, M_KIND] != SEND:
            s.pes[pe, P_IN] -= 1
        if s.moves[m, M_KIND] != RECV:
            s.pes[pe, P_OUT] -= 1


@internal
def finish(s, m):
    """Move m has ended."""
    pe = m // (s.header[H_HANDLES] + 1)
    s.moves[m, M_STATE] = DONE
    if s.pes[pe, P_STATUS] == BLOCKED and s.pes[pe, P_ON] == m:
        release(s, m, pe)
        wake(s, pe)


@internal
def leave_senders(s, f):
    """The first move in the line of senders of channel f has ended."""
    m = s.channels[f, F_SENDERS]
    s.channels[f, F_SENDERS] = s.moves[m, M_NEXT_OUT]
    if s.channels[f, F_SENDERS] < 0:
        s.channels[f, F_LAST_SENDER] = -1


@internal
def leave_receivers(s, f):
    """The first move in the line of receivers of channel f has ended."""
    m = s.channels[f, F_RECEIVERS]
    s.channels[f, F_RECEIVERS] = s.moves[m, M_NEXT_IN]
    if s.channels[f, F_RECEIVERS] < 0:
        s.channels[f, F_LAST_RECEIVER] = -1


@internal
def inject(s, f):
    """Words of the PE's sends, and of the host, enter the router of channel f."""
    moved = False
    q = f * QUEUES + RAMP
    capacity = s.header[H_CAPACITY]
    while s.channels[f, F_SENDERS] >= 0 and s.count[q] < capacity:
        m = s.channels[f, F_SENDERS]
        if s.moves[m, M_KIND] == STREAM:
            add_work(s, s.moves[m, M_IN])
            break
        dtype = s.moves[m, M_DTYPE]
        per = elements_per_word(s, dtype)
        head = s.moves[m, M_CALL] * CALL_UNIT + dtype * DTYPE_UNIT
        while s.count[q] < capacity and s.moves[m, M_LEFT] > 0:
            elements = min(per, s.moves[m, M_LEFT])
            put(s, q, head + elements)
            s.moves[m, M_LEFT] -= elements
            s.header[H_WORDS] += 1
        moved = True
        if s.moves[m, M_LEFT] == 0:
            leave_senders(s, f)
            finish(s, m)
    u = s.channels[f, F_SOURCE]
    while u >= 0:
        q = f * QUEUES + s.sources[u, U_SIDE]
        dtype = s.sources[u, U_DTYPE]
        per = elements_per_word(s, dtype)
        while s.count[q] < capacity and s.sources[u, U_LEFT] > 0:
            elements = min(per, s.sources[u, U_LEFT])
            put(s, q, dtype * DTYPE_UNIT + elements)
            s.sources[u, U_LEFT] -= elements
            s.header[H_WORDS] += 1
            moved = True
        u = s.sources[u, U_NEXT]
    return moved


@internal
def configure(s, f, side, outputs):
    """The router of channel f has another configuration from now on."""
    before = s.channels[f, F_INPUT]
    if 0 <= before < SIDES:
        s.channels[f, F_EARLIER] |= 1 << before
        # Words of another PE have passed: did they surely, before the change?
        if s.channels[f, F_PASSED] > 0:
            s.header[H_GUARDED] += 1
    s.channels[f, F_PASSED] = 0
    s.channels[f, F_EPOCH] += 1
    s.channels[f, F_INPUT] = side
    s.channels[f, F_OUTPUTS] = outputs
    add_work(s, f)


@internal
def pass_own(s, f, n):
    """n of the PE's own words have passed its router: route changes behind them take effect."""
    s.channels[f, F_BEHIND] -= n
    if s.channels[f, F_PENDING] == 0:
        return
    s.pending[f, 0, G_WORDS] -= n
    while s.channels[f, F_PENDING] > 0 and s.pending[f, 0, G_WORDS] == 0:
        configure(s, f, s.pending[f, 0, G_INPUT], s.pending[f, 0, G_OUTPUTS])
        for i in range(1, s.channels[f, F_PENDING]):
            for field in range(s.pending.shape[2]):
                s.pending[f, i - 1, field] = s.pending[f, i, field]
        s.channels[f, F_PENDING] -= 1


@internal
def leave(s, f, side, q, n):
    """n words of queue q leave the region to the host."""
    x = s.exits[f, side]
    for i in range(n):
        word = s.words[q, i]
        s.sinks[x, X_GOT] += word % DTYPE_UNIT
        wrong = word // DTYPE_UNIT % (CALL_UNIT // DTYPE_UNIT) != s.sinks[x, X_DTYPE]
        if wrong or s.sinks[x, X_GOT] > s.sinks[x, X_EXPECTED]:
            fail(s, ERROR_PORT_OVERFLOW, f % s.header[H_PES], -1, f // s.header[H_PES], word, x)
            return


@internal
def forward(s, f):
    """Words pass the router of channel f; gives whether some did."""
    side = s.channels[f, F_INPUT]
    if side < 0:
        return False
    q = f * QUEUES + side
    n = s.count[q]
    if n == 0:
        return False
    if side == RAMP and s.channels[f, F_PENDING] > 0:
        n = min(n, s.pending[f, 0, G_WORDS])
    pes, capacity = s.header[H_PES], s.header[H_CAPACITY]
    color, pe = f // pes, f % pes
    outputs = s.channels[f, F_OUTPUTS]
    for out in range(SIDES):
        if outputs >> out & 1:
            beyond = s.neighbours[pe, out]
            if beyond >= 0:
                there = (color * pes + beyond) * QUEUES + (out + 2) % SIDES
                n = min(n, capacity - s.count[there])
            elif s.exits[f, out] < 0:
                fail(s, ERROR_LEAVES, pe, -1, color, s.words[q, 0], out)
                return False
    if outputs >> RAMP & 1:
        n = min(n, capacity - s.count[f * QUEUES + INBOX])
    if n <= 0:
        return False
    for out in range(SIDES):
        if outputs >> out & 1:
            beyond = s.neighbours[pe, out]
            if beyond >= 0:
                g = color * pes + beyond
                for i in range(n):
                    put(s, g * QUEUES + (out + 2) % SIDES, s.words[q, i])
                add_work(s, g)
            else:
                leave(s, f, out, q, n)
    if outputs >> RAMP & 1:
        for i in range(n):
            put(s, f * QUEUES + INBOX, s.words[q, i])
    drop(s, q, n)
    if side == RAMP:
        pass_own(s, f, n)
    else:
        if s.channels[f, F_EARLIER] >> side & 1:
            s.header[H_GUARDED] += 1
        s.channels[f, F_PASSED] = 1
        if s.neighbours[pe, side] >= 0:
            add_work(s, color * pes + s.neighbours[pe, side])
    return True


@internal
def deliver(s, f):
    """Words in the inbox of channel f go to the moves that wait for them; gives whether some did."""
    q = f * QUEUES + INBOX
    taken = 0
    while s.channels[f, F_RECEIVERS] >= 0 and taken < s.count[q]:
        m = s.channels[f, F_RECEIVERS]
        word = s.words[q, taken]
        elements = word % DTYPE_UNIT
        dtype = word // DTYPE_UNIT % (CALL_UNIT // DTYPE_UNIT)
        if dtype != s.moves[m, M_DTYPE]:
            fail(s, ERROR_DTYPE, f % s.header[H_PES], s.moves[m, M_CALL], f // s.header[H_PES], word, 0)
            break
        if elements > s.moves[m, M_LEFT]:
            fail(s, ERROR_SPLIT, f % s.header[H_PES], s.moves[m, M_CALL], f // s.header[H_PES], word, 0)
            break
        if s.moves[m, M_KIND] == STREAM:
            out = s.moves[m, M_OUT]
            there = out * QUEUES + RAMP
            if s.channels[out, F_SENDERS] != m or s.count[there] >= s.header[H_CAPACITY]:
                break
            put(s, there, s.moves[m, M_CALL] * CALL_UNIT + dtype * DTYPE_UNIT + elements)
            s.header[H_WORDS] += 1
            add_work(s, out)
        taken += 1
        s.moves[m, M_LEFT] -= elements
        if s.moves[m, M_LEFT] == 0:
            leave_receivers(s, f)
            if s.moves[m, M_KIND] == STREAM:
                leave_senders(s, s.moves[m, M_OUT])
            finish(s, m)
    if taken:
        drop(s, q, taken)
    return taken > 0


@internal
def settle(s):
    """Move words until none can move."""
    while s.header[H_WORK_HEAD] < s.header[H_WORK_TAIL] and s.header[H_ERROR] == NO_ERROR:
        f = s.work[s.header[H_WORK_HEAD] % s.work.shape[0]]
        s.header[H_WORK_HEAD] += 1
        s.channels[f, F_QUEUED] = 0
        moved = True
        while moved and s.header[H_ERROR] == NO_ERROR:
            moved = inject(s, f)
            moved |= forward(s, f)
            moved |= deliver(s, f)
