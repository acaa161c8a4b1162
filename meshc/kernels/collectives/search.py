"""The fastest tree over a line for a payload, a target and a number of colors, by dynamic program.

A subtree is a stretch of the line with one PE that sends the stretch's partial result on: its
*head*, at the stretch's inner end (the one nearer to the root) or amid it. A head takes the
messages of smaller stretches, nearest first, and streams through what the last one sends. So a
stretch of n is a head with a shorter stretch around it and one more child of s (or two, one on either
side), and what is sought is only the split::

    taken(n)  = min over s of  max(taken(n - s) + launch, sent(s) + flight) + B
    sent(n)   = min over s of  max(taken(n - s) + launch, sent(s) + flight) + 1

at the prices of :class:`meshc.kernels.collectives.pace.Payload`, hops in the flight. The recurrence is that
of *Near-Optimal Wafer-Scale Reduce* (HPDC'24, pre-order trees), with the time itself in
place of its bounds by depth and energy, and with heads in the middle of their stretches
besides. A second index counts the colors: a child's message passes all of the shorter stretch,
so each child more takes one color more there. O(C P^2) steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from meshc.kernels.collectives.pace import Payload, reduce_pace
from meshc.kernels.collectives.plan import Plan

_NEVER = 1 << 50


@dataclass(frozen=True, slots=True)
class Prices:
    """Cycles of what happens to a message, all that the search needs to know."""

    start: int
    launch: int
    another: int
    stored: int
    streamed: int
    turn: int
    ramps: int
    hop: int
    streams: bool

    @classmethod
    def of(cls, payload: Payload) -> Prices:
        """The prices of a payload, as the generated code pays them."""
        target = payload.target
        return cls(
            start=payload.asked + target.branch_cycles,
            launch=payload.launch,
            another=target.loop_cycles + payload.launch,
            stored=payload.words * payload.period + payload.merge,
            streamed=payload.period,
            turn=target.issue_cycles,
            ramps=payload.flight(0),
            hop=target.hop_cycles,
            streams=payload.streams,
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A subtree to be placed: ``size`` positions from ``inner`` on, outward by ``sign``, for so many colors."""

    colors: int
    size: int
    inner: int
    sign: int


