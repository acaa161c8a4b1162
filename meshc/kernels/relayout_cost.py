"""What a relayout takes, in cycles of a target: the cost models of the three kernels.

The prices of instructions are those of :mod:`meshrt.program.cost`; what is modelled here is
which of them lie on the critical path. On a ring of P PEs all are in step, so that the
time is that of one PE: in each step two launches, then the longer of the tile's flight
and what the PE does meanwhile, then two waits. Where places are listed, every step is
taken to have a pick, although some find nothing. Exchanges and the diagonal are predicted
within a tenth, the turn within a third and rather too high: which of a column's PEs has
something to pick differs from step to step, and part of it hides behind the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import ShardType
from meshc.kernels.relayout_plan import Held, along, changed_axis, elements, most_pivots, scheme
from meshrt.program.cost import element_cycles, flight_cycles, launch_cycles, words
from meshrt.target import Target


def exchange_cycles(way: Sequence[ShardType], grid: tuple[int, int], target: Target) -> int:
    """Cycles of the stages of :func:`~meshc.kernels.relayout_plan.exchanges` on a grid (width, height)."""
    return sum(_stage(old, new, grid, target) for old, new in pairwise(way))


def diagonal_cycles(source: ShardType, side: int, target: Target) -> int:
    """Cycles until tiles and elements have changed places on a square grid, before any exchange."""
    n = words(elements(source), source.dtype, target.word_bytes)
    move = element_cycles(target, "move", elements(source), source.dtype)
    if side == 1:
        return move
    # The PE on the diagonal sends each tile twice over its RAMP.
    step = target.loop_cycles + 2 * launch_cycles(target, True) + 2 * n + flight_cycles(target, 2)
    step += 4 * _wait(target) + 2 * target.branch_cycles + 2 * target.issue_cycles
    return 2 * move + side * step


def turn_cycles(before: ShardType, after: ShardType, grid: tuple[int, int], target: Target) -> int:
    """Cycles of the turning stage."""
    width, height = grid
    n = words(elements(before), before.dtype, target.word_bytes)
    tile = element_cycles(target, "move", elements(before), before.dtype)
    fill = element_cycles(target, "move", elements(after), after.dtype)
    # What a column keeps of a tile: of A the part that is the column's, of B what a row has in common with it.
    kept_a = min(before.y.tile, after.x.tile)
    listed = not (along(before, "x").in_stretches and along(after, "y").in_stretches)
    if listed:
        pick = _listed_pick(target, after.y.tile * kept_a, before.dtype)
    else:
        pick = element_cycles(target, "move", kept_a * min(before.x.tile, after.y.tile), before.dtype)
    # A pivot sends up, then down; one at the edge, or in a line of two, only once. It receives from the others.
    pivots = most_pivots(along(before, "y").once(), along(after, "x"))
    sends = min(2, height - 1)
    step = tile + (sends + pivots - 1) * (launch_cycles(target, False) + n)
    step += pivots * (pick + (5 + 2 * sends) * target.branch_cycles + (target.loop_cycles if pivots > 1 else 0))
    if width > 1:
        step += target.loop_cycles + 2 * launch_cycles(target, True) + 2 * _wait(target) + target.issue_cycles
        step += target.branch_cycles
    passing = (2 * target.ramp_cycles + target.hop_cycles + 1) * (height - 1)
    return fill + (tile if width > 1 else 0) + width * step + passing


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
            # A tile that comes while one PE alone still picks has flown already when it is received.
            longer = listing + pick if listing else max(0, pick - flight_cycles(target, 2))
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
