"""Words move through routers, untimed: each as far as the queues before it have room.

A router passes a word when every output of its configuration has room for it; a PE takes a word when the move at the
head of the channel's line of receivers wants one. A stream-through takes a word only when its result finds room, which
is the least that a machine can offer.
"""

from __future__ import annotations

from meshrt.compiled import internal
from meshrt.program.proofs.evaluation import fail
from meshrt.program.proofs.records import (
    A_READY,
    A_WORK,
    BF16,
    BLOCKED,
    C_STEP,
    C_TAG,
    DONE,
    DTYPE_UNIT,
    DTYPES,
    ERROR_DTYPE,
    ERROR_LEAVES,
    ERROR_PORT_OVERFLOW,
    ERROR_SPLIT,
    F16,
    F_BEHIND,
    F_BEYOND,
    F_CHANGES,
    F_COLOR,
    F_EARLIER,
    F_EPOCH,
    F_EXITS,
    F_GUARDED,
    F_INPUT,
    F_LAZY,
    F_LOG,
    F_OUTPUTS,
    F_PASSED,
    F_PE,
    F_PENDING,
    F_QUEUED,
    F_QUEUES,
    F_RECEIVERS,
    F_SENDERS,
    F_SOURCE,
    G_INPUT,
    G_OUTPUTS,
    G_SIZE,
    G_WORDS,
    H_CAPACITY,
    H_ERROR,
    H_GUARDED,
    H_LOCAL,
    H_QUEUE,
    H_READY_MASK,
    H_READY_TAIL,
    H_RELEASED,
    H_WORD_BYTES,
    H_WORDS,
    H_WORK_HEAD,
    H_WORK_MASK,
    H_WORK_TAIL,
    IDLE,
    INBOX,
    LAZY_WORDS,
    LOG_MASK,
    M_CALL,
    M_DTYPE,
    M_HANDLE,
    M_IN,
    M_KIND,
    M_LEFT,
    M_NEXT_IN,
    M_NEXT_OUT,
    M_OUT,
    M_PE,
    M_STATE,
    MOST_RUNS,
    NO_ERROR,
    P_IN,
    P_MOVES,
    P_ON,
    P_OUT,
    P_STATUS,
    R_DTYPE,
    R_ELEMENTS,
    R_SIZE,
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
    X_LOG,
    X_RUNS,
)


@internal
def add_work(s, f):
    """Something has changed at channel f."""
    if s[f + F_QUEUED] == 0:
        s[f + F_QUEUED] = 1
        s[s[A_WORK] + (s[H_WORK_TAIL] & s[H_WORK_MASK])] = f
        s[H_WORK_TAIL] += 1


@internal
def wake(s, pe):
    """A PE can go on."""
    s[pe + P_STATUS] = RUNNING
    s[pe + P_ON] = 0
    s[s[A_READY] + (s[H_READY_TAIL] & s[H_READY_MASK])] = pe
    s[H_READY_TAIL] += 1


@internal
def queue(s, f, port):
    """A queue of channel f."""
    return f + F_QUEUES + port * s[H_QUEUE]


@internal
def put(s, q, word):
    """Append a word to a queue that has room."""
    s[q] += 1
    s[q + s[q]] = word


@internal
def drop(s, q, n):
    """Remove the first n words of a queue."""
    s[q] -= n
    for i in range(1, s[q] + 1):
        s[q + i] = s[q + i + n]


