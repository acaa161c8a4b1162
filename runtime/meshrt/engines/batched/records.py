"""The machine's state as records of 64-bit integers in one array, which compiled code reads and writes.

A record is named by the index of its first entry (its *address*); the constants below
are the offsets of its fields. Address 0 holds the counters, so 0 also means "none", and
zeroed memory is a valid empty state. Records are linked into lists by address. PEs and
routers of all regions are numbered in one sequence (region by region, row by row);
*dense colors* number the colors that the program uses. Times are cycles.
"""

from __future__ import annotations

import numpy as np

from meshrt.engines.loading.codes import (
    BF16,
    DTYPES,
    EAST,
    F16,
    F32,
    I32,
    NORTH,
    PORT_NUMBERS,
    PORTS,
    RAMP,
    SIDES,
    SOUTH,
    WEST,
)

__all__ = [
    "BF16",
    "DTYPES",
    "EAST",
    "F16",
    "F32",
    "I32",
    "NORTH",
    "PORTS",
    "PORT_NUMBERS",
    "RAMP",
    "SIDES",
    "SOUTH",
    "WEST",
]

# A message: consecutive elements on their way, or waiting at a PE or a router.
M_NEXT = 0
M_ADDR = 1  # first element in ``memory``
M_CLASS = 2  # size class of the memory it owns, 0 when it only refers to a sender's buffer
M_N = 3  # elements left in it
M_DTYPE = 4
M_COLOR = 5
M_FIRST = 6  # when its first word is there (injected, or arrived)
M_LAST = 7
M_HOPS = 8  # critical path of its sender
M_STAGES = 9
M_OWNER = 10  # sending PE, -1 for the host
M_HANDLE = 11  # what ends when its words have left: a handle, BLOCKING or NOTHING
M_END = 12  # when its last word has left the sender, if nothing holds it up
M_CALL = 13  # the instruction that sent it
M_ROW = 14  # row of the metrics that its way belongs to
M_SEND = 15  # the send record that waits for room on its account
M_DISTANCE = 16  # hops so far
M_BASE = 17  # the memory it owns starts here
M_ROUTER = 18  # where it goes on from
M_PORT = 19
M_WORDS = 20
M_WHOLE = 21  # not 0 when it refers to a whole row that may be shared
M_CELL = 22  # where the address of the buffer that it refers to is named, 0 when it owns its memory
M_SIZE = 24

# What a call of compiled code is to do.
DO_SEND, DO_RECEIVE, DO_ROUTE, DO_INJECT = 0, 1, 2, 3

# What the moves of one instruction have in common.
G_KIND = 0
G_N = 1
G_DTYPE = 2
G_VIEW = 3
G_PERIOD = 4  # cycles per word
G_HANDLE = 5
G_CALL = 6
G_ROW = 7  # row of the metrics
G_WORDS = 8
G_DENSE = 9  # 1 when the view's elements are consecutive
G_SPAN = 10  # elements from the first to the last, that one included
G_CELLS = 11  # where the rows of a shareable buffer that is moved whole are named, or 0 (see :mod:`.sharing`)
G_POOL = 12  # head of the list of its free rows
G_WORD_EVENTS = 13  # which vector says what one of its words costs; see :mod:`.critical`
G_BUFFER = 14  # where the addresses of its buffer are named, one cell for each PE
G_ELEMENTS = 15  # elements of that buffer
G_SIZE = 16

# A slot: what one move of a PE is doing. A PE has one for each handle and one for its blocking moves.
P_NEXT = 0  # in the list of those that wait for words of a channel
P_GROUP = 1
P_PE = 2  # the PE, plus OUT times the dense color that a stream-through sends to
P_ADDR = 3
P_START = 4  # when its first word may be taken or is sent; when it has ended, the time of its end
P_STATE = 5  # IDLE, FLYING or DONE, plus COLOR times its dense color
P_HOPS = 6  # critical path at its start, then at its end
P_STAGES = 7
P_SIZE = 8
IDLE, FLYING, DONE = 0, 1, 2
COLOR = 4
OUT = 1 << 32

# A node. A send that waits for room:
N_NEXT = 0
S_OWNER = 1
S_HANDLE = 2
S_TIME = 3
S_HOPS = 4
S_STAGES = 5
S_LEFT = 6  # places that still lack room
S_END = 7  # when it ends if no place lacks room
S_WORDS = 8  # words that found no room when they were sent
# .. and one place where it waits:
W_TARGET = 1  # words that the channel's PE must have taken
W_SEND = 2
N_SIZE = 9

