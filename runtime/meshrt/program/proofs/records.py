"""The state of an untimed execution: one array of integers that holds records, and the names of their fields.

A record is known by the index of its first field, so that ``s[f + F_INPUT]`` is a field of channel ``f``; 0, where the
header lies, stands for none. A *channel* is one color in one router and the PE behind it; behind its fields lie six
queues: one for each input port of the router (N, E, S, W, RAMP) and the *inbox* between router and PE. A queue is a
count and its words. A *word* is one integer: which call sent it, its dtype, and how many elements it carries. Behind
the fields of a PE lie the counters of its loops, the declaration that each buffer's name means, the bits of the
buffers that hold their own data, its grids, and a *move* for every handle and one for blocking moves.
"""

from __future__ import annotations

# Ports of a router; the inbox is the queue between router and PE.
SIDES = 4
RAMP = 4
INBOX = 5
QUEUES = 6
PORT_NUMBERS = {"N": 0, "E": 1, "S": 2, "W": 3, "RAMP": RAMP}
F32, F16, BF16, I32 = range(4)
DTYPE_NUMBERS = {"f32": F32, "f16": F16, "bf16": BF16, "i32": I32}

# A word: call * CALL_UNIT + dtype * DTYPE_UNIT + elements.
DTYPE_UNIT = 8
CALL_UNIT = 32
DTYPES = CALL_UNIT // DTYPE_UNIT

# Kinds of steps of a code.
END, ENTER, HEAD, REPEAT, BRANCH, JUMP, MOVE, WAIT, ROUTE, TOUCH, ROTATE, LEAVE = range(12)
# Columns of a step. HEAD: counter, stop, step behind the loop, kind of loop, whether a flag may end it. LEAVE: counter,
# whether the body reads it, step behind the loop, name of the flag's buffer. MOVE, ROUTE: call.
S_KIND, S_A, S_B, S_C, S_D, S_E, S_LINE, S_SIZE = range(8)
# Kinds of loops: run as they are; stopped at their head for induction; without words, first and last round only.
PLAIN, STOPPING, LOCAL = range(3)

# Columns of a call. C_COUNT is 0 where the whole buffer moves; C_TAG is what its words begin with.
C_KIND, C_COLOR, C_OUT, C_HANDLE, C_COUNT, C_OPERAND, C_INPUT, C_OUTPUTS, C_STEP, C_TAG, C_SIZE = range(11)
# Kinds of moves.
SEND, RECV, STREAM = range(3)

# Columns of an operand: name, role bits, offset (-1: not needed), first dimension and their number (-1: the whole
# buffer), whether some asynchronous move may hold its memory.
O_NAME, O_ROLE, O_OFFSET, O_DIMS, O_RANK, O_HELD, O_SIZE = range(7)
# EXCHANGES: an operand of ``rotate``, which must not be held but may hold anything.
READS, WRITES, EXCHANGES = 1, 2, 4
MOST_DIMS = 5

# Columns of a declared buffer.
# D_BITS: own bits, then those of its rivals; the record goes on there.
D_DTYPE, D_BYTES, D_ADDRESS, D_ELEMENTS, D_TRACKED, D_BITS = range(6)

# Kinds of expressions, and the operations of their postfix form.
CONSTANT, GRID, GENERAL, OF_SCALARS = range(4)
(
    PUSH,
    PUSH_GRID,
    PUSH_COUNTER,
    PUSH_SCALAR,
    ENTRY,
    JUMP_IF_ZERO,
    JUMP_TO,
    RETURN,
    ADD,
    SUB,
    MUL,
    FLOOR_DIVIDE,
    MODULO,
    MINIMUM,
    MAXIMUM,
    EQ,
    NE,
    LT,
    LE,
    GT,
    GE,
) = range(21)

# Columns of a PE. P_ON is the move that it waits for; P_GO and P_EXIT tell one at the head of a loop what to do
# (P_GO of ON_WITHOUT_LOOKING: another round, whatever the stop). P_FLAGS counts the flags that it has looked at; it is
# -1 in a code that looks at none.
P_STATUS, P_STEP, P_ON, P_GO, P_EXIT, P_MOVES, P_IN, P_OUT, P_CHANNELS, P_NUMBER, P_FLAGS, P_COUNTERS = range(12)
RUNNING, BLOCKED, PAUSED, ENDED = range(4)
ON_WITHOUT_LOOKING = 2

# Columns of a move.
(
    M_STATE,
    M_PE,
    M_HANDLE,
    M_CALL,
    M_KIND,
    M_IN,
    M_OUT,
    M_LEFT,
    M_DTYPE,
    M_NEXT_IN,
    M_NEXT_OUT,
    M_DECLARED,
    M_WRITES,
    M_OFFSET,
    M_RANK,
    M_DIMS,
) = range(16)
M_SIZE = M_DIMS + 2 * MOST_DIMS
IDLE, FLYING, DONE = range(3)

