"""The machine's state as arrays of 64-bit records, which compiled code reads and writes.

A record is a row of an ``int64`` array; the constants below name its columns. Records
are linked into lists by row number; row 0 is never used, so 0 means "none" and fresh
zeroed memory is a valid empty state. PEs and routers of all regions are numbered in one
sequence (region by region, row by row); *dense colors* number the colors that the
program uses. Times are cycles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

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
M_SEND = 14  # the send record that waits for room on its account
M_DISTANCE = 15  # hops so far
M_BASE = 16  # the memory it owns starts here
M_COLUMNS = 18

# A node: a move that waits for words, a send that waits for room, or one place where it waits.
N_NEXT = 0
P_KIND = 1
P_PE = 2
P_ADDR = 3
P_VIEW = 4
P_N = 5
P_DTYPE = 6
P_START = 7  # when its first word may be taken
P_HANDLE = 8
P_OUT = 9  # dense color that a stream-through sends to
P_ROW = 10  # row of the metrics
P_CALL = 11
P_PERIOD = 12  # cycles per word
P_HOPS = 13
P_STAGES = 14

S_OWNER = 1
S_HANDLE = 2
S_TIME = 3
S_HOPS = 4
S_STAGES = 5
S_LEFT = 6  # places that still lack room
S_CALL = 7

W_TARGET = 1  # words that the queue's owner must have taken
W_SEND = 2
N_COLUMNS = 16

# The queue of one PE and color: messages that have arrived and moves that wait for them.
F_MESSAGE_HEAD = 0
F_MESSAGE_TAIL = 1
F_POST_HEAD = 2
F_POST_TAIL = 3
F_ELEMENTS = 4  # elements that have arrived and were not taken
F_ENTERED = 5  # words that ever arrived
F_TAKEN = 6  # words that were ever taken
F_CHUNK = 7  # F_TAKEN before the latest take, whose first and last word were taken at:
F_CHUNK_FIRST = 8
F_CHUNK_LAST = 9
F_ROOM_HEAD = 10  # sends that wait for room
F_COLUMNS = 12

# Words that wait at a router port.
K_HEAD = 0
K_TAIL = 1
K_WORDS = 2
K_COLUMNS = 3

# A handle of a PE.
H_STATE = 0  # IDLE, FLYING or DONE
H_TIME = 1
H_HOPS = 2
H_STAGES = 3
H_KIND = 4
H_COLOR = 5
H_CALL = 6
H_LOW = 7  # memory it holds, [low, high)
H_HIGH = 8
H_COLUMNS = 10
IDLE, FLYING, DONE = 0, 1, 2

# A PE.
E_CLOCK = 0
E_HOPS = 1
E_STAGES = 2
E_BLOCKED = 3  # why it does not run: one of the constants below
E_ON = 4  # the handle it waits for, or the dense color
E_CALL = 5  # the instruction it waits in
E_ROW = 6
E_RECEIVES = 7  # asynchronous moves under way, by direction
E_SENDS = 8
E_MOVES = 9
E_COLUMNS = 10
RUNNING, ON_WORDS, ON_ROOM, ON_HANDLE, ON_ROUTE = 0, 1, 2, 3, 4

# Kinds of moves.
SEND, RECV, RECV_ADD, RECV_MAX, STREAM_COPY, STREAM_ADD, STREAM_MAX = 0, 1, 2, 3, 4, 5, 6
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

# Element dtypes.
F32, F16, BF16, I32 = 0, 1, 2, 3
DTYPES = {"f32": F32, "f16": F16, "bf16": BF16, "i32": I32}

# Router ports; the opposite of port p is (p + 2) % 4 for the four directions.
NORTH, EAST, SOUTH, WEST, RAMP = 0, 1, 2, 3, 4
PORT_NUMBERS = {"N": NORTH, "E": EAST, "S": SOUTH, "W": WEST, "RAMP": RAMP}
LINKS = 6  # per router: the four directions, RAMP from the PE, RAMP to the PE
RAMP_IN, RAMP_OUT = 4, 5

# A link.
L_FIRST = 0  # the latest interval in which it was busy, [first, end), and the words in it
L_END = 1
L_BUSY = 2
L_WORDS = 3  # words it ever carried
L_COLUMNS = 4

# A route of one router and dense color.
R_CONFIG = 0  # source port + 1, plus 8 times the mask of destination ports; 0 for no route
R_SINCE = 1  # when it took effect
R_BEFORE = 2  # the source port + 1 of the configuration before
R_PASSED = 3  # when the last word of another PE had passed
R_OWN = 4  # when the last word of this PE had passed
R_COLUMNS = 5

# A place where words leave to the host.
O_BASE = 0  # in ``memory``
O_EXPECTED = 1
O_GOT = 2
O_DTYPE = 3
O_COLUMNS = 4

# A view: four extents, then four strides, then 1 when its elements are consecutive.
V_DENSE = 8
V_COLUMNS = 9

# Metrics by row.
T_WORDS = 0
T_WAIT = 1
T_COLUMNS = 2

# Single counters.
C_MESSAGE_TOP = 0
C_NODE_TOP = 1
C_NODE_FREE = 2
C_MEMORY_TOP = 3
C_WOKEN = 4
C_WORK_HEAD = 5
C_WORK_TAIL = 6
C_LATEST = 7
C_CONTENDED = 8
C_STALLED = 9
C_ROUTE_WRITES = 10
C_HOST_IN = 11
C_HOST_OUT = 12
C_ERROR = 13  # one of the constants below, and what it concerns:
C_ERROR_PE = 14
C_ERROR_COLOR = 15
C_ERROR_CALL = 16
C_ERROR_A = 17
C_ERROR_B = 18
C_LAST_HOPS = 19  # critical path of the latest host output
C_LAST_STAGES = 20
C_LAST_OUT = 21
C_FREE_MESSAGES = 32  # heads of the lists of free messages, by size class
C_COLUMNS = 64

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
) = range(15)


class Timing(NamedTuple):
    """The target's numbers that the fabric needs, as plain integers; ``*_period`` is by dtype."""

    issue: int
    setup: int
    launch: int
    wakeup: int
    hop: int
    ramp: int
    queue_words: int
    word_bytes: int
    link_words: int
    ramp_words: int
    route_write: int
    input_queues: int
    output_queues: int
    async_moves: int