# A channel: one color at one PE and its router. The fields that every message meets share a cache line.
F_PART = 0  # elements that the first of them has taken already
F_POST_HEAD = 1  # moves that wait for words
F_ELEMENTS = 2  # elements that have arrived and were not taken
F_ENTERED = 3  # words that ever arrived
F_TAKEN = 4  # words that were ever taken
F_CHUNK = 5  # F_TAKEN before the latest take, whose first and last word were taken at:
F_CHUNK_FIRST = 6
F_CHUNK_LAST = 7
F_POST_TAIL = 8
F_MESSAGE_HEAD = 9  # messages that have arrived
F_MESSAGE_TAIL = 10
F_ROOM_HEAD = 11  # sends that wait for room
F_SINCE = 12  # when the route took effect
F_BEFORE = 13  # the source port + 1 of the route before
F_PASSED = 14  # when the last word of another PE had passed the router
F_OWN = 15  # when the last word of this PE had passed
F_SIZE = 16

# Words that wait at a router port.
K_HEAD = 0
K_TAIL = 1
K_WORDS = 2
K_SIZE = 3

# A PE, with its RAMP's links.
E_CLOCK = 0
E_HOPS = 1
E_STAGES = 2
E_MOVES = 3  # asynchronous moves under way: receives + MANY * sends + MANY**2 * all
E_RAMP_IN = 4  # a link
E_RAMP_OUT = 8  # a link
E_BLOCKED = 12  # why it does not run: one of the constants below
E_ON = 13  # the handle it waits for, or the dense color
E_CALL = 14  # the instruction it waits in
E_ROW = 15  # the row of the metrics that its waiting belongs to
E_SIZE = 16
MANY = 1 << 20
RUNNING, ON_WORDS, ON_ROOM, ON_HANDLE, ON_ROUTE = 0, 1, 2, 3, 4

# Kinds of moves.
SEND, RECV, RECV_ADD, RECV_MAX, STREAM_COPY, STREAM_ADD, STREAM_MAX, ROUTE = 0, 1, 2, 3, 4, 5, 6, 7
KINDS = {
    "send": SEND,
    "recv": RECV,
    "recv_add": RECV_ADD,
    "recv_max": RECV_MAX,
    "stream_copy": STREAM_COPY,
    "stream_add": STREAM_ADD,
    "stream_max": STREAM_MAX,
}
BLOCKING, NOTHING = -1, -2

# A link.
L_FIRST = 0  # the latest interval in which it was busy, [first, end), and the words in it
L_END = 1
L_BUSY = 2
L_WORDS = 3  # words it ever carried
L_SIZE = 4

# A place where words leave to the host.
O_BASE = 0  # in ``memory``
O_EXPECTED = 1
O_GOT = 2
O_DTYPE = 3
O_TIME = 4  # when the last of them left
O_SIZE = 5

# A view: four extents, then four strides.
V_EXTENT = 0
V_STRIDE = 4
V_SIZE = 8

# A row of the metrics.
T_WORDS = 0
T_WAIT = 1
T_HOPS = 2  # words times the links that each crossed
T_SIZE = 3
METRIC_ROWS = 1 << 16
HOST_ROW = METRIC_ROWS - 1  # what the host sends belongs to no operation

# An entry of the log of what was done with elements, so that it can be done again; see :mod:`.value_log`.
D_WHAT = 0
D_GROUP = 1  # the move that it was done for
D_N = 2
D_FROM = 3  # the cell that names where elements come from, and how far behind that they lie; 0 and an address
D_FROM_AT = 4
D_FROM_CALL = 5  # the instruction whose view that was, plus one; 0 for none
D_TO = 6  # the same for where they go to
D_TO_AT = 7
D_RESULT = 8  # where the result of a stream-through goes to
D_DONE = 9  # elements that the move had before
D_SIZE = 10

