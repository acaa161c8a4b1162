"""The clocks of a line of PEs whose chains have a root that may be another one in every step.

One number for each PE of the line. What a PE does by itself is added to its clock; a chain
(:mod:`meshc.kernels.chain`) makes each PE wait for its neighbour's first and last word. The PEs
across the line, to which ring shifts go, are taken to keep step with their like here. Where a
receiver is late, a sender ends when the queues on the way have room for its last words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from meshc.kernels.estimate import Site
from meshrt.program.cost import element_cycles, flight_cycles, launch_cycles, path_capacity, word_period
from meshrt.program.cost import words as words_of

#: A number for each PE of the line.
Clocks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Payload:
    """What a chain carries: words, and cycles from one to the next where a PE takes them."""

    words: int
    period: int


@dataclass(slots=True)
class LinePace:
    """The clocks ``now`` of a line of ``length`` PEs on a site."""

    site: Site
    length: int
    now: Clocks = field(init=False)
    #: When each PE has the tile of the shift that was launched last.
    arrival: Clocks = field(init=False)

    def __post_init__(self) -> None:
        self.now = np.zeros(self.length, np.int64)
        self.arrival = self.now

    @property
    def end(self) -> int:
        """When the last PE is done."""
        return int(self.now.max())

    # ---- shifts across the line ------------------------------------------------------------

    def launch_shift(self, words: int, hops: int) -> None:
        """A ring shift begins."""
        self.now = self.now + 2 * self.site.launch
        self.arrival = self.now + words + self.site.flight(hops)

    def settle_shift(self) -> None:
        """Wait for both moves of a shift."""
        self.wait(self.arrival)
        self.now = self.now + self.site.waited

    def wait(self, arrival: Clocks) -> None:
        """A ``wait`` for what ends at ``arrival``."""
        self.now = np.maximum(self.now + self.site.issue, arrival) + self.site.target.task_wakeup_cycles

    # ---- chains along the line ---------------------------------------------------------------

    def payload(self, elements: int, dtype: str, cost: str) -> Payload:
        """So many elements, combined (``add``) or passed on (``move``) by each PE."""
        target = self.site.target
        return Payload(words_of(elements, dtype, target.word_bytes), word_period(target, cost, dtype))

    def reduce(self, root: int, elements: int, dtype: str) -> None:
        """:func:`meshc.kernels.chain.chain_reduce`."""
        if self.length == 1:
            return
        load, branch = self.payload(elements, dtype, "add"), self.site.branch
        launch = launch_cycles(self.site.target, False)
        ends = self.now.copy()
        root_now = int(self.now[root]) + 3 * branch
        for arm, asked, after in ((self._below(root), 2, 2), (self._above(root), 3, 1)):
            root_now += branch
            if len(arm):
                first, final, end = self._flow(self.now[arm] + asked * branch + launch, arm, load)
                ends[arm] = end + after * branch
                root_now = self._taken(root_now + launch, int(first[-1]), int(final[-1]), load)
        ends[root] = root_now
        self.now = ends

    def launch_reduce(self, root: int, elements: int, dtype: str) -> Clocks:
        """:func:`meshc.kernels.chain.launch_chain_reduce`; gives when each PE's part of it ends."""
        load, branch, launch = self.payload(elements, dtype, "add"), self.site.branch, self.site.launch
        after, done = self.now.copy(), self.now.copy()
        root_now = int(self.now[root]) + 3 * branch
        root_done = 0
        for arm, asked, left in ((self._below(root), 2, 2), (self._above(root), 3, 1)):
            root_now += branch
            if len(arm):
                ready = self.now[arm] + asked * branch + launch
                first, final, end = self._flow(ready, arm, load)
                after[arm], done[arm] = ready + left * branch, end
                root_now += launch
                # What comes from above is only received, but both sides come over one RAMP.
                root_done = max(root_done + load.words, self._taken(root_now, int(first[-1]), int(final[-1]), load))
        after[root], done[root] = root_now, root_done
        self.now = after
        return done

    def settle_reduce(self, root: int, done: Clocks, elements: int, dtype: str) -> None:
        """:func:`meshc.kernels.chain.settle_chain_reduce`."""
        site = self.site
        self.now = self.now + site.branch
        self.wait(done)
        self.now = self.now + site.branch
        if root < self.length - 1:
            # The root waits for each side that it has.
            self.now[root] += (site.waited if root else 0) + element_cycles(site.target, "add", elements, dtype)

    def broadcast(self, root: int, elements: int, dtype: str) -> None:
        """:func:`meshc.kernels.chain.chain_broadcast`."""
        if self.length == 1:
            return
        load, branch = self.payload(elements, dtype, "move"), self.site.branch
        launch = launch_cycles(self.site.target, False)
        ends = self.now.copy()
        root_now = int(self.now[root]) + branch
        for arm, asked, after in ((self._above(root), 3, 1), (self._below(root), 4, 0)):
            root_now += branch
            if len(arm):
                outward = arm[::-1]
                ready = np.concatenate(([root_now + launch], self.now[outward] + asked * branch + launch))
                _, final, end = self._flow(ready, np.concatenate(([root], outward)), load)
                # The last one passes nothing on.
                end[-1] = final[-1]
                root_now = int(end[0])
                ends[outward] = end[1:] + after * branch
        ends[root] = root_now + 2 * branch
        self.now = ends

    # ---- the words of one side ------------------------------------------------------------------

    def _below(self, root: int) -> Clocks:
        """The PEs before the root, the farthest first."""
        return np.arange(root)

    def _above(self, root: int) -> Clocks:
        """The PEs behind the root, the farthest first."""
        return np.arange(self.length - 1, root, -1)

    def _taken(self, ready: int, first: int, final: int, load: Payload) -> int:
        """The end of a receive that could begin at ``ready``, of words that leave next to it ``first`` to ``final``."""
        flight = flight_cycles(self.site.target, 1)
        return max(max(ready, first + flight) + (load.words - 1) * load.period, final + flight) + load.period

    def _flow(self, ready: Clocks, places: Clocks, load: Payload) -> tuple[Clocks, Clocks, Clocks]:
        """The first PE sends, the others stream through: when each injects its first and last word, and ends."""
        stage = load.period + flight_cycles(self.site.target, 1)
        # Without waiting, a word leaves each PE one stage later than the one before.
        skew = np.arange(len(ready), dtype=np.int64) * stage
        injected = ready + load.period
        injected[0] = ready[0]
        first = np.maximum.accumulate(injected - skew) + skew
        # A tile that is shifted meanwhile comes, and leaves, over the same RAMP, word about.
        shared = np.minimum(np.maximum(self.arrival[places] - first, 0), load.words)
        self.arrival = self.arrival.copy()
        self.arrival[places] += shared
        alone = first + (load.words - 1) * load.period + shared
        alone[0] = first[0] + load.words - 1 + shared[0]
        final = np.maximum.accumulate(alone - skew) + skew
        end = final + 1
        # What the next PE has not taken yet must lie in the queues on the way.
        over = load.words - path_capacity(self.site.target, 1)
        if over > 0 and len(ready) > 1:
            end[:-1] = np.maximum(end[:-1], first[1:] + (over - 1) * load.period)
        return first, final, end
