"""With ``--checked``: what every word carries along, and the receive that looks at it.

A word of a checked run knows the PE that sent it, the number of its move among those of
that PE and color, its place in the move and a checksum over all of that and its value. A
receive compares: a damaged word has another checksum (M0532); where a word was lost the
next one has another place, or another move begins before the one before has ended (M0533).
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    ERROR_DAMAGED,
    ERROR_MISSING,
    LAST,
    W_CHECK,
    W_INDEX,
    W_KIND,
    W_SENDER,
    W_SERIAL,
    W_VALUE,
    ZERO,
)

#: Fields behind the one that names a sender.
SERIAL, EXPECT = 1, 2
#: An odd number with many bits set: multiplying by it spreads a changed bit over those above.
_SPREAD = np.int64(-7046029254386353131)


@inline
def checksum(words, w):
    """A number that another value, dtype, sender or place of a word almost surely changes."""
    total = words[w + W_VALUE] * _SPREAD
    total = (total ^ words[w + W_KIND]) * _SPREAD
    total = (total ^ words[w + W_SENDER]) * _SPREAD
    total = (total ^ words[w + W_SERIAL]) * _SPREAD
    total = (total ^ words[w + W_INDEX]) * _SPREAD
    return total ^ (total >> 29)


@internal
def seal(words, w, sender, serial):
    """Fill in what a word carries along when it is sent."""
    words[w + W_SENDER] = sender
    words[w + W_SERIAL] = serial
    words[w + W_CHECK] = checksum(words, w)


@internal
def verify(r, words, w, before, pe, color, call):
    """A word that is about to be taken is what its sender sent, and follows the one taken ``before``.

    That is three fields of a channel (F_SENDER and those behind it) or of a place of the host.
    """
    if words[w + W_CHECK] != checksum(words, w):
        fail(r, ERROR_DAMAGED, pe, color, call, words[w + W_SENDER], words[w + W_INDEX])
        return
    expected, index = r[before + EXPECT], words[w + W_INDEX]
    follows = words[w + W_SENDER] == r[before] and words[w + W_SERIAL] == r[before + SERIAL]
    if index != expected or (expected != 0 and not follows):
        fail(r, ERROR_MISSING, pe, color, call, expected, ZERO)
        return
    r[before] = words[w + W_SENDER]
    r[before + SERIAL] = words[w + W_SERIAL]
    r[before + EXPECT] = 0 if words[w + W_KIND] & LAST else index + 1
