"""One instruction on one PE: operands, checks, cost, and what it does to memory, fabric and clock."""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import BF16, F16, RAMP
from meshrt.engines.pointers import call_at
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.counts import count_one, known_entry
from meshrt.engines.reference.core.expressions import ABSENT, value_of
from meshrt.engines.reference.core.faults import stay_within
from meshrt.engines.reference.core.held import hold, release, watch
from meshrt.engines.reference.core.moves import advance, begin_move, end_wait, move_at
from meshrt.engines.reference.core.operands import (
    AT,
    COUNT,
    COVERS,
    DIMS,
    DTYPE,
    EXTENT,
    GATHER,
    MERGED,
    PRODUCT,
    RANKS,
    ROTATE,
    SIZE,
    STACK,
    STRIDE,
    is_view,
    merge,
    reads,
    resolve,
    walk_alone,
    writes,
)
from meshrt.engines.reference.core.queues import accepts, channel_at, fail
from meshrt.engines.reference.core.records import (
    A_COLORS,
    A_INSTRUCTIONS,
    A_PES,
    A_ROWS,
    A_TURNS,
    A_VIEWS,
    B_COLOR_LIMIT,
    B_COLORS,
    B_FAULTS,
    B_MOVES,
    DONE,
    E_BLOCKED,
    E_CALL,
    E_CLOCK,
    E_HOPS,
    E_MOVES,
    E_ON,
    E_RECEIVES,
    E_ROW,
    E_SENDS,
    E_SIZE,
    E_STAGES,
    ELEMENTWISE,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OPERANDS,
    ERROR_OUTPUT_QUEUES,
    EXCHANGE,
    F_CONFIG,
    F_LAST_TURN,
    F_LAUNCHED,
    F_PASSED,
    F_TURN,
    FILL,
    FINISHED,
    GATHER_FORM,
    H_ROUTE_WRITES,
    H_STATUS,
    H_TURN_FREE,
    I_COLOR,
    I_CONFIG,
    I_COUNT,
    I_ENTRY,
    I_FORM,
    I_HANDLE,
    I_OP,
    I_OPERAND,
    I_OUT,
    I_PERIOD,
    I_ROLES,
    I_SIZE,
    I_WHERE,
    IDLE,
    MOVE,
    N_BUSY,
    N_INSTRUCTIONS,
    N_MACS,
    N_SIZE,
    ON_HANDLE,
    ON_ROOM,
    ON_ROUTE,
    ON_WORDS,
    P_CALCULATE,
    P_SELF,
    PRODUCT_FORM,
    REDUCTION_FORM,
    SEND,
    STREAM_COPY,
    T_BEHIND,
    T_CALL,
    T_CONFIG,
    T_NEXT,
    T_SIZE,
    T_TIME,
    TURN,
    V_AT,
    V_BLOCKING,
    V_CALL,
    V_DTYPE,
    V_EXTENT,
    V_HOPS,
    V_IN,
    V_KIND,
    V_LINEAR,
    V_N,
    V_OUT,
    V_PE,
    V_PERIOD,
    V_ROW,
    V_STAGES,
    V_STATE,
    V_STRIDE,
    V_WORDS,
    WAIT,
    X_ASYNC_MOVES,
    X_CHECKED,
    X_INPUT_QUEUES,
    X_ISSUE,
    X_LAUNCH,
    X_OUTPUT_QUEUES,
    X_ROUTE_WRITE,
    X_SETUP,
    ZERO,
)


