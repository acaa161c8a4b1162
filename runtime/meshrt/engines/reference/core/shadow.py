"""With ``--checked``: what every word carries along, and the receive that looks at it.

A word of a checked run knows the PE that sent it, the number of its move among those of
that PE and color, its place in the move and a checksum over all of that and its value. A
receive compares: a damaged word has another checksum (M0532); where a word was lost the
next one has another place, or another move begins before the one before has ended (M0533).
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.pointers import i32_at, i64_at
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    ERROR_DAMAGED,
    ERROR_MISSING,
    LAST,
    P_WORDS,
    W_CHECK,
    W_INDEX,
    W_KIND,
    W_SENDER,
    W_SERIAL,
    W_SHORTS,
    W_SIZE,
    W_VALUE,
    ZERO,
)

#: Fields behind the one that names a sender.
SERIAL, EXPECT = 1, 2
#: An odd number with many bits set: multiplying by it spreads a changed bit over those above.
_SPREAD = np.int64(-7046029254386353131)


@inline
def checksum(r, word):
    """A number that another value, dtype, sender or place of a word almost surely changes."""
    words, shorts, w, s = i64_at(r[P_WORDS]), i32_at(r[P_WORDS]), word * W_SIZE, word * W_SHORTS
    total = words[w + W_VALUE] * _SPREAD
    total = (total ^ shorts[s + W_KIND]) * _SPREAD
    total = (total ^ shorts[s + W_SENDER]) * _SPREAD
    total = (total ^ shorts[s + W_SERIAL]) * _SPREAD
    total = (total ^ words[w + W_INDEX]) * _SPREAD
    return total ^ (total >> 29)


@internal
def seal(r, word, sender, serial):
    """Fill in what a word carries along when it is sent."""
    shorts, s = i32_at(r[P_WORDS]), word * W_SHORTS
    shorts[s + W_SENDER] = sender
    shorts[s + W_SERIAL] = serial
    i64_at(r[P_WORDS])[word * W_SIZE + W_CHECK] = checksum(r, word)


@internal
def verify(r, word, before, pe, color, call):
    """A word that is about to be taken is what its sender sent, and follows the one taken ``before``.

    That is three fields of a channel (F_SENDER and those behind it) or of a place of the host.
    """
    words, shorts, w, s = i64_at(r[P_WORDS]), i32_at(r[P_WORDS]), word * W_SIZE, word * W_SHORTS
    sender, serial, index = np.int64(shorts[s + W_SENDER]), np.int64(shorts[s + W_SERIAL]), words[w + W_INDEX]
    if words[w + W_CHECK] != checksum(r, word):
        fail(r, ERROR_DAMAGED, pe, color, call, sender, index)
        return
    expected = r[before + EXPECT]
    follows = sender == r[before] and serial == r[before + SERIAL]
    if index != expected or (expected != 0 and not follows):
        fail(r, ERROR_MISSING, pe, color, call, expected, ZERO)
        return
    r[before] = sender
    r[before + SERIAL] = serial
    r[before + EXPECT] = 0 if shorts[s + W_KIND] & LAST else index + 1
