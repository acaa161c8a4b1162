"""Where the regions of a program lie on the fabric, and which of their routers are neighbours.

Regions that touch share the links between their touching routers: a route of region ``a`` that leads E at its eastern
edge brings words to port W of the router of region ``b`` that lies there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshrt.program.memory_map import rect_slices
from meshrt.program.model import Rect, Region, instructions_in

#: Sides of a router, in the order N, E, S, W; the opposite of side s is (s + 2) % 4.
SIDE_NAMES = ("N", "E", "S", "W")
SIDES = len(SIDE_NAMES)


def region_bases(regions: Sequence[Region]) -> list[int]:
    """Number of the first PE of each region: PEs are numbered region by region, row by row."""
    sizes = [region.width * region.height for region in regions]
    return [sum(sizes[:i]) for i in range(len(sizes))]


def neighbours(regions: Sequence[Region]) -> np.ndarray:
    """[PEs, SIDES]: number of the router beyond each side of every router, -1 where no region lies there."""
    if not regions:
        return np.zeros((0, SIDES), np.int64)
    left, top = (min(region.origin[axis] for region in regions) for axis in (0, 1))
    right = max(region.origin[0] + region.width for region in regions)
    bottom = max(region.origin[1] + region.height for region in regions)
    # A router of margin on every side.
    fabric = np.full((bottom - top + 2, right - left + 2), -1, np.int64)
    places = []
    for region, base in zip(regions, region_bases(regions), strict=True):
        y, x = region.origin[1] - top + 1, region.origin[0] - left + 1
        places.append((slice(y, y + region.height), slice(x, x + region.width)))
        numbers = base + np.arange(region.width * region.height, dtype=np.int64)
        fabric[places[-1]] = numbers.reshape(region.height, region.width)
    beyond = np.full((*fabric.shape, SIDES), -1, np.int64)
    beyond[1:, :, 0] = fabric[:-1]
    beyond[:, :-1, 1] = fabric[:, 1:]
    beyond[:-1, :, 2] = fabric[1:]
    beyond[:, 1:, 3] = fabric[:, :-1]
    return np.concatenate([beyond[place].reshape(-1, SIDES) for place in places])


def beyond_edges(regions: Sequence[Region]) -> list[np.ndarray]:
    """For each region [height, width, SIDES]: the number of the other region beyond that side of a router, or -1."""
    bases = region_bases(regions)
    found = []
    around = neighbours(regions)
    owner = np.searchsorted(np.asarray(bases), around, "right") - 1
    for number, (region, base) in enumerate(zip(regions, bases, strict=True)):
        here = slice(base, base + region.width * region.height)
        other = np.where((around[here] >= 0) & (owner[here] != number), owner[here], -1)
        found.append(other.reshape(region.height, region.width, SIDES))
    return found


def linked(regions: Sequence[Region]) -> list[list[int]]:
    """Groups of regions that words can go between, each in ascending order.

    Two that touch belong together where a route, one written by an instruction included, leads over their border.
    """
    group = list(range(len(regions)))
    for number, (region, beyond) in enumerate(zip(regions, beyond_edges(regions), strict=True)):
        for rect, sides in _routed(region):
            for side in sides:
                for other in np.unique(beyond[(*rect_slices(rect), side)]).tolist():
                    if other >= 0 and group[other] != group[number]:
                        first, last = sorted((group[other], group[number]))
                        group = [first if g == last else g for g in group]
    return [[r for r, g in enumerate(group) if g == first] for first in sorted(set(group))]


def _routed(region: Region) -> list[tuple[Rect, list[int]]]:
    """Rectangles of a region, and the sides to which routes of their routers may lead."""
    found = [(route.rect, route.destinations) for route in region.routes]
    for code in region.codes:
        for instruction in instructions_in(code.body):
            to = instruction.option("to") if instruction.opcode == "route" else None
            if isinstance(to, str):
                found.append((code.rect, (to,)))
            elif isinstance(to, tuple):
                found.append((code.rect, to))
    return [(rect, [SIDE_NAMES.index(port) for port in to if port in SIDE_NAMES]) for rect, to in found]
