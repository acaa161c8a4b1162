"""Records of messages and moves: taking, returning and queueing them."""

from __future__ import annotations

from meshrt.engines.batched.compiled import native, native_inline
from meshrt.engines.batched.records import (
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
    ERROR_FULL,
    F16,
    F_ELEMENTS,
    F_MESSAGE_HEAD,
    F_MESSAGE_TAIL,
    F_POST_HEAD,
    F_POST_TAIL,
    M_ADDR,
    M_BASE,
    M_CLASS,
    M_N,
    M_NEXT,
    N_NEXT,
)


@native
def fail(s, error, pe, color, call, a, b):
    """Note the first failure; callers stop soon after, and the engine raises it."""
    c = s.counters
    if c[C_ERROR] == 0:
        c[C_ERROR] = error
        c[C_ERROR_PE] = pe
        c[C_ERROR_COLOR] = color
        c[C_ERROR_CALL] = call
        c[C_ERROR_A] = a
        c[C_ERROR_B] = b


@native_inline
def words_of(s, n, dtype):
    """Words that carry n elements."""
    size = 2 if dtype == F16 or dtype == BF16 else 4
    return (n * size + s.timing.word_bytes - 1) // s.timing.word_bytes


@native_inline
def word_time(first, last, words, j):
    """When word j of a message is there: its words are evenly spaced."""
    if words <= 1:
        return first
    return first + (last - first) * j // (words - 1)


@native
def new_message(s, n):
    """A message with memory for n elements, or without memory when n is 0 (it refers to a buffer)."""
    c = s.counters
    size_class = 0
    if n > 0:
        size_class = 1
        while (1 << (size_class - 1)) < n:
            size_class += 1
    m = c[C_FREE_MESSAGES + size_class]
    if m != 0:
        c[C_FREE_MESSAGES + size_class] = s.messages[m, M_NEXT]
    else:
        m = c[C_MESSAGE_TOP]
        capacity = (1 << (size_class - 1)) if n > 0 else 0
        if m >= s.messages.shape[0] or c[C_MEMORY_TOP] + capacity > s.memory.shape[0]:
            fail(s, ERROR_FULL, -1, -1, -1, m, c[C_MEMORY_TOP])
            m = 0
        else:
            c[C_MESSAGE_TOP] = m + 1
            s.messages[m, M_CLASS] = size_class
            s.messages[m, M_BASE] = c[C_MEMORY_TOP]
            c[C_MEMORY_TOP] += capacity
    s.messages[m, M_NEXT] = 0
    s.messages[m, M_ADDR] = s.messages[m, M_BASE]
    s.messages[m, M_N] = n
    return m


@native_inline
def free_message(s, m):
    """Return a message and its memory."""
    size_class = s.messages[m, M_CLASS]
    s.messages[m, M_NEXT] = s.counters[C_FREE_MESSAGES + size_class]
    s.counters[C_FREE_MESSAGES + size_class] = m


@native_inline
def new_node(s):
    """A node for a waiting move, a send or a place."""
    c = s.counters
    p = c[C_NODE_FREE]
    if p != 0:
        c[C_NODE_FREE] = s.nodes[p, N_NEXT]
    else:
        p = c[C_NODE_TOP]
        if p >= s.nodes.shape[0]:
            fail(s, ERROR_FULL, -1, -1, -1, p, 0)
            p = 0
        else:
            c[C_NODE_TOP] = p + 1
    s.nodes[p, N_NEXT] = 0
    return p


@native_inline
def free_node(s, p):
    """Return a node."""
    s.nodes[p, N_NEXT] = s.counters[C_NODE_FREE]
    s.counters[C_NODE_FREE] = p


@native_inline
def push_message(s, f, m):
    """Append a message to queue f."""
    if s.queues[f, F_MESSAGE_HEAD] == 0:
        s.queues[f, F_MESSAGE_HEAD] = m
    else:
        s.messages[s.queues[f, F_MESSAGE_TAIL], M_NEXT] = m
    s.queues[f, F_MESSAGE_TAIL] = m
    s.queues[f, F_ELEMENTS] += s.messages[m, M_N]


@native_inline
def push_post(s, f, p):
    """Append a waiting move to queue f."""
    if s.queues[f, F_POST_HEAD] == 0:
        s.queues[f, F_POST_HEAD] = p
    else:
        s.nodes[s.queues[f, F_POST_TAIL], N_NEXT] = p
    s.queues[f, F_POST_TAIL] = p


@native_inline
def pop_post(s, f):
    """Remove the first waiting move of queue f and give it."""
    p = s.queues[f, F_POST_HEAD]
    s.queues[f, F_POST_HEAD] = s.nodes[p, N_NEXT]
    s.nodes[p, N_NEXT] = 0
    return p
