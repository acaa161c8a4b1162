"""What a kernel says of itself before it runs: cycles, memory, colors and critical path on one site.

Each kernel that has others beside it has a function from an operation, with the ``schedule``
that is being considered, and a :class:`Site` to an :class:`Estimate`, next to its generator. It
follows the generated code instruction by instruction, at the prices of
:mod:`meshrt.program.cost`, for the PE that ends last; what the model leaves out is where words
wait for words of another color.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshrt.program.cost import (
    element_cycles,
    flight_cycles,
    gemm_cycles,
    launch_cycles,
    word_period,
    words,
)
from meshrt.program.model import DTYPE_BYTES
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Estimate:
    """The prediction for one operation.

    ``cycles`` from the operation's first instruction to the end of the last PE; ``bytes`` of
    SRAM in each PE for its weights and buffers, its operand and its results left out; ``colors``
    in the router that holds most; ``hops`` and ``stages`` of the critical path, where a stage is
    a PE that software wakes to pass a tile on.
    """

    cycles: int
    bytes: int
    colors: int
    hops: int
    stages: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a kernel's demands grow with N, the PEs of an axis: the terms of PLMR, as text.

    ``memory`` in each PE, in tiles; ``paths``: messages of how many PEs cross a router;
    ``hops``: the longest way of one message; ``stages``: steps that wait for one another;
    ``paper``: where the algorithm comes from.
    """

    memory: str
    paths: str
    hops: str
    stages: str
    paper: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where an operation would run: the grid, the dtypes of multiply-adds' operands and of the rest, the target."""

    width: int
    height: int
    operand: str
    other: str
    target: Target
    #: Elements of a token table that ride the ring at once, as in :class:`meshc.options.CompileOptions`.
    chunk_elements: int = 1024

    # ---- prices of instructions, in cycles ----------------------------------------------

    @property
    def issue(self) -> int:
        """An instruction without more."""
        return self.target.issue_cycles

    @property
    def branch(self) -> int:
        """One condition."""
        return self.target.branch_cycles

    @property
    def round(self) -> int:
        """One round of a loop, beside its body."""
        return self.target.loop_cycles

    @property
    def turn(self) -> int:
        """A ``route``."""
        return self.target.issue_cycles + self.target.route_write_cycles

    @property
    def launch(self) -> int:
        """The launch of an asynchronous move."""
        return launch_cycles(self.target, True)

    @property
    def settled(self) -> int:
        """A ``wait`` for a move that has ended, and the rotation of a tile."""
        return self.waited + self.issue

    @property
    def waited(self) -> int:
        """A ``wait`` for a move that has ended."""
        return self.issue + self.target.task_wakeup_cycles

    def move(self, elements: int, dtype: str | None = None) -> int:
        """A copy or a fill of so many elements, of the operands' dtype by default."""
        return element_cycles(self.target, "move", elements, dtype or self.operand)

    def product(self, m: int, k: int, n: int, vector: str) -> int:
        """A tile product."""
        return gemm_cycles(self.target, 1, m, k, n, self.other, self.operand, vector)

    def words(self, elements: int, dtype: str | None = None) -> int:
        """Cycles in which a tile comes in: its words, at the rate at which they are taken."""
        dtype = dtype or self.operand
        return words(elements, dtype, self.target.word_bytes) * word_period(self.target, "move", dtype)

    def flight(self, hops: int) -> int:
        """From the injection of a tile's last word to the end of its receive."""
        return flight_cycles(self.target, hops) + 1

    def until(self, now: int, arrival: int) -> int:
        """The end of a ``wait`` issued at ``now`` for a move that ends at ``arrival``."""
        return max(now + self.issue, arrival) + self.target.task_wakeup_cycles

    def bytes(self, operands: int, others: int = 0) -> int:
        """Bytes of so many elements of the operands' dtype and of the other one."""
        return operands * DTYPE_BYTES[self.operand] + others * DTYPE_BYTES[self.other]

    def ring_step(self, words_x: int, words_w: int, product: int, hops: tuple[int, int]) -> int:
        """A step of two ring shifts, so many hops along x and along y, beside a tile product."""
        start = self.round + 2 * self.launch
        x_arrives = start + words_x + self.flight(hops[0])
        # Both tiles come over one RAMP.
        w_arrives = start + max(2 * self.launch, words_x) + words_w + self.flight(hops[1])
        now = self.until(start + 2 * self.launch + product, x_arrives) + self.settled
        return self.until(now, w_arrives) + self.settled

    def shift(self, words: int, hops: int) -> int:
        """A ring shift that is waited for."""
        now = 2 * self.launch
        return self.until(now, now + words + self.flight(hops)) + self.settled