class Tables:
    """Times of stretches by colors and size.

    ``sent``: when the first word leaves the head, plus the hops from it to the stretch's inner
    end. ``end``: when a head at the inner end has taken all; ``amid``: when one has that has so
    many PEs on either side.
    """

    def __init__(self, size: int, colors: int, prices: Prices):
        self.size, self.colors, self.prices = size, colors, prices
        shape = (colors + 1, size + 1)
        self.sent = np.full(shape, _NEVER, np.int64)
        self.end = np.full(shape, _NEVER, np.int64)
        self.amid = np.full(shape, _NEVER, np.int64)
        # Of the best: the size of the last outer child; for what is sent, that of the last inner one and of the
        # head's own stretch on its inner side before it (-1: the head is at the end).
        self.outer = np.zeros(shape, np.int64)
        self.within = np.full(shape, -1, np.int64)
        self.pair = np.zeros(shape, bool)
        self.end_split = np.zeros(shape, np.int64)
        self.amid_split = np.zeros(shape, np.int64)
        self.sent[1:, 1] = prices.start + prices.launch
        self.end[:, 1] = self.amid[:, 0] = prices.start + prices.turn
        for n in range(2, size + 1):
            for k in range(1, colors + 1):
                self._take_at_the_end(k, n)
                if n % 2 and k > 1:
                    self._take_amid(k, n // 2)
                self._send(k, n)

    def _arrivals(self, k: int, sizes: np.ndarray, distances: np.ndarray) -> np.ndarray:
        return self.sent[k, sizes] + self.prices.ramps + self.prices.hop * distances

    def _stored(self, before: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
        return np.maximum(before + self.prices.another, arrivals) + self.prices.stored

    def _streamed(self, before: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
        return np.maximum(before + self.prices.launch, arrivals) + self.prices.streamed

    def _take_at_the_end(self, k: int, n: int) -> None:
        sizes = np.arange(1, n)
        times = self._stored(self.end[k - 1, n - sizes], self._arrivals(k, sizes, n - sizes))
        best = int(times.argmin())
        self.end[k, n], self.end_split[k, n] = times[best], sizes[best]

    def _take_amid(self, k: int, m: int) -> None:
        sizes = np.arange(1, m + 1)
        arrivals = self._arrivals(k, sizes, m - sizes + 1)
        times = self._stored(self._stored(self.amid[k - 2, m - sizes], arrivals), arrivals)
        best = int(times.argmin())
        self.amid[k, m], self.amid_split[k, m] = times[best], sizes[best]

    def _send(self, k: int, n: int) -> None:
        if not self.prices.streams:
            self._send_stored(k, n)
            return
        if k < 2:
            return
        # A head at the inner end, and one with q PEs on either side, before the last child from outside.
        sizes = np.arange(1, n)
        times = self._streamed(self.end[k - 2, n - sizes], self._arrivals(k, sizes, n - sizes))
        self._propose(k, n, times, sizes, None)
        around = np.arange(1, (n - 2) // 2 + 1)
        if len(around):
            sizes = n - 1 - 2 * around
            times = self._streamed(self.amid[k - 2, around], self._arrivals(k, sizes, around + 1))
            self._propose(k, n, times + self.prices.hop * around, sizes, around)
        if n % 2 and k > 2:
            # The last children from both sides; what the head sends passes the inner one.
            m = n // 2
            sizes = np.arange(1, m + 1)
            arrivals = self._arrivals(k - 1, sizes, m - sizes + 1)
            times = self._streamed(self._stored(self.amid[k - 3, m - sizes], arrivals), arrivals)
            self._propose(k, n, times + self.prices.hop * m, sizes, m - sizes, pair=True)

    def _send_stored(self, k: int, n: int) -> None:
        launch = np.array([self.prices.launch])
        self._propose(k, n, self.end[k - 1, n] + launch, self.end_split[k - 1, n : n + 1], None)
        if n % 2 and k > 2:
            m, split = n // 2, self.amid_split[k - 1, n // 2 : n // 2 + 1]
            self._propose(k, n, self.amid[k - 1, m] + launch + self.prices.hop * m, split, m - split, pair=True)

    def _propose(self, k: int, n: int, times: np.ndarray, outer: np.ndarray, within: np.ndarray | None, pair=False):
        best = int(times.argmin())
        if times[best] < self.sent[k, n]:
            self.sent[k, n], self.outer[k, n], self.pair[k, n] = times[best], outer[best], pair
            self.within[k, n] = -1 if within is None else within[best]

    # ---- from times to a tree ------------------------------------------------------------

    def head(self, stretch: Stretch) -> int:
        """The position that sends a stretch's result."""
        within, outer = self._last(stretch)
        inside = 0 if within < 0 else within + (outer if self.pair[stretch.colors, stretch.size] else 0)
        return stretch.inner + stretch.sign * inside

    def arrival(self, stretch: Stretch, at: int) -> int:
        """When a stretch's result comes to a position on its inner side."""
        hops = abs(stretch.inner - at)
        return int(self.sent[stretch.colors, stretch.size]) + self.prices.ramps + self.prices.hop * hops

    def _last(self, stretch: Stretch) -> tuple[int, int]:
        if stretch.size == 1:
            return -1, 0
        key = stretch.colors, stretch.size
        return int(self.within[key]), int(self.outer[key])

    def children(self, stretch: Stretch) -> list[Stretch]:
        """The stretches whose results a head takes, in that order."""
        k, n, sign = stretch.colors, stretch.size, stretch.sign
        if n == 1:
            return []
        within, outer = self._last(stretch)
        head = self.head(stretch)
        pair = bool(self.pair[k, n])
        before = k - (1 if not self.prices.streams else 3 if pair else 2)
        if not self.prices.streams:
            return self.amid_children(before, n // 2, head, sign) if pair else self.end_children(before, n, head, sign)
        if within < 0:
            last = Stretch(k, outer, head + sign * (n - outer), sign)
            return [*self.end_children(before, n - outer, head, sign), last]
        sides = (-sign, sign) if pair else (sign,)
        around = [Stretch(k - pair, outer, head + side * (within + 1), side) for side in sides]
        return [*self.amid_children(before, within, head, sign), *around]

    def end_children(self, colors: int, size: int, head: int, sign: int) -> list[Stretch]:
        """What a head at the inner end of a stretch takes."""
        found: list[Stretch] = []
        while size > 1:
            split = int(self.end_split[colors, size])
            size -= split
            found.append(Stretch(colors, split, head + sign * size, sign))
            colors -= 1
        return found[::-1]

    def amid_children(self, colors: int, side: int, head: int, sign: int) -> list[Stretch]:
        """What a head amid its stretch takes, so many PEs on either side."""
        found: list[Stretch] = []
        while side > 0:
            split = int(self.amid_split[colors, side])
            side -= split
            found += [Stretch(colors, split, head + s * (side + 1), s) for s in (sign, -sign)]
            colors -= 2
        return found[::-1]


@lru_cache(maxsize=16)
def _tables(size: int, colors: int, prices: Prices) -> Tables:
    return Tables(size, colors, prices)


def fastest(length: int, root: int, payload: Payload, colors: int) -> Plan | None:
    """The fastest tree found over ``length`` PEs to ``root``, no router with more than ``colors`` of its messages.

    None where there is no such tree: what an operator stores before it combines it has a color for each message that
    a PE takes, so a line may be too long for them. ``colors`` is at least 2. A root in the middle takes equal
    stretches from both sides in turn; one that is neither there nor at an end has half of the colors for each side,
    and no fewer than 2.
    """
    below, above, prices = root, length - 1 - root, Prices.of(payload)
    side = max(below, above)
    if length == 1:
        return Plan(0, ((),))
    if 0 in (below, above):
        tables = _tables(length, colors, prices)
        if tables.end[colors, length] >= _NEVER:
            return None
        return _placed(tables, length, root, tables.end_children(colors, length, root, 1 if above else -1))
    if abs(below - above) <= 1:
        # With one PE more on the shorter side both are alike; it is outermost, so a leaf, and left out.
        tables = _tables(2 * side + 1, colors, prices)
        enough = [k for k in range(2, colors + 1) if tables.amid[k, side] < _NEVER]
        plans = (_placed(tables, length, root, tables.amid_children(k, side, root, 1)) for k in enough)
        return min(plans, key=lambda plan: reduce_pace(plan, payload), default=None)
    half = max(2, colors // 2)
    tables = _tables(side + 1, half, prices)
    if tables.end[half, side + 1] >= _NEVER:
        return None
    arms = (tables.end_children(half, count + 1, root, sign) for count, sign in ((above, 1), (below, -1)))
    return _placed(tables, length, root, sorted(chain(*arms), key=lambda s: (tables.arrival(s, root), s.inner)))


def _placed(tables: Tables, length: int, root: int, stretches: list[Stretch]) -> Plan:
    """The plan of a root that takes the results of these stretches; positions off the line are left out."""
    children: dict[int, list[Stretch]] = {root: stretches}
    waiting = list(stretches)
    while waiting:
        stretch = waiting.pop()
        found = tables.children(stretch)
        children[tables.head(stretch)] = found
        waiting += found
    heads = {p: [tables.head(s) for s in found] for p, found in children.items()}
    return Plan(root, tuple(tuple(c for c in heads[p] if 0 <= c < length) for p in range(length)))
