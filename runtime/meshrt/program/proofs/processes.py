"""PEs run their code, untimed, until they have to wait."""

from __future__ import annotations

from meshrt.compiled import internal, native
from meshrt.program.proofs.evaluation import fail, is_below, rest_of, value_of
from meshrt.program.proofs.fabric import add_work, configure, forward, release, settle, wake, words_of
from meshrt.program.proofs.memory import note_view, touch
from meshrt.program.proofs.records import (
    A_COLORS,
    A_FLAGS,
    A_PES,
    A_READY,
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
    ERROR_UNLIKE,
    F_BEHIND,
    F_CALL,
    F_CHANGES,
    F_LAST_RECEIVER,
    F_LAST_SENDER,
    F_LAZY,
    F_PENDING,
    F_RECEIVERS,
    F_SENDERS,
    FLYING,
    G_INPUT,
    G_OUTPUTS,
    G_SIZE,
    G_WORDS,
    H_ASYNC_MOVES,
    H_CHANNEL_SIZE,
    H_COLOR_LIMIT,
    H_DECIDED,
    H_EACH,
    H_ENDED,
    H_ERROR,
    H_HANDLES,
    H_INPUT_QUEUES,
    H_KEPT,
    H_KEPT_SIZE,
    H_LAZY,
    H_LOCAL,
    H_MOVES,
    H_NAMES,
    H_NO_STOPS,
    H_OUTPUT_QUEUES,
    H_PE_SIZE,
    H_PES,
    H_READY_HEAD,
    H_READY_MASK,
    H_READY_TAIL,
    H_RELEASED,
    H_REWRITES,
    H_STEPS,
    H_WAITING_PE,
    H_WAITING_STEP,
    HEAD,
    IDLE,
    JUMP,
    KEPT_AT,
    KEPT_DONE,
    KEPT_FIRST,
    KEPT_LEFT,
    KEPT_NONE,
    KEPT_ROUNDS,
    KEPT_STATE,
    LAZY_ROUTE,
    LAZY_WORDS,
    LEAVE,
    LOCAL,
    M_CALL,
    M_DTYPE,
    M_IN,
    M_KIND,
    M_LEFT,
    M_NEXT_IN,
    M_NEXT_OUT,
    M_OUT,
    M_SIZE,
    M_STATE,
    MOST_PENDING,
    MOVE,
    NO_ERROR,
    O_NAME,
    O_SIZE,
    ON_WITHOUT_LOOKING,
    P_CHANNELS,
    P_COUNTERS,
    P_EXIT,
    P_FLAGS,
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
    S_E,
    S_KIND,
    S_SIZE,
    SEND,
    STOPPING,
    STREAM,
    TOUCH,
    WAIT,
)


@internal
def channel_of(s, e, pe, step):
    """The channel of the color that expression e names on a PE, or 0 and an error."""
    color = value_of(s, e, pe)
    if color < 0 or color >= s[H_COLOR_LIMIT] or s[s[A_COLORS] + color] < 0:
        fail(s, ERROR_COLOR, pe, step, color, 0, 0)
        return 0
    return s[pe + P_CHANNELS] + s[s[A_COLORS] + color] * s[H_CHANNEL_SIZE]


@internal
def check_limits(s, pe, step):
    """Queues and asynchronous moves within the target."""
    if s[pe + P_OUT] > s[H_OUTPUT_QUEUES]:
        fail(s, ERROR_OUTPUT_QUEUES, pe, step, s[pe + P_OUT], s[H_OUTPUT_QUEUES], 0)
    elif s[pe + P_IN] > s[H_INPUT_QUEUES]:
        fail(s, ERROR_INPUT_QUEUES, pe, step, s[pe + P_IN], s[H_INPUT_QUEUES], 0)
    elif s[pe + P_MOVES] > s[H_ASYNC_MOVES]:
        fail(s, ERROR_ASYNC_MOVES, pe, step, s[pe + P_MOVES], s[H_ASYNC_MOVES], 0)


@internal
def move_of(s, pe, handle):
    """The move record of a handle, or of blocking moves."""
    return pe + s[H_MOVES] + (handle if handle >= 0 else s[H_HANDLES]) * M_SIZE


@internal
def line_up(s, m, f, out, kind):
    """A move joins the lines of receivers and senders of its channels."""
    if kind != SEND:
        if s[f + F_RECEIVERS] == 0:
            s[f + F_RECEIVERS] = m
        else:
            s[s[f + F_LAST_RECEIVER] + M_NEXT_IN] = m
        s[f + F_LAST_RECEIVER] = m
        add_work(s, f)
    if kind != RECV:
        if s[out + F_SENDERS] == 0:
            s[out + F_SENDERS] = m
        else:
            s[s[out + F_LAST_SENDER] + M_NEXT_OUT] = m
        s[out + F_LAST_SENDER] = m
        s[out + F_BEHIND] += words_of(s, s[m + M_LEFT], s[m + M_DTYPE])
        add_work(s, out)


