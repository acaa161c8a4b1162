"""What exchanges and the diagonal of a relayout take, in cycles of a target.

The prices of instructions are those of :mod:`meshrt.program.cost`; what is modelled here is
which of them lie on the critical path. On a ring of P PEs all are in step, so that the
time is that of one PE: in each step two launches, then the longer of the tile's flight
and what the PE does meanwhile, then two waits. Where places are listed, every step is
taken to have a pick, although some find nothing. The turn, where chains make PEs wait for one
another, has clocks of its own (:mod:`meshc.kernels.relayout_turn_pace`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.relayout_plan import Held, along, changed_axis, elements, scheme
from meshrt.program.cost import element_cycles, flight_cycles, launch_cycles, words
from meshrt.program.model import DTYPE_BYTES
from meshrt.target import Target


def exchange_cycles(way: Sequence[ShardType], grid: tuple[int, int], target: Target) -> int:
    """Cycles of the stages of :func:`~meshc.kernels.relayout_plan.exchanges` on a grid (width, height)."""
    return sum(_stage(old, new, grid, target) for old, new in pairwise(way))


def diagonal_cycles(source: ShardType, site: Site) -> int:
    """Cycles until tiles and elements have changed places on a square grid, before any exchange."""
    n, move = site.words(elements(source), source.dtype), site.move(elements(source), source.dtype)
    if site.width == 1:
        return move
    shifting = site.round + 2 * site.launch
    sending = shifting + 3 * site.branch + 2 * site.launch
    # The PE on the diagonal sends each tile twice over its RAMP.
    sent = max(sending + n, shifting + 2 * n)
    now = site.until(sending, sent) + site.branch
    step = site.until(now, sent + site.flight(min(site.width - 1, 2))) + 2 * site.settled
    return 2 * move + site.width * step


@dataclass(frozen=True, slots=True)
class Paths:
    """Colors in a router, hops and stages of the critical path."""

    colors: int
    hops: int
    stages: int


def exchange_paths(
    ways: Sequence[Sequence[ShardType]],
    site: Site,
    over_ring: Sequence[str] = (),
    over_chain: Sequence[str] = (),
) -> Paths:
    """Those of the stages of ``ways``, and of P steps of a transposition on rings and chains along these axes."""
    rings, spreads, hops, stages = set(over_ring), 0, 0, 0
    extents = {"x": site.width, "y": site.height}
    for source, result in (stage for way in ways for stage in pairwise(way)):
        axis = changed_axis(source, result)
        old, new = along(source, axis), along(result, axis)
        match scheme(old, new):
            case "spread":
                spreads += 1
                hops += max(abs(old.start - new.start), abs(new.stop - 1 - old.start))
                stages += 1
            case "pull" | "push":
                rings.add(axis)
                hops += 2 * (extents[axis] - 1)
                stages += extents[axis] - 1
    for axis in over_ring:
        hops += 2 * extents[axis]
        stages += extents[axis]
    for axis in over_chain:
        across = site.width if axis == "y" else site.height
        hops += across * (extents[axis] - 1)
        stages += across * (extents[axis] - 1)
    colors = spreads + sum(min(extents[axis], 3) for axis in rings if extents[axis] > 1)
    colors += sum(2 * min(extents[axis] - 1, 2) for axis in over_chain)
    return Paths(colors, hops, stages)


def relayout_estimate(op: Operation, site: Site, cycles: int, held: int, paths: Paths) -> Estimate:
    """The prediction of a relayout whose stages take ``cycles`` and hold ``held`` bytes, those of the ends included."""
    source, result = (shard_of(value) for value in (op.operands[0], op.result))
    if source.dtype != result.dtype:
        narrow, wide = sorted((source, result), key=lambda shard: DTYPE_BYTES[shard.dtype])
        # Rounded before it moves, or widened behind.
        cycles += site.move(
            elements(source if narrow is result else result), narrow.dtype if narrow is result else wide.dtype
        )
    ends = elements(source) * DTYPE_BYTES[source.dtype] + elements(result) * DTYPE_BYTES[result.dtype]
    return Estimate(cycles, max(0, held - ends), paths.colors, paths.hops, paths.stages)


def _wait(target: Target) -> int:
    return target.issue_cycles + target.task_wakeup_cycles


def _listed_pick(target: Target, count: int, dtype: str) -> int:
    return element_cycles(target, "move", count, dtype) + element_cycles(target, "add", count, dtype)


def _stage(source: ShardType, result: ShardType, grid: tuple[int, int], target: Target) -> int:
    """One exchange: fill the result, then the scheme's moves."""
    axis = changed_axis(source, result)
    old, new = along(source, axis), along(result, axis)
    length = grid[0] if axis == "x" else grid[1]
    dtype = source.dtype
    fill = element_cycles(target, "move", elements(result), dtype)
    pick, listing = _pick(source, result, old, new, axis, target)
    match scheme(old, new):
        case "pick":
            return fill + listing + pick
        case "spread":
            return fill + _spread(source, old, new, target)
        case "pull" if length > 1:
            flight = flight_cycles(target, 2) + words(elements(source), dtype, target.word_bytes)
            # The pick overlaps with the flight; a wait for what has come already still takes its issue.
            longer = max(0, pick + target.issue_cycles - flight)
            copy = element_cycles(target, "move", elements(source), dtype)
            steps = (length - 1) * _ring_step(target, flight) + _picks(old, new, length) * longer
            return fill + copy + listing + steps + pick
        case "push" if length > 1:
            flight = flight_cycles(target, 2) + words(elements(result), dtype, target.word_bytes)
            # A tile that comes while one PE alone still picks has flown already when it is received; where only one
            # ever picks, a word that it sends hides a wake-up, too.
            hidden = flight_cycles(target, 2)
            if old.once().layout.parts == 1:
                hidden += min(words(elements(result), dtype, target.word_bytes), _wait(target))
            longer = listing + pick if listing else max(0, pick - hidden)
            steps = (length - 1) * _ring_step(target, flight) + _picks(new, old, length) * longer
            return 3 * fill + listing + pick + steps
    return fill + listing + pick