@internal
def prepare(r, i, pe, call):
    """Resolve the operands of an instruction and see that they fit together."""
    base, count, form = r[A_VIEWS], r[i + I_COUNT], r[i + I_FORM]
    for which in range(count):
        resolve(r, r[i + I_OPERAND + which], pe, call, which)
        if r[H_STATUS] != FINISHED:
            return
    o, a, b = base, base + SIZE, base + 2 * SIZE
    if count == 1 and r[o + DIMS] <= 1:
        walk_alone(r)
    elif form == ELEMENTWISE or form == FILL or form == MOVE:
        merge(r, count, 0, 0, pe, call)
    elif form == REDUCTION_FORM:
        # The rows of what is read are walked as the result is.
        r[a + DIMS] -= 1
        merge(r, count, 0, 0, pe, call)
        r[a + DIMS] += 1
    elif form == PRODUCT_FORM:
        rank = r[o + DIMS]
        if rank < 2 or r[a + DIMS] < 2 or r[b + DIMS] < 2:
            fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, RANKS, ZERO)
            return
        m, n, k = r[o + EXTENT + rank - 2], r[o + EXTENT + rank - 1], r[a + EXTENT + r[a + DIMS] - 1]
        rows, columns = (n, k) if r[i + I_OP] == 1 else (k, n)
        fits = r[a + DIMS] == rank and r[b + DIMS] == rank and r[a + EXTENT + rank - 2] == m
        fits = fits and r[b + EXTENT + rank - 2] == rows and r[b + EXTENT + rank - 1] == columns
        for d in range(rank - 2):
            fits = fits and r[a + EXTENT + d] == r[o + EXTENT + d] and r[b + EXTENT + d] == r[o + EXTENT + d]
        if not fits:
            fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, PRODUCT, ZERO)
            return
    elif form == GATHER_FORM:
        rows = r[a + EXTENT]
        width = r[a + COUNT] // rows if rows != 0 else ZERO
        if r[o + COUNT] != r[b + COUNT] * width:
            fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, GATHER, ZERO)
    elif form == EXCHANGE:
        fits = r[o + COVERS] != 0 and r[a + COVERS] != 0 and r[o + DTYPE] == r[a + DTYPE] and r[o + DIMS] == r[a + DIMS]
        for d in range(r[o + DIMS]):
            fits = fits and r[o + EXTENT + d] == r[a + EXTENT + d]
        if not fits:
            fail(r, ERROR_OPERANDS, pe, ZERO - 1, call, ROTATE, ZERO)


@inline
def dtypes_of(r, i):
    """The dtypes of all operands in one number; 7 stands for a number and for none."""
    dtypes = ZERO
    for which in range(4):
        o = r[A_VIEWS] + which * SIZE
        known = which < r[i + I_COUNT] and is_view(r, o)
        dtypes |= (r[o + DTYPE] if known else 7) << (3 * which)
    return dtypes


@internal
def cycles_of(r, i, call, row):
    """Cycles of an instruction whose operands are resolved, which is counted as executed once more.

    A move over the fabric takes as long as it takes, and is only counted.
    """
    base, form = r[A_VIEWS], r[i + I_FORM]
    o, a, b = base, base + SIZE, base + 2 * SIZE
    dtypes = dtypes_of(r, i)
    if form == PRODUCT_FORM:
        rank = r[o + DIMS]
        batch = ZERO + 1
        for d in range(rank - 2):
            batch *= r[o + EXTENT + d]
        m, n, k = r[o + EXTENT + rank - 2], r[o + EXTENT + rank - 1], r[a + EXTENT + rank - 1]
        return count_one(r, known_entry(r, i + I_ENTRY, call, row, dtypes, batch, m, k, n))
    read = r[a + COUNT] if form == REDUCTION_FORM else ZERO
    looked_up = r[b + COUNT] if form == GATHER_FORM else ZERO
    return count_one(r, known_entry(r, i + I_ENTRY, call, row, dtypes, r[o + COUNT], read, looked_up, ZERO))


@internal
def touch(r, i, pe, call):
    """Whether what is read holds its own data; what is written does from now on."""
    if r[B_FAULTS] != 0:
        stay_within(r, i, pe, call)
        if r[H_STATUS] != FINISHED:
            return
    for which in range(r[i + I_COUNT]):
        o = r[A_VIEWS] + which * SIZE
        read = (r[i + I_ROLES] >> (2 * which)) & 1 or (r[i + I_FORM] == FILL and r[i + I_WHERE] != ABSENT)
        if is_view(r, o) and read and r[i + I_FORM] != EXCHANGE:
            reads(r, o, pe, call)
            if r[H_STATUS] != FINISHED:
                return
    for which in range(r[i + I_COUNT]):
        o = r[A_VIEWS] + which * SIZE
        if (r[i + I_ROLES] >> (2 * which)) & 2 and r[i + I_FORM] != EXCHANGE:
            whole = r[o + COVERS] != 0 and r[i + I_WHERE] == ABSENT
            writes(r, o, pe, whole or r[i + I_FORM] == PRODUCT_FORM)