@internal
def hold(s, c, pe, step):
    """A PE that runs alone starts the move of call c: what it touches and holds."""
    o, kind, handle = s[c + C_OPERAND], s[c + C_KIND], s[c + C_HANDLE]
    touch(s, o, pe)
    if handle < 0 or s[H_ERROR] != NO_ERROR:
        return
    m = move_of(s, pe, handle)
    if s[m + M_STATE] != IDLE:
        fail(s, ERROR_HANDLE_BUSY, pe, step, handle, 0, 0)
    note_view(s, m, o, pe)
    s[m + M_CALL] = c
    s[m + M_KIND] = kind
    s[m + M_STATE] = DONE
    s[pe + P_MOVES] += 1
    if kind != SEND:
        s[pe + P_IN] += 1
    if kind != RECV:
        s[pe + P_OUT] += 1
    check_limits(s, pe, step)


@internal
def start_move(s, c, pe, step):
    """A PE starts the move of call c."""
    o = s[c + C_OPERAND]
    kind, handle = s[c + C_KIND], s[c + C_HANDLE]
    m = move_of(s, pe, handle)
    if s[m + M_STATE] != IDLE:
        fail(s, ERROR_HANDLE_BUSY, pe, step, handle, 0, 0)
    f = channel_of(s, s[c + C_COLOR], pe, step)
    out = f
    if kind == STREAM:
        out = channel_of(s, s[c + C_OUT], pe, step)
    if s[H_ERROR] != NO_ERROR:
        return
    d = s[pe + s[H_NAMES] + s[o + O_NAME]]
    n = s[d + D_ELEMENTS]
    if s[c + C_COUNT] != 0:
        n = value_of(s, s[c + C_COUNT], pe)
    if n < 0:
        fail(s, ERROR_EXTENT, pe, step, n, 0, 0)
        return
    s[m + M_CALL] = c
    s[m + M_KIND] = kind
    s[m + M_IN] = f
    s[m + M_OUT] = out
    s[m + M_LEFT] = n
    s[m + M_DTYPE] = s[d + D_DTYPE]
    s[m + M_NEXT_IN] = 0
    s[m + M_NEXT_OUT] = 0
    if n == 0:
        s[m + M_STATE] = DONE
        return
    s[m + M_STATE] = FLYING
    line_up(s, m, f, out, kind)


@internal
def rewrite(s, c, pe, step):
    """A PE rewrites a route, behind the words that it has sent on the color."""
    f = channel_of(s, s[c + C_COLOR], pe, step)
    if f == 0:
        return
    s[H_REWRITES] += 1
    s[f + F_CALL] = c
    waiting, behind = s[f + F_PENDING], s[f + F_BEHIND]
    if waiting == 0 and behind == 0:
        configure(s, f, s[c + C_INPUT], s[c + C_OUTPUTS])
        return
    if waiting == MOST_PENDING:
        fail(s, ERROR_PENDING, pe, step, MOST_PENDING, 0, 0)
        return
    change = s[f + F_CHANGES]
    for _ in range(waiting):
        behind -= s[change + G_WORDS]
        change += G_SIZE
    s[change + G_WORDS] = behind
    s[change + G_INPUT] = s[c + C_INPUT]
    s[change + G_OUTPUTS] = s[c + C_OUTPUTS]
    s[f + F_PENDING] += 1


@internal
def block(s, pe, m):
    """The PE waits for move m, unless that has ended."""
    if s[m + M_STATE] == FLYING:
        s[pe + P_STATUS] = BLOCKED
        s[pe + P_ON] = m
    elif s[m + M_STATE] == DONE:
        release(s, m, pe)


@internal
def rotate(s, a, b, pe):
    """Exchange two buffers of a PE."""
    touch(s, a, pe)
    touch(s, b, pe)
    first, second = pe + s[H_NAMES] + s[a + O_NAME], pe + s[H_NAMES] + s[b + O_NAME]
    s[first], s[second] = s[second], s[first]


@internal
def as_before(s, kept, pe):
    """Whether the buffers of a PE are as it remembers them."""
    same = True
    for i in range(s[H_KEPT_SIZE] - KEPT_STATE):
        same &= s[kept + KEPT_STATE + i] == s[pe + s[H_NAMES] + i]
    return same