def _picks(rides: Held, stays: Held, length: int) -> int:
    """In how many of the steps of a ring a PE finds something in the tile that comes by."""
    if not (rides.in_stretches and stays.in_stretches):
        return length - 1
    return min(length - 1, ceil_div(stays.once().layout.tile, rides.once().layout.tile) + 1)


def _ring_step(target: Target, meanwhile: int) -> int:
    launches = 2 * launch_cycles(target, True)
    return target.loop_cycles + launches + meanwhile + 2 * target.task_wakeup_cycles + 2 * target.issue_cycles


def _pick(source: ShardType, result: ShardType, old: Held, new: Held, axis: str, target: Target) -> tuple[int, int]:
    """Cycles of one pick that finds something, and of listing the places for it."""
    kept = source.y.tile if axis == "x" else source.x.tile
    if old.once().in_stretches and new.in_stretches:
        common = kept * min(old.once().layout.tile, new.layout.tile)
        return target.branch_cycles + element_cycles(target, "move", common, source.dtype), 0
    listing = element_cycles(target, "move", new.layout.tile, "i32")
    return target.branch_cycles + _listed_pick(target, kept * new.layout.tile, source.dtype), listing


def _spread(source: ShardType, old: Held, new: Held, target: Target) -> int:
    n = words(elements(source), source.dtype, target.word_bytes)
    root = old.start
    distance = max(abs(root - new.start), abs(new.stop - 1 - root))
    copy = element_cycles(target, "move", elements(source), source.dtype)
    sent = 2 * target.branch_cycles + launch_cycles(target, False) + n if distance else 0
    own = 2 * target.branch_cycles + copy if new.start <= root < new.stop else 0
    return max(sent + own, sent + flight_cycles(target, distance) if distance else 0)
