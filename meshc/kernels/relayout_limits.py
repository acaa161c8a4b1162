"""What a relayout needs, held against the grid and a PE's SRAM, before any code is made for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.attributes import type_text
from meshc.ir.core import Operation
from meshc.kernels.relayout_plan import along, changed_axis, elements, scheme
from meshrt.diagnostics import MeshError
from meshrt.program.model import DTYPE_BYTES
from meshrt.target import Target

#: Tiles that each scheme of an exchange holds besides the source's and the target's: of either, by number.
RIDING = {"keep": (0, 0), "pick": (0, 0), "spread": (0, 0), "pull": (2, 0), "push": (0, 2)}


def exchange_bytes(way: Sequence[ShardType]) -> int:
    """The most bytes that a stage of :func:`~meshc.kernels.relayout_plan.exchanges` holds in a PE."""
    return max((_stage_bytes(old, new) for old, new in pairwise(way)), default=0)


def _stage_bytes(source: ShardType, target: ShardType) -> int:
    axis = changed_axis(source, target)
    old, new = along(source, axis), along(target, axis)
    sources, targets = RIDING[scheme(old, new)]
    held = (1 + sources) * elements(source) + (1 + targets) * elements(target)
    return held * DTYPE_BYTES[source.dtype] + listed_bytes(old.in_stretches and new.in_stretches, target, axis)


def listed_bytes(in_stretches: bool, target: ShardType, axis: str) -> int:
    """Bytes of the list of a target tile's places along an axis, and of what is gathered by it."""
    places = target.x.tile if axis == "x" else target.y.tile
    return 0 if in_stretches else places * DTYPE_BYTES["i32"] + elements(target) * DTYPE_BYTES[target.dtype]


def turn_bytes(type: ShardType, riding: int, swapped: ShardType) -> int:
    """Bytes of a transposition's tiles: the source, so many that ride, and the tile that is turned over."""
    return ((1 + riding) * elements(type) + elements(swapped)) * DTYPE_BYTES[type.dtype]


def check_rectangles(op: Operation, width: int, height: int) -> None:
    """Raise M0409 where the operand or the result lies, or should lie, outside the grid."""
    for what, value in (("operand", op.operands[0]), ("result", op.result)):
        type = shard_of(value)
        (column, row), columns, rows = type.origin, type.x.parts, type.y.parts
        if column + columns > width or row + rows > height:
            left = width - column, height - row
            fitting = (
                f"cut it over at most {left[0]}x{left[1]} PEs" if min(left) > 0 else "put its corner into the grid"
            )
            raise MeshError(
                "M0409",
                f"the {what} of a relayout takes {columns}x{rows} PEs from ({column}, {row}) on, "
                f"and the grid has {width}x{height}",
                place=op.location.place,
                notes=[f"the {what} is {type_text(type)}"],
                helps=[f"{fitting}, or use a larger --grid"],
            )


def check_bytes(op: Operation, target: Target | None, needed: Mapping[str, int]) -> None:
    """Raise M0410 where a PE's SRAM cannot hold one of the stages; ``needed`` are bytes by what the stage is."""
    if target is None:
        return
    room = target.sram_bytes - target.runtime_bytes
    what = max(needed, key=lambda stage: needed[stage])
    if needed[what] <= room:
        return
    source, result = shard_of(op.operands[0]), shard_of(op.result)
    tiles = [
        f"a tile of the {name} is {'x'.join(map(str, type.tile))} of {type.dtype}, "
        f"{elements(type) * DTYPE_BYTES[type.dtype]:,} bytes: {type_text(type)}"
        for name, type in (("operand", source), ("result", result))
    ]
    helps = ["cut the value over more PEs: a larger --grid, or blocks in place of replicas"]
    raise MeshError(
        "M0410",
        f"a relayout would hold {needed[what]:,} bytes in a PE for its {what}, and {target.name} has {room:,}",
        place=op.location.place,
        notes=tiles,
        helps=helps,
    )