# The header, at address 0. Counters:
C_MESSAGE_TOP = 1
C_NODE_TOP = 2
C_NODE_FREE = 3
C_MEMORY_TOP = 4
C_WOKEN = 5
C_WORK_HEAD = 6
C_WORK_TAIL = 7
C_LATEST = 8
C_CONTENDED = 9
C_STALLED = 10
C_ROUTE_WRITES = 11
C_HOST_IN = 12
C_HOST_OUT = 13
C_ERROR = 14  # one of the constants below, and what it concerns:
C_ERROR_PE = 15
C_ERROR_COLOR = 16
C_ERROR_CALL = 17
C_ERROR_A = 18
C_ERROR_B = 19
C_LAST_HOPS = 20  # critical path of the latest host output
C_LAST_STAGES = 21
C_LAST_OUT = 22
C_PARKED = 23  # messages parked at routers
C_QUEUED = 24  # messages that lie at PEs
C_POSTED = 25  # moves that wait for words
C_LOG = 26  # the next entry of the log of values, 0 while none is kept
C_LOG_LACKS = 27  # 1 when something happened that the log cannot hold
# .. where the tables start, for P PEs, C dense colors, H handles and B buffers:
A_PES = 32  # P records E
A_CHANNELS = 33  # C * P records F
A_SLOTS = 34  # (H + 1) * P records P; the last P are those of blocking moves
A_PARKED = 35  # C * P * PORTS records K
A_LINKS = 36  # P * SIDES records L
A_NEIGHBOURS = 37  # P * SIDES router numbers, -1 beyond the region
A_EXITS = 38  # C * P * SIDES addresses of records O, or 0
A_PLACES = 39  # records O
A_METRICS = 40  # records T
A_VIEWS = 41  # records V
A_GROUPS = 42  # records G
A_WOKEN = 43  # P PE numbers: those whose move or wait ended in this call
A_WORK = 44  # a ring of messages to send on
A_STACK = 45  # records Q, one for each router
A_COLORS = 46  # color -> dense color, -1 for one that the program does not route
A_SWITCHED = 47  # C flags: 1 where a ``route`` instruction rewrites the color
A_MESSAGES = 48  # records M
A_NODES = 49  # records N
A_CELLS = 50  # B * P addresses: where each buffer of a PE lies in ``memory``
A_POOLS = 51  # heads of the lists of free rows
A_PE_EVENTS = 53  # vectors of :mod:`.critical`: of P clocks, (H + 1) * P slots, ..
A_SLOT_EVENTS = 54
A_MESSAGE_EVENTS = 55  # .. and two of each message
A_ROUTES = 52  # C * P routes: source port + 1, plus 8 times the mask of destination ports; 0 for none
# .. sizes:
B_PES = 56
B_COLORS = 57
B_COLOR_LIMIT = 58
B_WORK_MASK = 59  # entries of the ring, a power of two, less one
B_MESSAGES_END = 60
B_NODES_END = 61
B_MEMORY_END = 62
B_HANDLES = 63
# .. the target's numbers:
X_ISSUE = 64
X_SETUP = 65
X_LAUNCH = 66
X_WAKEUP = 67
X_HOP = 68
X_RAMP = 69
X_QUEUE_WORDS = 70
X_WORD_BYTES = 71
X_LINK_WORDS = 72
X_RAMP_WORDS = 73
X_ROUTE_WRITE = 74
X_INPUT_QUEUES = 75
X_OUTPUT_QUEUES = 76
X_ASYNC_MOVES = 77
X_VECTOR_ISSUE = 78
X_VALUES = 79  # 1 when memory holds values, 0 when only time is kept
X_EVENTS = 80  # 1 when every time has a vector of its causes
# .. and heads of the lists of free messages, by size class.
C_FREE_MESSAGES = 88
# .. and more tables.
A_SEND_EVENTS = 128
A_SCRATCH_EVENTS = 129
A_WORD_EVENTS = 130
B_STACK = 131  # entries of the stack
A_LOG = 132  # records D
B_LOG_END = 133
HEADER_SIZE = 144

#: Zero as compiled code's own integer: the literal would make a version of a function of its own.
ZERO = np.int64(0)

# Failures of a run that compiled code reports.
(
    ERROR_NONE,
    ERROR_FULL,
    ERROR_DTYPE,
    ERROR_SPLIT_WORD,
    ERROR_LEAVES_FABRIC,
    ERROR_ROUTE_LOOP,
    ERROR_ROUTE_RACE,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ASYNC_MOVES,
    ERROR_HOST_OVERFLOW,
    ERROR_COLOR,
    ERROR_HELD,
) = np.arange(15)

# A router that a message still has to pass, on one of several branches: an entry of the stack.
Q_ROUTER = 0
Q_PORT = 1
Q_FIRST = 2
Q_LAST = 3
Q_DISTANCE = 4
Q_SIZE = 5
