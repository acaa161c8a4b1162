"""PEs run their code, untimed, until they have to wait."""

from __future__ import annotations

from meshrt.program.proofs.compiled import internal, native
from meshrt.program.proofs.evaluation import fail, is_below, value_of
from meshrt.program.proofs.fabric import add_work, configure, release, settle, wake, words_of
from meshrt.program.proofs.memory import note_view, touch
from meshrt.program.proofs.records import (
    AGAIN,
    BLOCKED,
    BRANCH,
    C_COLOR,
    C_COUNT,
    C_HANDLE,
    C_INPUT,
    C_KIND,
    C_OPERAND,
    C_OUT,
    C_OUTPUTS,
    D_DTYPE,
    D_ELEMENTS,
    DONE,
    END,
    ENDED,
    ENTER,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_EXTENT,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_PENDING,
    F_BEHIND,
    F_LAST_RECEIVER,
    F_LAST_SENDER,
    F_PENDING,
    F_RECEIVERS,
    F_SENDERS,
    FLYING,
    G_INPUT,
    G_OUTPUTS,
    G_WORDS,
    H_ASYNC_MOVES,
    H_ENDED,
    H_ERROR,
    H_HANDLES,
    H_INPUT_QUEUES,
    H_OUTPUT_QUEUES,
    H_PES,
    H_READY_HEAD,
    H_READY_TAIL,
    H_REWRITES,
    H_STEPS,
    HEAD,
    IDLE,
    JUMP,
    LOCAL,
    M_CALL,
    M_DTYPE,
    M_IN,
    M_KIND,
    M_LEFT,
    M_NEXT_IN,
    M_NEXT_OUT,
    M_OUT,
    M_STATE,
    MOST_PENDING,
    MOVE,
    NO_ERROR,
    O_NAME,
    P_EXIT,
    P_GO,
    P_IN,
    P_MOVES,
    P_ON,
    P_OUT,
    P_STATUS,
    P_STEP,
    PAUSED,
    RECV,
    REPEAT,
    ROTATE,
    ROUTE,
    RUNNING,
    S_A,
    S_B,
    S_C,
    S_D,
    S_KIND,
    SEND,
    STOPPING,
    TOUCH,
    WAIT,
)


@internal
def channel_of(s, e, pe, step):
    """The channel of the color that expression e names on a PE, or -1 and an error."""
    color = value_of(s, e, pe)
    if color < 0 or color >= s.colors.shape[0] or s.colors[color] < 0:
        fail(s, ERROR_COLOR, pe, step, color, 0, 0)
        return -1
    return s.colors[color] * s.header[H_PES] + pe


@internal
def check_limits(s, pe, step):
    """Queues and asynchronous moves within the target."""
    if s.pes[pe, P_OUT] > s.header[H_OUTPUT_QUEUES]:
        fail(s, ERROR_OUTPUT_QUEUES, pe, step, s.pes[pe, P_OUT], s.header[H_OUTPUT_QUEUES], 0)
    elif s.pes[pe, P_IN] > s.header[H_INPUT_QUEUES]:
        fail(s, ERROR_INPUT_QUEUES, pe, step, s.pes[pe, P_IN], s.header[H_INPUT_QUEUES], 0)
    elif s.pes[pe, P_MOVES] > s.header[H_ASYNC_MOVES]:
        fail(s, ERROR_ASYNC_MOVES, pe, step, s.pes[pe, P_MOVES], s.header[H_ASYNC_MOVES], 0)