@internal
def remember(s, kept, pe):
    """Remember the buffers of a PE in this round."""
    for i in range(s[H_KEPT_SIZE] - KEPT_STATE):
        s[kept + KEPT_STATE + i] = s[pe + s[H_NAMES] + i]
    s[kept + KEPT_AT] = s[kept + KEPT_ROUNDS]


@internal
def count_down(s, kept, pe):
    """Another round, or the end of the loop."""
    if s[kept + KEPT_LEFT] == 0:
        s[pe + P_EXIT] = 1
    else:
        s[kept + KEPT_LEFT] -= 1
        s[pe + P_GO] = ON_WITHOUT_LOOKING


@internal
def recall(s, at, pe):
    """The head of a loop whose counter decides nothing: rounds that repeat what the buffers went through are skipped.

    The state is remembered in rounds 0, 1, 2, 4, 8, .. (Brent's way of finding a period).
    """
    kept = pe + s[H_KEPT] + s[at + S_A] * s[H_KEPT_SIZE]
    rounds, since = s[kept + KEPT_ROUNDS], s[kept + KEPT_AT]
    s[kept + KEPT_ROUNDS] += 1
    if since == KEPT_DONE:
        count_down(s, kept, pe)
        return
    if s[pe + P_MOVES] > 0:
        return
    if since != KEPT_NONE and as_before(s, kept, pe):
        # Whatever the stop, the rounds that are left come down to fewer than a period.
        counter = s[pe + P_COUNTERS + s[at + S_A]]
        s[kept + KEPT_LEFT] = rest_of(s, s[at + S_B], pe, counter, rounds - since)
        s[kept + KEPT_AT] = KEPT_DONE
        count_down(s, kept, pe)
    elif since == KEPT_NONE or rounds >= 2 * since:
        s[kept + KEPT_ROUNDS] -= 1
        remember(s, kept, pe)
        s[kept + KEPT_ROUNDS] += 1


@internal
def enter_round(s, at, pe):
    """The head of a loop: gives the step that follows, or the head itself where the PE stops there."""
    if s[at + S_D] == STOPPING:
        if s[H_LOCAL]:
            recall(s, at, pe)
        elif s[pe + P_GO] == 0 and s[pe + P_EXIT] == 0 and not s[H_NO_STOPS]:
            s[pe + P_STATUS] = PAUSED
            return at
    counter = pe + P_COUNTERS + s[at + S_A]
    leaves = s[pe + P_EXIT] == 1
    if not leaves and s[pe + P_GO] != ON_WITHOUT_LOOKING:
        # Behind any round but the first comes what also comes where a flag ends the loop.
        kept = pe + s[H_KEPT] + s[at + S_A] * s[H_KEPT_SIZE]
        ends_early = s[at + S_E] == 1 and s[counter] > s[kept + KEPT_FIRST]
        leaves = not is_below(s, s[counter], s[at + S_B], pe, ends_early)
    s[pe + P_GO] = 0
    s[pe + P_EXIT] = 0
    if leaves:
        s[counter] = 0
        return s[at + S_C]
    return at + S_SIZE


@internal
def leaves_alike(s, at, pe):
    """The end of a round while a PE runs alone: whether to leave, where every round leaves the buffers as the first."""
    kept = pe + s[H_KEPT] + s[at + S_A] * s[H_KEPT_SIZE]
    first = s[kept + KEPT_AT] == KEPT_NONE
    if s[pe + P_MOVES] > 0 or not (first or as_before(s, kept, pe)):
        # It has to be looked at round by round.
        fail(s, ERROR_UNLIKE, pe, at, 0, 0, 0)
    if first:
        remember(s, kept, pe)
    # If nothing reads the counter, all further rounds are like the second.
    return not first and s[at + S_B] == 0


@internal
def end_round(s, at, pe):
    """The end of a round of a loop that a flag may end: the step that follows, or this one where the PE stops there."""
    number = s[pe + P_FLAGS]
    if s[H_LOCAL] and not s[H_EACH]:
        leaves = leaves_alike(s, at, pe)
    elif number < s[H_DECIDED]:
        leaves = s[s[A_FLAGS] + number] == 1
    elif s[H_NO_STOPS]:
        leaves = True
    else:
        s[pe + P_STATUS] = PAUSED
        return at
    s[pe + P_FLAGS] += 1
    if leaves:
        s[pe + P_COUNTERS + s[at + S_A]] = 0
        return s[at + S_C]
    return at + S_SIZE


