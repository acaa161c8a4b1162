"""Who waits for whom when nothing moves any more, and the shortest cycle of waits.

Every PE that is blocked waits for something that one PE would have to do: send, receive, or set a route. What it is
follows from the queues: an empty inbox leads upstream to the PE that should have sent, a full queue downstream to the
PE that should have received. All of it is needed at once (no wait has an alternative), so a cycle never ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.proofs.records import (
    BLOCKED,
    ENDED,
    F_BEYOND,
    F_COLOR,
    F_INPUT,
    F_OUTPUTS,
    F_PE,
    F_QUEUES,
    F_RECEIVERS,
    F_SENDERS,
    INBOX,
    M_IN,
    M_KIND,
    M_OUT,
    P_ON,
    P_STATUS,
    RAMP,
    SEND,
    SIDES,
    STREAM,
)
from meshrt.program.proofs.state import State

# What is waited for.
WORDS, ROOM, ROUTE, HOST = "words", "room", "route", "host"


@dataclass(frozen=True, slots=True)
class Wait:
    """A blocked PE waits, for words or room on a color, for another PE (numbers in the region) or the host (-1).

    ``on`` says what that PE would have to do: send (WORDS), receive (ROOM) or set the route of the color (ROUTE).
    """

    pe: int
    move: int
    color: int
    wants: str
    target: int
    on: str


class Waits:
    """The waits of a state in which nothing moves."""

    def __init__(self, state: State):
        self._state = state
        self._s = state.s
        self.blocked = np.flatnonzero(state.pes[:, P_STATUS] == BLOCKED).tolist()
        self._of: dict[int, Wait] = {}

    def of(self, pe: int) -> Wait:
        """What a blocked PE waits for; of several full outputs of a multicast, the first."""
        if pe not in self._of:
            move = int(self._state.pes[pe, P_ON])
            color, wants, target, on = self._reason(move)
            self._of[pe] = Wait(pe, move, color, wants, target, on)
        return self._of[pe]

    def cycle(self) -> list[Wait]:
        """The shortest cycle of waits, its first PE the smallest; empty where there is none."""
        best: list[int] = []
        done: set[int] = set()
        for start in self.blocked:
            path: list[int] = []
            at = start
            while at in self._blocked_set and at not in done and at not in path:
                path.append(at)
                at = self.of(at).target
            if at in path:
                found = path[path.index(at) :]
                if not best or len(found) < len(best):
                    best = found
            done.update(path)
        if not best:
            return []
        first = best.index(min(best))
        return [self.of(pe) for pe in best[first:] + best[:first]]

    def dead_ends(self) -> list[Wait]:
        """Waits for a PE that has ended, or for the host: nothing will come of them."""
        found = []
        for pe in self.blocked:
            wait = self.of(pe)
            if wait.target < 0 or self._state.pes[wait.target, P_STATUS] == ENDED:
                found.append(wait)
        return found

    @property
    def _blocked_set(self) -> set[int]:
        return set(self.blocked)

    def _number(self, f: int) -> int:
        return self._state.pe_number(int(self._s[f + F_PE]))

    def _queue(self, f: int, port: int) -> int:
        """Words in a queue of a channel."""
        return int(self._s[f + F_QUEUES + port * self._state.layout.queue_size])

    def _full(self, f: int, port: int) -> bool:
        return self._queue(f, port) >= self._state.layout.capacity

    def _reason(self, m: int) -> tuple[int, str, int, str]:
        """Color, words or room, the PE that would have to do something, and what."""
        s = self._s
        kind, f, out = int(s[m + M_KIND]), int(s[m + M_IN]), int(s[m + M_OUT])
        if kind == SEND:
            first = int(s[out + F_SENDERS])
            if first != m and first:
                return self._reason(first)
            return int(s[out + F_COLOR]), ROOM, *self._congested(out, RAMP)
        first = int(s[f + F_RECEIVERS])
        if first != m and first:
            return self._reason(first)
        if self._queue(f, INBOX) and kind == STREAM:
            sender = int(s[out + F_SENDERS])
            if sender != m and sender:
                return self._reason(sender)
            return int(s[out + F_COLOR]), ROOM, *self._congested(out, RAMP)
        return int(s[f + F_COLOR]), WORDS, *self._starving(f)

    def _starving(self, f: int) -> tuple[int, str]:
        """Why no word comes into the inbox of channel f."""
        s = self._s
        towards, seen = RAMP, set()
        while f not in seen:
            seen.add(f)
            side = int(s[f + F_INPUT])
            if side < 0 or not s[f + F_OUTPUTS] >> towards & 1:
                return self._number(f), ROUTE
            if self._queue(f, side):
                return self._full_output(f)
            if side == RAMP:
                sender = int(s[f + F_SENDERS])
                if sender and s[sender + M_KIND] == STREAM:
                    # The stream of this PE has nothing to pass on.
                    f, towards = int(s[sender + M_IN]), RAMP
                    if self._queue(f, INBOX):
                        return self._number(f), ROOM
                    continue
                return self._number(f), WORDS
            beyond = int(s[f + F_BEYOND + side])
            if beyond == 0:
                return -1, HOST
            f, towards = beyond, side ^ 2
        return self._number(f), WORDS

    def _congested(self, f: int, port: int) -> tuple[int, str]:
        """Why a full queue of channel f does not empty."""
        if self._s[f + F_INPUT] != port:
            return self._number(f), ROUTE
        return self._full_output(f)

    def _full_output(self, f: int) -> tuple[int, str]:
        s = self._s
        seen: set[int] = set()
        while f not in seen:
            seen.add(f)
            outputs = int(s[f + F_OUTPUTS])
            if outputs >> RAMP & 1 and self._full(f, INBOX):
                return self._number(f), ROOM
            following = 0
            for side in range(SIDES):
                beyond = int(s[f + F_BEYOND + side])
                if outputs >> side & 1 and beyond and self._full(beyond, side ^ 2):
                    if s[beyond + F_INPUT] != side ^ 2:
                        return self._number(beyond), ROUTE
                    following = beyond
                    break
            if not following:
                # Own words stand behind a change of the route that waits for them.
                return self._number(f), ROUTE
            f = following
        return self._number(f), ROOM