class State(NamedTuple):
    """Everything that compiled code works on. P PEs, C dense colors, H handles."""

    memory: Any  # f32[..]: all SRAM buffers, then messages; i32 buffers are held bit for bit
    integers: Any  # i32[..]: the same memory
    counters: Any  # i64[C_COLUMNS]
    pes: Any  # i64[P, E_COLUMNS]
    messages: Any  # i64[.., M_COLUMNS]
    nodes: Any  # i64[.., N_COLUMNS]
    queues: Any  # i64[P * C, F_COLUMNS]
    handles: Any  # i64[P * H, H_COLUMNS]
    routes: Any  # i64[C * P, R_COLUMNS]
    parked: Any  # i64[C * P * 5, K_COLUMNS]
    links: Any  # i64[P * LINKS, L_COLUMNS]
    neighbours: Any  # i32[P, 4]: -1 beyond the region
    exits: Any  # i32[C * P * 4]: place where words leave to the host, or 0
    places: Any  # i64[.., O_COLUMNS]
    views: Any  # i64[.., V_COLUMNS]
    metrics: Any  # i64[.., T_COLUMNS]
    woken: Any  # i32[P]: PEs whose move or wait ended in this call
    work: Any  # i32[..]: messages to send on, a ring
    color_numbers: Any  # i64[..]: color -> dense color, -1 for one the program does not route
    switched: Any  # u1[C]: 1 where a ``route`` instruction rewrites the color
    colors: int
    handle_count: int
    pe_count: int
    timing: Timing


def empty_counters() -> np.ndarray:
    """Counters at the start of a run: record 0 of every kind is reserved."""
    counters = np.zeros(C_COLUMNS, np.int64)
    counters[C_MESSAGE_TOP] = counters[C_NODE_TOP] = 1
    return counters