@internal
def compute(r, i, pe, call, row):
    """An arithmetic instruction; gives its cycles."""
    cycles = cycles_of(r, i, call, row)
    if r[H_STATUS] != FINISHED:
        return ZERO
    if r[X_CHECKED] != 0:
        watch(r, i, pe, call)
    touch(r, i, pe, call)
    if r[H_STATUS] != FINISHED:
        return ZERO
    n = r[A_ROWS] + row * N_SIZE
    call_at(r[P_CALCULATE], r[P_SELF], i, pe)
    if r[i + I_FORM] == PRODUCT_FORM:
        a = r[A_VIEWS] + SIZE
        r[n + N_MACS] += r[r[A_VIEWS] + COUNT] * r[a + EXTENT + r[a + DIMS] - 1]
    r[n + N_BUSY] += cycles
    return cycles


# The fabric.


@inline
def dense_color(r, color, pe, call):
    """The dense number of a color; an error where the program routes no such color."""
    number = r[r[A_COLORS] + color] if 0 <= color < r[B_COLOR_LIMIT] else ZERO - 1
    if number < 0:
        fail(r, ERROR_COLOR, pe, color, call, ZERO, ZERO)
        return ZERO
    return number


@internal
def launch(r, i, pe, call, row):
    """A fabric move begins; gives True where the PE goes on at once."""
    base, e, kind = r[A_VIEWS], r[A_PES] + pe * E_SIZE, r[i + I_OP]
    color = dense_color(r, value_of(r, r[i + I_COLOR], pe, base + STACK), pe, call)
    out = color
    if kind >= STREAM_COPY:
        out = dense_color(r, value_of(r, r[i + I_OUT], pe, base + STACK), pe, call)
    if r[X_CHECKED] != 0:
        watch(r, i, pe, call)
    touch(r, i, pe, call)
    if r[H_STATUS] != FINISHED:
        return False
    cycles_of(r, i, call, row)
    if r[H_STATUS] != FINISHED:
        return False
    blocking = r[i + I_HANDLE] < 0
    move = pe * r[B_MOVES] + (r[B_MOVES] - 1 if blocking else r[i + I_HANDLE])
    v = move_at(r, move)
    start = r[e + E_CLOCK] + (r[X_SETUP] if blocking else r[X_LAUNCH])
    if not blocking:
        if r[v + V_STATE] != IDLE:
            fail(r, ERROR_HANDLE_BUSY, pe, color, call, r[i + I_HANDLE], ZERO)
            return False
        count_move(r, e, kind, 1)
        check_limits(r, e, pe, color, call)
        if r[H_STATUS] != FINISHED:
            return False
    m = base + MERGED
    dtype = r[base + DTYPE]
    r[v + V_KIND] = kind
    r[v + V_PE] = pe
    r[v + V_IN] = pe * r[B_COLORS] + color
    r[v + V_OUT] = pe * r[B_COLORS] + (color if kind == SEND else out)
    r[v + V_CALL] = call
    r[v + V_ROW] = row
    r[v + V_DTYPE] = dtype
    r[v + V_N] = r[base + COUNT]
    r[v + V_WORDS] = (r[base + COUNT] + 1) // 2 if dtype == F16 or dtype == BF16 else r[base + COUNT]
    r[v + V_AT] = r[base + AT]
    for d in range(4):
        r[v + V_EXTENT + d] = r[m + EXTENT + 3 - d]
        r[v + V_STRIDE + d] = r[m + STRIDE + 3 - d]
    r[v + V_LINEAR] = 1 if r[m + EXTENT] * r[m + EXTENT + 1] * r[m + EXTENT + 2] == 1 else 0
    r[v + V_PERIOD] = r[i + I_PERIOD + dtype]
    r[v + V_HOPS] = r[e + E_HOPS]
    r[v + V_STAGES] = r[e + E_STAGES]
    r[v + V_BLOCKING] = 1 if blocking else 0
    if blocking:
        r[e + E_BLOCKED] = ON_ROOM if kind == SEND else ON_WORDS
        r[e + E_ON] = color
        r[e + E_CALL] = call
        r[e + E_ROW] = row
    else:
        advance(r, e, start, row)
        if r[X_CHECKED] != 0:
            hold(r, v, (r[i + I_ROLES] & 2) != 0)
    begin_move(r, move, start)
    return not blocking


@inline
def count_move(r, e, kind, change):
    """Asynchronous moves of a PE that are under way."""
    r[e + E_MOVES] += change
    if kind == SEND or kind >= STREAM_COPY:
        r[e + E_SENDS] += change
    if kind != SEND:
        r[e + E_RECEIVES] += change


