"""The machine's state, word by word: records of 64-bit integers in one array, and queues of 32-bit integers in another.

A record is named by the index of its first entry; the constants below are the offsets of
its fields. Routers and PEs of all regions are numbered in one sequence (region by region,
row by row); colors are *dense*: numbered in the order in which the program uses them.
Numbers of links, queues and channels follow from router, color and port. Times are
cycles. Zeroed memory is a valid empty state.
"""

from __future__ import annotations

import numpy as np

# A link: six to a router. Four lead to the neighbours (N, E, S, W), one to the PE and one from the PE. A record is a
# cache line.
LINKS = 6
TO_PE, FROM_PE = 4, 5
L_WANT = 0  # colors, as bits, whose first word waits for this link
L_FULL = 1  # colors, as bits, whose queue behind this link has no place
L_KEPT = 2  # colors, as bits, whose first word another color's word has kept from it
L_NEXT = 3  # the color that round-robin begins with
L_EMPTY = 4  # since when no word waits for it, plus one; 0 while one does
L_GONE = 5  # the latest cycle in which a word went over it, plus one, shifted by USED_BITS; plus how many went in it
L_STATE = 6  # twice the latest cycle for which it is being decided, plus two; plus three when it was decided
L_WORDS = 7  # words it ever carried
L_SIZE = 8
USED_BITS = 20

# A queue: six to a router and color, numbered by the port where its words arrive. RAMP holds what comes from the PE,
# and the sixth stands between router and PE. Its record is of 32-bit integers: a ring of words, each a number and the
# hops that it has gone since it, or the word that it is a copy of, was sent; plus MOVE_ENDS for the last of a move.
QUEUES = 6
INTO_PE = 5
Q_HEAD = 0  # position of the first word in the ring
Q_COUNT = 1  # words that hold a place, those on their way included
Q_THERE = 2  # words that have arrived
Q_ROUTE = 3  # the outputs of the route as bits, where it accepts this port; and the flags below
Q_RING = 4  # the ring itself: ``queue_words`` entries of two
Q_LINE = 16  # integers in a cache line: a record begins with one
MOVE_ENDS = 1 << 30
OUTPUTS = 31
MIDWAY = 1 << 8  # the last word of another PE that passed was not the last of its move
HELD = 1 << 9  # a full queue has held up the first word of a multicast
TELL = 1 << 10  # who fills the queue is told of every place, not only of the first: a host, a multicast, a broken link

# A channel: one color at one router and its PE. What every word touches comes first, in a cache line.
F_CONFIG = 0  # the route: source port + 1, plus 8 times the mask of destination ports; 0 for none
F_POST = 1  # first move that waits for words, as number + 1
F_OUT = 2  # first move that has words to send
F_PASSED = 3  # words of this PE that have passed the router
F_TURN = 4  # first pending change of the route
F_TRIED = 5  # the latest cycle in which a stream-through tried to take a word, plus one
F_LISTED = 6  # whether the channel is on the list of takers
F_THERE = 7  # when a word last came to the queue of the PE while that was empty
F_LAST_POST = 8
F_LAST_OUT = 9
F_LAUNCHED = 10  # words of this PE that were ever launched
F_LAST_TURN = 11
F_SENDER = 12  # with checking: sender and number of the move that the last word taken was of, and its place there
F_SERIAL = 13
F_EXPECT = 14  # .. the place of the next word of that move; 0 when it was the last
F_MOVES = 15  # moves of this PE that were ever launched
F_SIZE = 16

# A word, in an array of its own that grows; a cache line of four 64-bit integers,
W_VALUE = 0  # the bits of its first element, and 2**32 times those of its second
W_INDEX = 1  # its place in its move
W_ELEMENTS = 2  # elements of the whole move
W_CHECK = 3  # with checking: a checksum of the others
W_SIZE = 8
# .. and of 32-bit integers, counted from the same beginning:
W_HOPS = 8  # critical path of its sender; at the PE that takes it, with the hops since
W_STAGES = 9
W_KIND = 10  # dtype + 4 * elements in it + 16 when it is the last of its move
W_CALL = 11  # the instruction that sent it
W_ROW = 12  # row of the counts of its sender
W_SENDER = 13  # with checking: the PE that sent it, -1 for the host,
W_SERIAL = 14  # .. and the number of its move among those of that PE and color
W_SHORTS = 16
LAST = 16