@internal
def start_move(s, c, pe, step):
    """A PE starts the move of call c; gives its record, or -1 where it has ended already."""
    o = s.calls[c, C_OPERAND]
    touch(s, o, pe)
    if s.header[H_ERROR] != NO_ERROR:
        return -1
    kind, handle = s.calls[c, C_KIND], s.calls[c, C_HANDLE]
    handles = s.header[H_HANDLES]
    m = pe * (handles + 1) + (handle if handle >= 0 else handles)
    if s.moves[m, M_STATE] != IDLE:
        fail(s, ERROR_HANDLE_BUSY, pe, step, handle, 0, 0)
        return -1
    f = channel_of(s, s.calls[c, C_COLOR], pe, step)
    out = f
    if kind != SEND and kind != RECV:
        out = channel_of(s, s.calls[c, C_OUT], pe, step)
    if s.header[H_ERROR] != NO_ERROR:
        return -1
    d = s.named[s.operands[o, O_NAME], pe]
    n = s.declared[d, D_ELEMENTS]
    if s.calls[c, C_COUNT] >= 0:
        n = value_of(s, s.calls[c, C_COUNT], pe)
    if n < 0:
        fail(s, ERROR_EXTENT, pe, step, n, 0, 0)
        return -1
    if handle >= 0:
        note_view(s, m, o, pe)
        s.pes[pe, P_MOVES] += 1
        if kind != SEND:
            s.pes[pe, P_IN] += 1
        if kind != RECV:
            s.pes[pe, P_OUT] += 1
        check_limits(s, pe, step)
    s.moves[m, M_CALL] = c
    s.moves[m, M_KIND] = kind
    s.moves[m, M_IN] = f
    s.moves[m, M_OUT] = out
    s.moves[m, M_LEFT] = n
    s.moves[m, M_DTYPE] = s.declared[d, D_DTYPE]
    s.moves[m, M_NEXT_IN] = -1
    s.moves[m, M_NEXT_OUT] = -1
    if n == 0:
        s.moves[m, M_STATE] = DONE if handle >= 0 else IDLE
        return -1
    s.moves[m, M_STATE] = FLYING
    if kind != SEND:
        if s.channels[f, F_RECEIVERS] < 0:
            s.channels[f, F_RECEIVERS] = m
        else:
            s.moves[s.channels[f, F_LAST_RECEIVER], M_NEXT_IN] = m
        s.channels[f, F_LAST_RECEIVER] = m
        add_work(s, f)
    if kind != RECV:
        if s.channels[out, F_SENDERS] < 0:
            s.channels[out, F_SENDERS] = m
        else:
            s.moves[s.channels[out, F_LAST_SENDER], M_NEXT_OUT] = m
        s.channels[out, F_LAST_SENDER] = m
        s.channels[out, F_BEHIND] += words_of(s, n, s.moves[m, M_DTYPE])
        add_work(s, out)
    return m


@internal
def rewrite(s, c, pe, step):
    """A PE rewrites a route, behind the words that it has sent on the color."""
    f = channel_of(s, s.calls[c, C_COLOR], pe, step)
    if f < 0:
        return
    s.header[H_REWRITES] += 1
    waiting = s.channels[f, F_PENDING]
    if waiting == 0 and s.channels[f, F_BEHIND] == 0:
        configure(s, f, s.calls[c, C_INPUT], s.calls[c, C_OUTPUTS])
        return
    if waiting == MOST_PENDING:
        fail(s, ERROR_PENDING, pe, step, MOST_PENDING, 0, 0)
        return
    behind = s.channels[f, F_BEHIND]
    for i in range(waiting):
        behind -= s.pending[f, i, G_WORDS]
    s.pending[f, waiting, G_WORDS] = behind
    s.pending[f, waiting, G_INPUT] = s.calls[c, C_INPUT]
    s.pending[f, waiting, G_OUTPUTS] = s.calls[c, C_OUTPUTS]
    s.channels[f, F_PENDING] += 1


@internal
def block(s, pe, m):
    """The PE waits for move m, unless that has ended."""
    if s.moves[m, M_STATE] == FLYING:
        s.pes[pe, P_STATUS] = BLOCKED
        s.pes[pe, P_ON] = m
    elif s.moves[m, M_STATE] == DONE:
        release(s, m, pe)