@inline
def check_limits(r, e, pe, color, call):
    """No more moves than the target's queues carry."""
    if r[e + E_SENDS] > r[X_OUTPUT_QUEUES]:
        fail(r, ERROR_OUTPUT_QUEUES, pe, color, call, r[e + E_SENDS], r[X_OUTPUT_QUEUES])
    elif r[e + E_RECEIVES] > r[X_INPUT_QUEUES]:
        fail(r, ERROR_INPUT_QUEUES, pe, color, call, r[e + E_RECEIVES], r[X_INPUT_QUEUES])
    elif r[e + E_MOVES] > r[X_ASYNC_MOVES]:
        fail(r, ERROR_ASYNC_MOVES, pe, color, call, r[e + E_MOVES], r[X_ASYNC_MOVES])


@internal
def wait(r, i, pe, call, row):
    """``wait``; gives True where the move has ended."""
    e = r[A_PES] + pe * E_SIZE
    handle = r[i + I_HANDLE]
    v = move_at(r, pe * r[B_MOVES] + handle)
    state = r[v + V_STATE]
    if state == IDLE:
        fail(r, ERROR_HANDLE_IDLE, pe, ZERO - 1, call, handle, ZERO)
        return False
    count_move(r, e, r[v + V_KIND], -1)
    release(r, v)
    start = r[e + E_CLOCK] + r[X_ISSUE]
    if state == DONE:
        end_wait(r, pe, v, start, row)
        return True
    r[e + E_CLOCK] = start
    r[e + E_BLOCKED] = ON_HANDLE
    r[e + E_ON] = handle
    r[e + E_CALL] = call
    r[e + E_ROW] = row
    return False


@internal
def route(r, i, pe, call, row):
    """``route``, behind the words that this PE has sent on the color; gives True where the PE goes on."""
    e = r[A_PES] + pe * E_SIZE
    color = dense_color(r, value_of(r, r[i + I_COLOR], pe, r[A_VIEWS] + STACK), pe, call)
    if r[H_STATUS] != FINISHED:
        return False
    channel = pe * r[B_COLORS] + color
    f = channel_at(r, channel)
    advance(r, e, r[e + E_CLOCK] + r[X_ISSUE] + r[X_ROUTE_WRITE], row)
    r[H_ROUTE_WRITES] += 1
    last = r[f + F_LAST_TURN]
    before = r[A_TURNS] + (last - 1) * T_SIZE
    config = r[before + T_CONFIG] if last != 0 else r[f + F_CONFIG]
    passed = max(r[f + F_PASSED], r[before + T_BEHIND]) if last != 0 else r[f + F_PASSED]
    if r[f + F_LAUNCHED] > passed and not accepts(config, RAMP):
        # The change would go behind words that the route before it never lets through.
        r[e + E_BLOCKED] = ON_ROUTE
        r[e + E_ON] = color
        r[e + E_CALL] = call
        return False
    turn = r[H_TURN_FREE]
    t = r[A_TURNS] + (turn - 1) * T_SIZE
    r[H_TURN_FREE] = r[t + T_NEXT]
    r[t + T_NEXT] = 0
    r[t + T_CONFIG] = r[i + I_CONFIG]
    r[t + T_BEHIND] = r[f + F_LAUNCHED]
    r[t + T_TIME] = r[e + E_CLOCK]
    r[t + T_CALL] = call
    if last == 0:
        r[f + F_TURN] = turn
    else:
        r[before + T_NEXT] = turn
    r[f + F_LAST_TURN] = turn
    push_event(r, r[e + E_CLOCK], TURN, channel)
    return True


@internal
def execute(r, call, pe, row):
    """Execute an instruction at the PE's clock, which goes on; gives True where the PE goes on with it."""
    i = r[A_INSTRUCTIONS] + call * I_SIZE
    form = r[i + I_FORM]
    goes_on = True
    if form < WAIT:
        prepare(r, i, pe, call)
        if r[H_STATUS] != FINISHED:
            return False
        if form == MOVE:
            goes_on = launch(r, i, pe, call, row)
        else:
            cycles = compute(r, i, pe, call, row)
            if r[H_STATUS] != FINISHED:
                return False
            e = r[A_PES] + pe * E_SIZE
            advance(r, e, r[e + E_CLOCK] + cycles, row)
    elif form == WAIT:
        goes_on = wait(r, i, pe, call, row)
    else:
        goes_on = route(r, i, pe, call, row)
    if r[H_STATUS] == FINISHED:
        r[r[A_ROWS] + row * N_SIZE + N_INSTRUCTIONS] += 1
    return goes_on
