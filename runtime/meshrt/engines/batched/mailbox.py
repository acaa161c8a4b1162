"""Records of messages and moves: taking, returning and queueing them."""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.batched.records import (
    A_MESSAGES,
    A_NODES,
    A_WORK,
    B_MEMORY_END,
    B_MESSAGES_END,
    B_NODES_END,
    B_WORK_MASK,
    BF16,
    C_ERROR,
    C_ERROR_A,
    C_ERROR_B,
    C_ERROR_CALL,
    C_ERROR_COLOR,
    C_ERROR_PE,
    C_FREE_MESSAGES,
    C_MEMORY_TOP,
    C_MESSAGE_TOP,
    C_NODE_FREE,
    C_NODE_TOP,
    C_POSTED,
    C_QUEUED,
    C_WORK_TAIL,
    ERROR_FULL,
    F16,
    F_ELEMENTS,
    F_MESSAGE_HEAD,
    F_MESSAGE_TAIL,
    F_POST_HEAD,
    F_POST_TAIL,
    M_ADDR,
    M_BASE,
    M_CALL,
    M_CELL,
    M_CLASS,
    M_COLOR,
    M_DISTANCE,
    M_DTYPE,
    M_END,
    M_FIRST,
    M_HANDLE,
    M_HOPS,
    M_LAST,
    M_N,
    M_NEXT,
    M_OWNER,
    M_PORT,
    M_ROUTER,
    M_ROW,
    M_SEND,
    M_SIZE,
    M_STAGES,
    M_WHOLE,
    M_WORDS,
    N_NEXT,
    N_SIZE,
    P_NEXT,
    X_VALUES,
    X_WORD_BYTES,
    ZERO,
)
from meshrt.engines.batched.value_log import COPIED, log


@internal
def fail(r, error, pe, color, call, a, b):
    """Note the first failure; callers stop soon after, and the engine raises it."""
    if r[C_ERROR] == 0:
        r[C_ERROR] = error
        r[C_ERROR_PE] = pe
        r[C_ERROR_COLOR] = color
        r[C_ERROR_CALL] = call
        r[C_ERROR_A] = a
        r[C_ERROR_B] = b


@inline
def words_of(r, n, dtype):
    """Words that carry n elements."""
    size = 2 if dtype == F16 or dtype == BF16 else 4
    return (n * size + r[X_WORD_BYTES] - 1) // r[X_WORD_BYTES]


@inline
def word_time(first, last, words, j):
    """When word j of a message is there: its words are evenly spaced."""
    if last - first == words - 1:
        return first + j
    return first + (last - first) * j // max(1, words - 1)