# A move: one for each handle of a PE, and one for its blocking moves, which is the last. What every word touches comes
# first, in two cache lines.
V_KIND = 0
V_DTYPE = 1
V_READY = 2  # when the next word may be taken (a receive) or sent (a send)
V_AT = 3  # address of the view's first element
V_LINEAR = 4  # whether its elements are the innermost stride apart
V_N = 5  # elements
V_TAKEN = 6  # elements taken
V_SENT = 7  # words sent
V_HOPS = 8  # critical path so far
V_STAGES = 9
V_ROW = 10
V_CALL = 11
V_PERIOD = 12
V_WORDS = 13
V_FULL = 14  # a stream-through: whether a result waits to be sent,
V_STRIDE = 15  # four strides, the innermost first, then four extents
V_EXTENT = 19
V_VALUE = 23  # .. its bits,
V_ELEMENTS = 24  # .. its elements,
V_RESULT = 25  # .. and since when it may be
V_STATE = 26  # IDLE, FLYING or DONE
V_PE = 27
V_IN = 28  # channel that it takes words from
V_OUT = 29  # channel that it sends to
V_NEXT_POST = 30
V_NEXT_OUT = 31
V_START = 32
V_END = 33
V_BLOCKING = 34
V_SERIAL = 35
V_HOLDS = 36  # with checking: 0, or 1 for memory that it reads, 2 for memory that it writes
V_FROM = 37  # .. the halfword of SRAM where the view's first element lies
V_SIZE = 40
IDLE, FLYING, DONE = 0, 1, 2

# A PE.
E_CLOCK = 0
E_STEP = 1
E_HOPS = 2
E_STAGES = 3
E_BLOCKED = 4  # why it does not run: one of the constants below
E_ON = 5  # the handle it waits for, or the color
E_CALL = 6  # the instruction it waits in
E_ROW = 7  # the row of counts that its waiting belongs to
E_RECEIVES = 8  # asynchronous moves under way that hold input queues, output queues, and all
E_SENDS = 9
E_MOVES = 10
E_CODE = 11  # its code's number, -1 for none
E_FIRST = 12  # PE number of its region's first
E_HELD = 13  # colors whose present move has found the queue before the router full
E_SIZE = 16
RUNNING, ON_WORDS, ON_ROOM, ON_HANDLE, ON_ROUTE, ENDED, STOPPED = 0, 1, 2, 3, 4, 5, 6

# A pending change of a route.
T_NEXT = 0
T_CONFIG = 1
T_BEHIND = 2  # words of the PE that have to pass before
T_TIME = 3
T_CALL = 4
T_SIZE = 5

# A place where words leave to the host, and a stream that the host sends.
O_BASE = 0  # in ``memory``
O_COUNT = 1  # elements expected, or to send
O_DONE = 2
O_DTYPE = 3
O_CHANNEL = 4  # the channel and port where a stream of the host enters
O_PORT = 5
O_WORDS = 6
O_SENT = 7  # words sent
O_CYCLE = 8  # the latest cycle in which it sent a word, plus one
O_LISTED = 9  # whether it is on the list of those that can send
O_SENDER = 10  # with checking: as F_SENDER and what follows it
O_SERIAL = 11
O_EXPECT = 12
O_WHOLE = 13  # elements of whole messages that have come to the host, and when the last word of them did
O_TIME = 14
O_SIZE = 15

# A fault, where a test injects one.
Z_KIND = 0  # one of the kinds below; 0 when it has happened and does not again
Z_AT = 1  # a link or a PE
Z_CYCLE = 2
Z_VALUE = 3  # the bit that is flipped, or the end of the SRAM
Z_SIZE = 4