# Columns of a channel. F_INPUT is -1 without a route. F_BEHIND counts own words that have not passed the router;
# F_EARLIER has a bit for each side that an ended configuration accepted. F_BEYOND are the channels beyond the four
# sides, F_EXITS the sinks there. Its queues begin at F_QUEUES.
(
    F_INPUT,
    F_OUTPUTS,
    F_RECEIVERS,
    F_LAST_RECEIVER,
    F_SENDERS,
    F_LAST_SENDER,
    F_BEHIND,
    F_PENDING,
    F_CHANGES,
    F_SOURCE,
    F_QUEUED,
    F_PASSED,
    F_EARLIER,
    F_EPOCH,
    F_LOG,
    F_GUARDED,
    F_CALL,
    F_LAZY,
    F_PE,
    F_COLOR,
    F_BEYOND,
) = range(21)
F_EXITS = F_BEYOND + SIDES
F_QUEUES = F_EXITS + SIDES
# F_LAZY: everything else goes before the words of other PEs here, or before the next change of this route.
AT_ONCE, LAZY_WORDS, LAZY_ROUTE = range(3)
# Route changes that wait for own words (from F_CHANGES on): words still to pass, input, outputs.
MOST_PENDING = 8
G_WORDS, G_INPUT, G_OUTPUTS, G_SIZE = range(4)

# What a PE keeps for each loop around it: where its counter began, and while it runs alone: rounds so far, the round of
# which it remembers the state (KEPT_NONE, KEPT_DONE), how many rounds are left once all others are known to be alike,
# and that state.
KEPT_FIRST, KEPT_ROUNDS, KEPT_AT, KEPT_LEFT, KEPT_STATE = range(5)
KEPT_NONE, KEPT_DONE = -1, -2

# Host sources and sinks.
U_SIDE, U_LEFT, U_DTYPE, U_NEXT, U_PORT, U_CHANNEL, U_SIZE = range(7)
# X_LOG is where a border notes its words, as X_RUNS runs (R_) of words that are all full but the last; 0 for ports.
X_EXPECTED, X_GOT, X_DTYPE, X_PORT, X_CHANNEL, X_LOG, X_RUNS, X_SIZE = range(8)
R_DTYPE, R_ELEMENTS, R_SIZE = range(3)
#: Runs that a border notes; one more stands for too many.
MOST_RUNS = 64

# The header: numbers of the target and the program, what is going on, where things lie in the record of a PE (H_NAMES
# to H_MOVES) and of a channel, and where the tables begin (A_).
(
    H_PES,
    H_CAPACITY,
    H_HANDLES,
    H_WORD_BYTES,
    H_COLOR_LIMIT,
    H_INPUT_QUEUES,
    H_OUTPUT_QUEUES,
    H_ASYNC_MOVES,
    H_SCALARS,
    H_WORK_HEAD,
    H_WORK_TAIL,
    H_WORK_MASK,
    H_READY_HEAD,
    H_READY_TAIL,
    H_READY_MASK,
    H_STEPS,
    H_CANDIDATE,
    H_ALIVE,
    H_FAILED,
    H_ERROR,
    H_ERROR_PE,
    H_ERROR_STEP,
    H_ERROR_A,
    H_ERROR_B,
    H_ERROR_C,
    H_ENDED,
    H_REWRITES,
    H_GUARDED,
    H_WORDS,
    H_NAMES,
    H_LIVE,
    H_GRIDS,
    H_MOVES,
    H_PE_SIZE,
    H_CHANNEL_SIZE,
    H_QUEUE,
    H_LIVE_WIDTH,
    H_SCRATCH,
    H_LOCAL,
    H_KEPT,
    H_KEPT_SIZE,
    H_NO_STOPS,
    H_EACH,
    H_DECIDED,
    H_LAZY,
    H_RELEASED,
    H_WAITING_PE,
    H_WAITING_STEP,
    A_PES,
    A_CHANNELS,
    A_STEPS,
    A_CALLS,
    A_OPERANDS,
    A_DIMS,
    A_EXPRS,
    A_BYTECODE,
    A_STACK,
    A_ENTRIES,
    A_TABLES,
    A_CANDIDATES,
    A_ALIVE,
    A_DECLARED,
    A_COLORS,
    A_WORK,
    A_READY,
    A_SINKS,
    A_SOURCES,
    A_CHANGES,
    A_FLAGS,
    H_SIZE,
) = range(70)

# Errors that the execution itself meets.
(
    NO_ERROR,
    ERROR_DTYPE,
    ERROR_SPLIT,
    ERROR_LEAVES,
    ERROR_PORT_OVERFLOW,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_HELD,
    ERROR_STALE,
    ERROR_NO_BUFFER,
    ERROR_DIVISION,
    ERROR_TABLE,
    ERROR_EXTENT,
    ERROR_PENDING,
    ERROR_RACE_PASSED,
    ERROR_RACE_EARLY,
    ERROR_TOO_MANY_WORDS,
    ERROR_UNLIKE,
) = range(22)

#: Values of flags that one execution may follow, one after the other (from A_FLAGS on); H_DECIDED are there.
MOST_FLAGS = 1 << 15

#: What F_LOG, a digest of how many words passed between changes of a route, stays below.
LOG_MASK = (1 << 40) - 1

#: Bits of a word of the liveness arrays; two are left so that none is the sign.
LIVE_BITS = 62
