"""Acts: what a generated program is made of.

An act is a frozen dataclass of small integers and words. ``write(sheet)`` gives its statements, the same for all PEs
of a region, and takes the colors and buffers that it needs from the sheet. Acts hold these rules, from which it
follows that any sequence of them runs to its end on any target:

- The communications of an act have an order, and every PE meets those that it takes part in in that order; the acts
  themselves stand in the order of the program. So of all that are waiting, the first in order has a partner that
  waits for nothing else. Exchanges, where each PE sends before it receives, are asynchronous, or so small that the
  queues of the target hold the words.
- A color belongs to one act, on the routers that the act has taken it for. Nobody else's words are on it.
- An act that rewrites routes leaves them as it found them if it may run again, and only then goes on.
- What asynchronous moves hold is left alone until their ``wait`` (:meth:`tests.differential.sheet.Sheet.holding`).
- A number that is too large for the region, the dtypes or the vectors is reduced by its remainder, and an act that
  finds no place (a line of one PE, no color left) writes nothing.
"""

from __future__ import annotations

from typing import Protocol

from tests.differential.sheet import Sheet
from tests.differential.statements import Body


class Act(Protocol):
    """What a program is made of; see the package."""

    def write(self, sheet: Sheet) -> Body:
        """The act's statements, for every PE of the region.

        Raises :class:`tests.differential.sheet.OutOfColors` where it would need one more.
        """
        ...