# An instruction of the program.
I_FORM = 0
I_OP = 1  # which elementwise operation, reduction or kind of move
I_COUNT = 2  # operands
I_OPERAND = 3  # four of them
I_ROLES = 7  # bits: operand is read (1) or written (2), two for each
I_COLOR = 8  # expressions, or ABSENT
I_OUT = 9
I_VALUE = 10
I_WHERE = 11
I_BASE = 12
I_HANDLE = 13  # number of the handle, or -1
I_CONFIG = 14
I_NUMBER = 15  # index of a number
I_PERIOD = 16  # cycles from word to word, by dtype
I_ENTRY = 20  # where its entry of the table of costs was the last time
I_SIZE = 24

# Forms of instructions.
ELEMENTWISE, REDUCTION_FORM, PRODUCT_FORM, FILL, GATHER_FORM, EXCHANGE, MOVE, WAIT, ROUTE = range(9)

# A step of linear code.
S_KIND = 0
S_NUMBER = 1  # an instruction's number, an expression, or an operand's number
S_TARGET = 2  # where it goes on when it does not go on with the next
S_DEPTH = 3  # loops around it
S_OP = 4  # row of the op table, -1 - p for none in phase p
S_ROW = 5  # the row of counts of its op, plus one, where that is the same in all layers; 0 before it is known
S_SIZE = 8
EXECUTE, ENTER, HEAD, LEAVE, REPEAT, BRANCH, JUMP, AGAIN, STOP, MARK = range(10)

# A row of counts.
(N_CYCLES, N_BUSY, N_MACS, N_INSTRUCTIONS, N_WORDS, N_WAITS, N_HOPS, N_SIZE) = range(8)

# An entry of the table of costs: what was executed, how many cycles it takes each time, and how often it was. The
# same table says which row of counts an op has.
K_USED = 0
K_CALL = 1
K_ROW = 2
K_DTYPES = 3  # those of the operands, three bits each
K_SIZES = 4  # four of them
K_CYCLES = 8
K_COUNT = 9
K_SIZE = 10
#: The call of an entry that says which row of counts an op has, and "no layer" in it.
ROW_CALL, NO_LAYER = -1, -(1 << 62)