@internal
def elements_per_word(s, dtype):
    """Elements of one word."""
    size = 2 if dtype == F16 or dtype == BF16 else 4
    return max(1, s[H_WORD_BYTES] // size)


@internal
def words_of(s, n, dtype):
    """Words that carry n elements."""
    per = elements_per_word(s, dtype)
    return (n + per - 1) // per


@internal
def release(s, m, pe):
    """The PE has waited for move m, or the move was a blocking one."""
    s[m + M_STATE] = IDLE
    if s[m + M_HANDLE] >= 0 and s[H_LOCAL]:
        s[pe + P_MOVES] -= 1
        if s[m + M_KIND] != SEND:
            s[pe + P_IN] -= 1
        if s[m + M_KIND] != RECV:
            s[pe + P_OUT] -= 1


@internal
def finish(s, m):
    """Move m has ended."""
    pe = s[m + M_PE]
    s[m + M_STATE] = DONE
    if s[pe + P_STATUS] == BLOCKED and s[pe + P_ON] == m:
        release(s, m, pe)
        wake(s, pe)


@internal
def inject(s, f):
    """Words of the PE's sends, and of the host, enter the router of channel f."""
    moved = False
    q = queue(s, f, RAMP)
    capacity = s[H_CAPACITY]
    while s[f + F_SENDERS] != 0 and s[q] < capacity:
        m = s[f + F_SENDERS]
        if s[m + M_KIND] == STREAM:
            add_work(s, s[m + M_IN])
            break
        dtype = s[m + M_DTYPE]
        per = elements_per_word(s, dtype)
        tag = s[s[m + M_CALL] + C_TAG] + dtype * DTYPE_UNIT
        while s[q] < capacity and s[m + M_LEFT] > 0:
            elements = min(per, s[m + M_LEFT])
            put(s, q, tag + elements)
            s[m + M_LEFT] -= elements
            s[H_WORDS] += 1
        moved = True
        if s[m + M_LEFT] == 0:
            s[f + F_SENDERS] = s[m + M_NEXT_OUT]
            finish(s, m)
    u = s[f + F_SOURCE]
    while u != 0:
        q = queue(s, f, s[u + U_SIDE])
        dtype = s[u + U_DTYPE]
        per = elements_per_word(s, dtype)
        while s[q] < capacity and s[u + U_LEFT] > 0:
            elements = min(per, s[u + U_LEFT])
            put(s, q, dtype * DTYPE_UNIT + elements)
            s[u + U_LEFT] -= elements
            s[H_WORDS] += 1
            moved = True
        u = s[u + U_NEXT]
    return moved


@internal
def configure(s, f, side, outputs):
    """The router of channel f has another configuration from now on."""
    before = s[f + F_INPUT]
    if 0 <= before < SIDES:
        s[f + F_EARLIER] |= 1 << before
        # Words of another PE have passed: did they surely, before the change?
        if s[f + F_PASSED] > 0:
            s[H_GUARDED] += 1
            s[f + F_GUARDED] = 1
    s[f + F_LOG] = (s[f + F_LOG] * 1000003 + s[f + F_PASSED] + 1) & LOG_MASK
    s[f + F_PASSED] = 0
    s[f + F_EPOCH] += 1
    s[f + F_INPUT] = side
    s[f + F_OUTPUTS] = outputs
    add_work(s, f)


@internal
def pass_own(s, f, n):
    """n of the PE's own words have passed its router: route changes behind them take effect."""
    s[f + F_BEHIND] -= n
    if s[f + F_PENDING] == 0:
        return
    first = s[f + F_CHANGES]
    s[first + G_WORDS] -= n
    while s[f + F_PENDING] > 0 and s[first + G_WORDS] == 0:
        configure(s, f, s[first + G_INPUT], s[first + G_OUTPUTS])
        s[f + F_PENDING] -= 1
        for i in range(s[f + F_PENDING] * G_SIZE):
            s[first + i] = s[first + i + G_SIZE]


@internal
def note_crossing(s, x, word):
    """A word crosses the border of the part that is looked at alone."""
    dtype, runs = word // DTYPE_UNIT % DTYPES, s[x + X_RUNS]
    last = s[x + X_LOG] + (runs - 1) * R_SIZE
    alike = 0 < runs <= MOST_RUNS and s[last + R_DTYPE] == dtype
    if alike and s[last + R_ELEMENTS] % elements_per_word(s, dtype) == 0:
        s[last + R_ELEMENTS] += word % DTYPE_UNIT
        return
    if runs < MOST_RUNS:
        s[last + R_SIZE + R_DTYPE] = dtype
        s[last + R_SIZE + R_ELEMENTS] = word % DTYPE_UNIT
    s[x + X_RUNS] = min(runs, MOST_RUNS) + 1


@internal
def leave(s, f, x, q, n):
    """n words of queue q leave the region to the host, or over a border."""
    for i in range(1, n + 1):
        word = s[q + i]
        s[x + X_GOT] += word % DTYPE_UNIT
        if s[x + X_LOG] != 0:
            note_crossing(s, x, word)
            continue
        wrong = word // DTYPE_UNIT % DTYPES != s[x + X_DTYPE]
        if wrong or s[x + X_GOT] > s[x + X_EXPECTED]:
            fail(s, ERROR_PORT_OVERFLOW, s[f + F_PE], 0, s[f + F_COLOR], word, x)
            return


@internal
def forward(s, f):
    """Words pass the router of channel f; gives whether some did."""
    side = s[f + F_INPUT]
    if side < 0:
        return False
    q = queue(s, f, side)
    n = s[q]
    if n == 0:
        return False
    if side == RAMP and s[f + F_PENDING] > 0:
        n = min(n, s[s[f + F_CHANGES] + G_WORDS])
    if side != RAMP and s[f + F_LAZY] == LAZY_WORDS:
        n = min(n, s[H_RELEASED])
    capacity, outputs = s[H_CAPACITY], s[f + F_OUTPUTS]
    inbox = queue(s, f, INBOX)
    for out in range(SIDES):
        if outputs >> out & 1:
            g = s[f + F_BEYOND + out]
            if g != 0:
                n = min(n, capacity - s[queue(s, g, out ^ 2)])
            elif s[f + F_EXITS + out] == 0:
                fail(s, ERROR_LEAVES, s[f + F_PE], 0, s[f + F_COLOR], s[q + 1], out)
                return False
    if outputs >> RAMP & 1:
        n = min(n, capacity - s[inbox])
    if n <= 0:
        return False
    for out in range(SIDES):
        if outputs >> out & 1:
            g = s[f + F_BEYOND + out]
            if g != 0:
                there = queue(s, g, out ^ 2)
                for i in range(1, n + 1):
                    put(s, there, s[q + i])
                add_work(s, g)
            else:
                leave(s, f, s[f + F_EXITS + out], q, n)
    if outputs >> RAMP & 1:
        for i in range(1, n + 1):
            put(s, inbox, s[q + i])
    drop(s, q, n)
    if side == RAMP:
        pass_own(s, f, n)
    else:
        if s[f + F_EARLIER] >> side & 1:
            s[H_GUARDED] += 1
            s[f + F_GUARDED] = 1
        if s[f + F_CHANGES] != 0:
            s[f + F_PASSED] += n
        if s[f + F_BEYOND + side] != 0:
            add_work(s, s[f + F_BEYOND + side])
    return True


@internal
def deliver(s, f):
    """Words in the inbox of channel f go to the moves that wait for them; gives whether some did."""
    q = queue(s, f, INBOX)
    taken = 0
    while s[f + F_RECEIVERS] != 0 and taken < s[q]:
        m = s[f + F_RECEIVERS]
        word = s[q + taken + 1]
        elements = word % DTYPE_UNIT
        dtype = word // DTYPE_UNIT % DTYPES
        if dtype != s[m + M_DTYPE]:
            fail(s, ERROR_DTYPE, s[f + F_PE], s[s[m + M_CALL] + C_STEP], s[f + F_COLOR], word, s[m + M_DTYPE])
            break
        if elements > s[m + M_LEFT]:
            fail(s, ERROR_SPLIT, s[f + F_PE], s[s[m + M_CALL] + C_STEP], s[f + F_COLOR], word, 0)
            break
        if s[m + M_KIND] == STREAM:
            out = s[m + M_OUT]
            there = queue(s, out, RAMP)
            if s[out + F_SENDERS] != m or s[there] >= s[H_CAPACITY]:
                break
            put(s, there, s[s[m + M_CALL] + C_TAG] + dtype * DTYPE_UNIT + elements)
            s[H_WORDS] += 1
            add_work(s, out)
        taken += 1
        s[m + M_LEFT] -= elements
        if s[m + M_LEFT] == 0:
            s[f + F_RECEIVERS] = s[m + M_NEXT_IN]
            if s[m + M_KIND] == STREAM:
                s[s[m + M_OUT] + F_SENDERS] = s[m + M_NEXT_OUT]
            finish(s, m)
    if taken:
        drop(s, q, taken)
    return taken > 0


@internal
def settle(s):
    """Move words until none can move."""
    while s[H_WORK_HEAD] < s[H_WORK_TAIL] and s[H_ERROR] == NO_ERROR:
        f = s[s[A_WORK] + (s[H_WORK_HEAD] & s[H_WORK_MASK])]
        s[H_WORK_HEAD] += 1
        s[f + F_QUEUED] = 0
        moved = True
        while moved and s[H_ERROR] == NO_ERROR:
            moved = inject(s, f)
            moved |= forward(s, f)
            moved |= deliver(s, f)
