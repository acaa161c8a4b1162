"""The log of what moves did with elements, kept while a round of a loop is watched; :mod:`.redo` does it again.

Places are noted so that they hold in later rounds: elements of a buffer by the cell that
names its address, which rotation and sharing exchange, and by how far behind that they lie;
elements of a message by their address, for between rounds no message is under way.
"""

from __future__ import annotations

from meshrt.compiled import inline
from meshrt.engines.batched.records import (
    B_LOG_END,
    C_LOG,
    C_LOG_LACKS,
    D_DONE,
    D_FROM,
    D_FROM_AT,
    D_FROM_CALL,
    D_GROUP,
    D_N,
    D_RESULT,
    D_SIZE,
    D_TO,
    D_TO_AT,
    D_WHAT,
    G_ELEMENTS,
)

# What was done: elements copied, gathered from the view of a send, taken by a move; a row shared, or made its own.
COPIED, GATHERED, TAKEN, SHARED, OWNED = 0, 1, 2, 3, 4


@inline
def log(r, what, g, n, cell, source, call, to_cell, to, result, done):
    """Note what was done with n elements from ``source`` on, in the buffer of a cell or, where that is 0, a message.

    ``call`` is the instruction whose view the source is, ``g`` the group of the move that took them.
    """
    e = r[C_LOG]
    if e != 0:
        # A buffer that was rotated away under a move is not where its name says.
        within = to - r[to_cell]
        if e + D_SIZE > r[B_LOG_END] or (to_cell != 0 and not 0 <= within < r[g + G_ELEMENTS]):
            r[C_LOG_LACKS] = 1
        else:
            r[e + D_WHAT] = what
            r[e + D_GROUP] = g
            r[e + D_N] = n
            r[e + D_FROM] = cell
            r[e + D_FROM_AT] = source - r[cell]
            r[e + D_FROM_CALL] = call + 1 if cell != 0 else 0
            r[e + D_TO] = to_cell
            r[e + D_TO_AT] = within
            r[e + D_RESULT] = result
            r[e + D_DONE] = done
            r[C_LOG] = e + D_SIZE