@internal
def new_message(r, n):
    """A message with memory for n elements, where the machine keeps values."""
    size_class = 0
    size = n * r[X_VALUES]
    while (1 << size_class) < size:
        size_class += 1
    m = r[C_FREE_MESSAGES + size_class]
    if m != 0:
        r[C_FREE_MESSAGES + size_class] = r[m + M_NEXT]
    else:
        m = r[C_MESSAGE_TOP]
        capacity = (1 << size_class) * r[X_VALUES]
        if m + M_SIZE > r[B_MESSAGES_END] or r[C_MEMORY_TOP] + capacity > r[B_MEMORY_END]:
            fail(r, ERROR_FULL, ZERO, ZERO, -1 + ZERO, (m - r[A_MESSAGES]) // M_SIZE, ZERO)
            return r[A_MESSAGES]
        r[C_MESSAGE_TOP] = m + M_SIZE
        r[m + M_CLASS] = size_class
        r[m + M_BASE] = r[C_MEMORY_TOP]
        r[C_MEMORY_TOP] += capacity
    r[m + M_NEXT] = 0
    r[m + M_ADDR] = r[m + M_BASE]
    r[m + M_N] = n
    r[m + M_WHOLE] = 0
    return m


@inline
def free_message(r, m):
    """Return a message and its memory; the record of outgoing messages stays."""
    if m != r[A_MESSAGES]:
        head = C_FREE_MESSAGES + r[m + M_CLASS]
        r[m + M_NEXT] = r[head]
        r[head] = m


@inline
def outgoing_message(r, at, n, whole, cell):
    """The record for a message that refers to a sender's buffer; it is followed at once, so there is only one."""
    m = r[A_MESSAGES]
    r[m + M_ADDR] = at
    r[m + M_N] = n
    r[m + M_WHOLE] = whole
    r[m + M_CELL] = cell
    return m


@inline
def sent_by(r, m, owner, port, handle, call, row, dtype, color, words, first, last, hops, stages):
    """Fill in a message that leaves a PE (or the host) through a port of the PE's router."""
    r[m + M_DTYPE] = dtype
    r[m + M_COLOR] = color
    r[m + M_WORDS] = words
    r[m + M_FIRST] = first
    r[m + M_LAST] = last
    r[m + M_HOPS] = hops
    r[m + M_STAGES] = stages
    r[m + M_OWNER] = owner
    r[m + M_ROUTER] = owner
    r[m + M_PORT] = port
    r[m + M_HANDLE] = handle
    r[m + M_END] = last + 1
    r[m + M_CALL] = call
    r[m + M_ROW] = row
    r[m + M_SEND] = 0
    r[m + M_DISTANCE] = 0


@internal
def copy_message(r, memory, m, first, last, hops):
    """A message of its own, with its own memory, for what m brings to one place."""
    n = r[m + M_N]
    copy = new_message(r, n)
    for field in range(M_DTYPE, M_DISTANCE):
        r[copy + field] = r[m + field]
    r[copy + M_WORDS] = r[m + M_WORDS]
    r[copy + M_FIRST] = first
    r[copy + M_LAST] = last
    r[copy + M_DISTANCE] = hops
    source, target = r[m + M_ADDR], r[copy + M_ADDR]
    for j in range(n * r[X_VALUES]):
        memory[target + j] = memory[source + j]
    log(r, COPIED, ZERO, n, r[m + M_CELL], source, r[m + M_CALL], ZERO, target, ZERO, ZERO)
    return copy


@inline
def new_node(r):
    """A node for a send that waits, or a place where it waits."""
    p = r[C_NODE_FREE]
    if p != 0:
        r[C_NODE_FREE] = r[p + N_NEXT]
    else:
        p = r[C_NODE_TOP]
        if p + N_SIZE > r[B_NODES_END]:
            fail(r, ERROR_FULL, ZERO, ZERO, -1 + ZERO, (p - r[A_NODES]) // N_SIZE, ZERO)
            p = r[A_NODES]
        else:
            r[C_NODE_TOP] = p + N_SIZE
    r[p + N_NEXT] = 0
    return p


@inline
def free_node(r, p):
    """Return a node."""
    r[p + N_NEXT] = r[C_NODE_FREE]
    r[C_NODE_FREE] = p


@inline
def push_message(r, f, m):
    """Append a message to queue f."""
    if r[f + F_MESSAGE_HEAD] == 0:
        r[f + F_MESSAGE_HEAD] = m
    else:
        r[r[f + F_MESSAGE_TAIL] + M_NEXT] = m
    r[f + F_MESSAGE_TAIL] = m
    r[f + F_ELEMENTS] += r[m + M_N]
    r[C_QUEUED] += 1


@inline
def add_work(r, m):
    """Put a message on the list of those to send on."""
    tail = r[C_WORK_TAIL]
    r[r[A_WORK] + (tail & r[B_WORK_MASK])] = m
    r[C_WORK_TAIL] = tail + 1


@inline
def push_post(r, f, p):
    """Append a waiting move to channel f."""
    r[p + P_NEXT] = 0
    if r[f + F_POST_HEAD] == 0:
        r[f + F_POST_HEAD] = p
    else:
        r[r[f + F_POST_TAIL] + P_NEXT] = p
    r[f + F_POST_TAIL] = p
    r[C_POSTED] += 1