# The header, at index 0. Counters:
H_TIME = 1
H_LATEST = 2
H_EVENTS = 3  # entries of the heap of the calendar
H_WORDS_FREE = 4  # entries of the list of free words
H_TURN_FREE = 5  # head of the list of free pending changes
H_TAKERS = 6  # entries of the list of takers
H_AGAIN = 7  # entries of the list of links to decide once more in this cycle
H_HOSTS = 8  # entries of the list of streams of the host
H_CONTENDED = 9
H_STALLED = 10
H_ROUTE_WRITES = 11
H_HOST_IN = 12
H_HOST_OUT = 13
H_LAST_OUT = 14  # time and critical path of the latest word that came to the host
H_LAST_HOPS = 15
H_LAST_STAGES = 16
H_STATUS = 17  # why compiled code came back: one of the constants below, and what it concerns:
H_PE = 18
H_CALL = 19
H_COLOR = 20
H_A = 21
H_B = 22
H_KEY = 23  # .. seven numbers
H_FLYING = 33  # words that are on their way to a queue
H_DECIDING = 34  # whether links are being decided
H_SLOTS = 35  # slots of the calendar that have events, as bits
H_NODE_FREE = 36  # head of the list of free nodes of the calendar
H_STREAMS = 37  # streams-through that have begun and not ended
H_HEARD = 38  # whether a message has come to a host that listens
H_LIVE = 30  # words that exist
H_STAMP = 31  # of the marks of SRAM
H_MOST = 32  # the most words that ever existed at once
# .. where tables start:
(
    A_LINKS,
    A_NEIGHBOURS,
    A_AHEAD,
    A_ACTIVE,
    A_AGAIN,
    A_STACK,
    A_CHANNELS,
    A_TAKERS,
    A_MOVES,
    A_PES,
    A_TURNS,
    A_EXITS,
    A_SOURCES,
    A_PLACES,
    A_HOSTS,
    A_WHEEL,
    A_WHEEL_COUNTS,
    A_EVENTS,
    A_RUNS,
    A_LISTS,
    A_NODES,
    A_DUE,
    A_ROWS,
    A_ENVIRONMENT,
    A_COUNTERS,
    A_STEPS,
    A_INSTRUCTIONS,
    A_OPERANDS,
    A_CODE,
    A_ADDRESSES,
    A_SLOTS,
    A_NAMED,
    A_DECLARED,
    A_PHASE_ENDS,  # of each phase, then each PE: clock, hops and stages when it left, clock when it came
    A_LIVE,
    A_RIVALS,
    A_COLORS,
    A_VIEWS,
    A_MARKS,
    A_FAULTS,
    A_ARRIVED,
) = range(40, 81)
# .. arrays of their own:
P_QUEUES, P_ROUTES, P_WORDS, P_FREE, P_MEMORY, P_SCRATCH, P_IMMEDIATES, P_COSTS, P_SELF = range(81, 90)
# .. addresses of compiled functions:
P_CALCULATE, P_RUN_PE, P_SETTLE, P_TAKE_THROUGH, P_CAN_BRANCH, P_BRANCH, P_DISTURB = range(90, 97)
# .. sizes:
(
    B_PES,
    B_COLORS,
    B_COLOR_LIMIT,
    B_MOVES,
    B_QUEUE,
    B_ACTIVE,
    B_WHEEL,
    B_SLOT,
    B_NAMES,
    B_DEPTH,
    B_DECLARED,
    B_COSTS,
    B_SRAM,
    B_EVENTS,
    B_SHIFT,
    B_FAULTS,
    B_RUNS,
) = range(97, 114)
# .. and the target's and the run's numbers:
(
    X_QUEUE_WORDS,
    X_LINK_WORDS,
    X_RAMP_WORDS,
    X_HOP,
    X_RAMP,
    X_ISSUE,
    X_ROUTE_WRITE,
    X_WAKEUP,
    X_LOOP,
    X_BRANCH,
    X_INPUT_QUEUES,
    X_OUTPUT_QUEUES,
    X_ASYNC_MOVES,
    X_LAUNCH,
    X_SETUP,
    X_PER_LAYER,
    X_CHECKED,
    X_LISTENS,  # whether compiled code comes back when a message has come to the host
    X_MAX_CYCLES,
) = range(114, 133)
HEADER_SIZE = 136

#: Zero as compiled code's own integer: the literal would make a version of a function of its own.
ZERO = np.int64(0)

# Events, in the order in which those of one cycle are handled.
RUN_PE, BEGIN_OUT, BEGIN_POST, TURN = 0, 1, 2, 3
EVENT_TIME, EVENT_KIND = 1 << 24, 1 << 22
#: Cycles that the calendar holds in slots, a slot each.
SLOTS = 64

# A node of a slot's list, numbered from 1 on.
C_KEY = 0
C_NEXT = 1
C_SIZE = 2

# Why compiled code came back to Python.
(
    FINISHED,
    PAUSED,
    WANTS_WORDS,
    WANTS_COST,
    WANTS_ROW,
    ERROR_DTYPE,
    ERROR_SPLIT_WORD,
    ERROR_LEAVES_FABRIC,
    ERROR_ROUTE_RACE,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ASYNC_MOVES,
    ERROR_HOST_OVERFLOW,
    ERROR_COLOR,
    ERROR_HELD,
    ERROR_STALE,
    ERROR_OPERANDS,
    ERROR_DIVISION,
    ERROR_NAME,
    ERROR_MAX_CYCLES,
    ERROR_DAMAGED,
    ERROR_MISSING,
    ERROR_FULL,
    ERROR_OVERFLOW,
    ERROR_SHORT,
) = np.arange(27)

# Kinds of faults.
STUCK, LOST, DAMAGED, HALTED, DEAF, SHORT = np.arange(1, 7)

# Kinds of moves.
SEND, RECV, RECV_ADD, RECV_MAX, STREAM_COPY, STREAM_ADD, STREAM_MAX = 0, 1, 2, 3, 4, 5, 6