@internal
def step(s, at, pe):
    """Run one step of a PE; gives the step that follows."""
    kind, a, b = s[at + S_KIND], s[at + S_A], s[at + S_B]
    following = at + S_SIZE
    if kind == TOUCH:
        if s[H_LOCAL]:
            for o in range(a, b, O_SIZE):
                touch(s, o, pe)
    elif kind == MOVE:
        if s[H_LOCAL]:
            hold(s, a, pe, at)
        else:
            start_move(s, a, pe, at)
            settle(s)
            if s[a + C_HANDLE] < 0:
                block(s, pe, move_of(s, pe, -1))
    elif kind == WAIT:
        m = move_of(s, pe, a)
        if s[m + M_STATE] == IDLE:
            fail(s, ERROR_HANDLE_IDLE, pe, at, a, 0, 0)
        block(s, pe, m)
    elif kind == HEAD:
        following = enter_round(s, at, pe)
    elif kind == REPEAT:
        counter = s[pe + P_COUNTERS + a] + 1
        if s[b + S_D] == LOCAL:
            # Its rounds are alike: the first and the last say it all.
            counter = max(counter, value_of(s, s[b + S_B], pe) - 1)
        s[pe + P_COUNTERS + a] = counter
        following = b
    elif kind == BRANCH:
        if value_of(s, a, pe) == 0:
            following = b
    elif kind == JUMP:
        following = a
    elif kind == ENTER:
        s[pe + P_COUNTERS + a] = value_of(s, b, pe)
        kept = pe + s[H_KEPT] + a * s[H_KEPT_SIZE]
        s[kept + KEPT_FIRST] = s[pe + P_COUNTERS + a]
        s[kept + KEPT_ROUNDS] = 0
        s[kept + KEPT_AT] = KEPT_NONE
    elif kind == ROTATE:
        if s[H_LOCAL]:
            rotate(s, a, a + O_SIZE, pe)
    elif kind == ROUTE:
        if not s[H_LOCAL]:
            f = channel_of(s, s[a + C_COLOR], pe, at)
            if f != 0 and s[f + F_LAZY] == LAZY_ROUTE:
                s[pe + P_STATUS] = BLOCKED
                s[H_WAITING_PE] = pe
                s[H_WAITING_STEP] = at
            else:
                rewrite(s, a, pe, at)
                settle(s)
    elif kind == LEAVE:
        following = end_round(s, at, pe)
    elif kind == END:
        s[pe + P_STATUS] = ENDED
        s[H_ENDED] += 1
    return following


@internal
def do_lazily(s):
    """Nothing else can go on: let the lazy channel do one thing; gives whether it did."""
    f = s[H_LAZY]
    if f == 0:
        return False
    if s[H_WAITING_PE] != 0:
        pe, at = s[H_WAITING_PE], s[H_WAITING_STEP]
        s[H_WAITING_PE] = 0
        rewrite(s, s[at + S_A], pe, at)
        wake(s, pe)
        settle(s)
        return True
    if s[f + F_LAZY] == LAZY_WORDS:
        s[H_RELEASED] = 1
        moved = forward(s, f)
        s[H_RELEASED] = 0
        if moved:
            add_work(s, f)
            settle(s)
        return moved
    return False


@native
def run(s, budget):
    """Run all that can run, for about so many steps; gives whether something is left to run."""
    stop = s[H_STEPS] + budget
    settle(s)
    while s[H_ERROR] == NO_ERROR:
        if s[H_READY_HEAD] == s[H_READY_TAIL]:
            if do_lazily(s):
                continue
            return False
        if s[H_STEPS] >= stop:
            return True
        pe = s[s[A_READY] + (s[H_READY_HEAD] & s[H_READY_MASK])]
        s[H_READY_HEAD] += 1
        while s[pe + P_STATUS] == RUNNING and s[H_ERROR] == NO_ERROR:
            s[H_STEPS] += 1
            s[pe + P_STEP] = step(s, s[pe + P_STEP], pe)
    return False


@native
def run_alone(s, pe):
    """Run one PE on to its end, or to a flag, as if words were always there; its buffers and handles are looked at."""
    s[H_LOCAL] = 1
    while s[pe + P_STATUS] == RUNNING and s[H_ERROR] == NO_ERROR:
        s[H_STEPS] += 1
        s[pe + P_STEP] = step(s, s[pe + P_STEP], pe)
    s[H_LOCAL] = 0


@native
def resume(s, leaves):
    """Let the PEs go on that stand at heads of loops, or where a flag may end one."""
    for i in range(s[H_PES]):
        pe = s[A_PES] + i * s[H_PE_SIZE]
        if s[pe + P_STATUS] == PAUSED and (s[s[pe + P_STEP] + S_KIND] == LEAVE) == leaves:
            if not leaves:
                s[pe + P_GO] = 1 - s[pe + P_EXIT]
            wake(s, pe)


@native
def values(s, exprs, pes, result):
    """The values of expressions on PEs, which divide the candidates of the scalars."""
    for i in range(pes.shape[0]):
        result[i] = value_of(s, exprs[i], pes[i])