@internal
def run_pe(s, pe):
    """Run a PE until it waits, stops at the head of a loop, or ends."""
    handles = s.header[H_HANDLES]
    while s.pes[pe, P_STATUS] == RUNNING and s.header[H_ERROR] == NO_ERROR:
        at = s.pes[pe, P_STEP]
        kind, a, b = s.steps[at, S_KIND], s.steps[at, S_A], s.steps[at, S_B]
        following = at + 1
        s.header[H_STEPS] += 1
        if kind == TOUCH:
            for o in range(a, b):
                touch(s, o, pe)
        elif kind == MOVE:
            m = start_move(s, a, pe, at)
            settle(s)
            if m >= 0 and s.calls[a, C_HANDLE] < 0:
                block(s, pe, m)
        elif kind == WAIT:
            m = pe * (handles + 1) + a
            if s.moves[m, M_STATE] == IDLE:
                fail(s, ERROR_HANDLE_IDLE, pe, at, a, 0, 0)
            block(s, pe, m)
        elif kind == HEAD:
            loop = s.steps[at, S_D]
            if loop == STOPPING and s.pes[pe, P_GO] == 0 and s.pes[pe, P_EXIT] == 0:
                s.pes[pe, P_STATUS] = PAUSED
                return
            leaves = s.pes[pe, P_EXIT] == 1 or not is_below(s, s.counters[pe, a], b, pe)
            s.pes[pe, P_GO] = 0
            s.pes[pe, P_EXIT] = 0
            if leaves:
                following = s.steps[at, S_C]
                s.counters[pe, a] = 0
        elif kind == REPEAT:
            counter = s.counters[pe, a] + 1
            if s.steps[b, S_D] == LOCAL:
                # Its rounds are alike: the first and the last say it all.
                counter = max(counter, value_of(s, s.steps[b, S_B], pe) - 1)
            s.counters[pe, a] = counter
            following = b
        elif kind == BRANCH:
            if value_of(s, a, pe) == 0:
                following = b
        elif kind == JUMP:
            following = a
        elif kind == ENTER:
            s.counters[pe, a] = value_of(s, b, pe)
        elif kind == ROTATE:
            touch(s, a, pe)
            touch(s, a + 1, pe)
            first, second = s.operands[a, O_NAME], s.operands[a + 1, O_NAME]
            s.named[first, pe], s.named[second, pe] = s.named[second, pe], s.named[first, pe]
        elif kind == ROUTE:
            rewrite(s, a, pe, at)
            settle(s)
        elif kind == AGAIN:
            if s.pes[pe, P_GO] == 0 and s.pes[pe, P_EXIT] == 0:
                s.pes[pe, P_STATUS] = PAUSED
                return
            if s.pes[pe, P_GO] == 1:
                s.counters[pe, a] += 1
                following = b
            s.pes[pe, P_GO] = 0
            s.pes[pe, P_EXIT] = 0
        elif kind == END:
            s.pes[pe, P_STATUS] = ENDED
            s.header[H_ENDED] += 1
            return
        s.pes[pe, P_STEP] = following


@native
def run(s, budget):
    """Run all that can run, for about so many steps; gives whether something is left to run."""
    stop = s.header[H_STEPS] + budget
    settle(s)
    while s.header[H_ERROR] == NO_ERROR and s.header[H_READY_HEAD] < s.header[H_READY_TAIL]:
        if s.header[H_STEPS] >= stop:
            return True
        pe = s.ready[s.header[H_READY_HEAD] % s.ready.shape[0]]
        s.header[H_READY_HEAD] += 1
        run_pe(s, pe)
    return False


@native
def resume(s):
    """Let the PEs that stand at heads of loops go on; gives how many."""
    count = 0
    for pe in range(s.header[H_PES]):
        if s.pes[pe, P_STATUS] == PAUSED:
            if s.pes[pe, P_EXIT] == 0:
                s.pes[pe, P_GO] = 1
            wake(s, pe)
            count += 1
    return count


@native
def stops(s, pes, steps, result):
    """The stops of the loops at whose heads PEs stand, for the present candidate: into ``result``."""
    from_value = 0
    for i in range(pes.shape[0]):
        from_value = value_of(s, s.steps[steps[i], S_B], pes[i])
        result[i] = from_value


@native
def port_counts(s, exprs, pes, result):
    """Values of expressions on PEs, which divide the candidates of the scalars."""
    for i in range(pes.shape[0]):
        result[i] = value_of(s, exprs[i], pes[i])
