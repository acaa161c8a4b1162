"""The published cost model of collectives beside the emulator (HPDC'24, *Near-Optimal Wafer-Scale Reduce*).

Every algorithm as a mesh program on the target ``ideal``, where words cost hops and RAMPs
and nothing else costs anything, as in the paper's model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives import broadcast, tree, two_phase
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import whole
from meshc.kernels.collectives.reductions import REDUCTIONS
from meshc.standalone.collective import collective_program
from meshrt.run import RunOptions, run_program
from meshrt.target import Target, load_target

#: An emulated figure lands where it is off by this share or this many cycles (2 T_R + 2), whichever is more.
SHARE, CYCLES = 0.05, 6
#: PEs of a line, where the algorithm takes them, and of a rectangle; words of the payload.
LENGTHS = (4, 8, 9, 16, 25, 32, 36, 49, 64)
RECTANGLES = ((2, 2), (4, 4), (8, 4), (4, 16), (8, 8))
WORDS = (1, 4, 16, 64, 256, 1024)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of the published model: how its program is made, and what the paper says it costs.

    ``append`` takes the builder and the data; ``cost`` width, height and words.
    """

    name: str
    append: Callable[[MeshBuilder, MeshBuffer], None]
    applies: Callable[[int, int], bool]
    cost: Callable[[int, int, int], PatternCost]
    reduces: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: an algorithm on ``width`` x ``height`` PEs with so many words."""

    algorithm: str
    width: int
    height: int
    words: int
    published: float
    emulated: int

    @property
    def off(self) -> float:
        """Cycles that the emulator says more than the paper."""
        return self.emulated - self.published

    @property
    def lands(self) -> bool:
        """Whether the two agree as well as they are meant to."""
        return abs(self.off) <= max(SHARE * self.published, CYCLES)


def _reduction(name: str, append: Callable[[MeshBuilder, MeshBuffer], None] | None = None) -> Algorithm:
    kernel = REDUCTIONS[name]

    def plain(builder: MeshBuilder, data: MeshBuffer) -> None:
        kernel.emit(builder, whole(builder, "x"), 0, data, "add")

    return Algorithm(
        name,
        append or plain,
        lambda width, height: height == 1 and kernel.applies(width, 0) is None,
        lambda width, height, words: kernel.cost(width, words),
    )


def _stored_tree(builder: MeshBuilder, data: MeshBuffer) -> None:
    tree.emit_stored(builder, whole(builder, "x"), 0, data, "add", 2)


def _held_two_phase(builder: MeshBuilder, data: MeshBuffer) -> None:
    two_phase.emit_held(builder, whole(builder, "x"), 0, data, "add", data.elements // 2)


def _line_broadcast(builder: MeshBuilder, data: MeshBuffer) -> None:
    broadcast.emit_line(builder, whole(builder, "x"), 0, data)


def _rectangle_broadcast(builder: MeshBuilder, data: MeshBuffer) -> None:
    broadcast.emit_rectangle(builder, builder.everywhere, (0, 0), data)


#: The paper's algorithms, as they are held against it.
ALGORITHMS = (
    _reduction("reduce.star"),
    _reduction("reduce.chain"),
    _reduction("reduce.tree", _stored_tree),
    _reduction("reduce.two_phase", _held_two_phase),
    Algorithm(
        "broadcast, 1D",
        _line_broadcast,
        lambda width, height: height == 1,
        lambda width, height, words: broadcast.line_cost(width, words),
        reduces=False,
    ),
    Algorithm(
        "broadcast, 2D",
        _rectangle_broadcast,
        lambda width, height: height > 1,
        broadcast.rectangle_cost,
        reduces=False,
    ),
)
#: The same patterns where every message that can be streamed is.
STREAMING = (_reduction("reduce.tree"), _reduction("reduce.two_phase"))


def emulate(algorithm: Algorithm, width: int, height: int, words: int, engine: str) -> Row:
    """Run one program; its values are checked against the exact sums of small integers."""
    target = load_target("ideal")
    program = collective_program(width, height, target, algorithm.append, words)
    data = np.random.default_rng(words * width + height).integers(-99, 100, (height, width, words))
    result = run_program(program, target, {"data": data.astype(np.float32)}, options=RunOptions(engine=engine))
    wanted = data.sum((0, 1)) if algorithm.reduces else data[0, 0]
    found = result.outputs["result"][0, 0] if algorithm.reduces else result.outputs["result"]
    if not (found == wanted).all():
        raise AssertionError(f"{algorithm.name} on {width} x {height} PEs with {words} words: wrong values")
    published = algorithm.cost(width, height, words).cycles(target.ramp_cycles, target.hop_cycles)
    return Row(
        algorithm.name, width, height, words, published, _ended(result.clocks.reshape(height, width), words, target)
    )


def _ended(clocks: np.ndarray, words: int, target: Target) -> int:
    """When the last PE of the last row had its part: what it then sends to the south leaves one word a cycle.

    Where there are rows above, it turns its router for them, which is its last instruction.
    """
    turning = target.route_write_cycles if len(clocks) > 1 else 0
    return int(clocks[-1].max()) - words - turning


def rows(
    engine: str, algorithms: Iterable[Algorithm] = ALGORITHMS, word_counts: Iterable[int] = WORDS
) -> Iterator[Row]:
    """Every algorithm on every shape that it takes, with every payload."""
    shapes = [*((length, 1) for length in LENGTHS), *RECTANGLES]
    for algorithm in algorithms:
        for width, height in shapes:
            if algorithm.applies(width, height):
                for words in word_counts:
                    yield emulate(algorithm, width, height, words, engine)


def least(row: Row) -> int:
    """Cycles below which no program of the row's pattern can end, where that is known to exceed what it costs."""
    if row.algorithm == "reduce.two_phase" and math.isqrt(row.width) > 2:
        return two_phase.least_cycles(row.width, row.words)
    return 0
