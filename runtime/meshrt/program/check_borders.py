"""Checks what regions that touch, or that words can go between, have to agree on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshrt.program.fabric import SIDE_NAMES, beyond_edges, linked
from meshrt.program.memory_map import rect_slices
from meshrt.program.model import Program, Region
from meshrt.program.problems import Problems, describe_pes


def check_borders(program: Program, problems: Problems) -> None:
    """No host port lies on a border with another region, and linked regions share the scalars of one name.

    Call it for regions that lie apart on the fabric and whose rectangles lie inside them.
    """
    for region, beyond in zip(program.regions, beyond_edges(program.regions), strict=True):
        _check_ports(region, program.regions, beyond, problems)
    for group in linked(program.regions):
        _check_scalars([program.regions[r] for r in group], problems)


def _check_ports(region: Region, regions: Sequence[Region], beyond: np.ndarray, problems: Problems) -> None:
    for port in region.ports:
        if port.side not in SIDE_NAMES:
            continue
        taken = np.full((region.height, region.width), -1, np.int64)
        area = rect_slices(port.rect)
        taken[area] = beyond[(*area, SIDE_NAMES.index(port.side))]
        for other in np.unique(taken[taken >= 0]).tolist():
            problems.add(
                "M0323",
                f"port {port.name!r} lies on the border with region {regions[other].name!r} "
                f"on {describe_pes(taken == other)}",
                port.line,
                "side",
                helps=["let the port lie on a side where no region begins, or leave a column between the regions"],
            )


def _check_scalars(group: Sequence[Region], problems: Problems) -> None:
    first = {}
    for region in group:
        for scalar in region.scalars:
            other, owner = first.setdefault(scalar.name, (scalar, region))
            if (scalar.low, scalar.high) != (other.low, other.high):
                problems.add(
                    "M0328",
                    f"scalar {scalar.name!r} lies from {scalar.low} to {scalar.high} in region {region.name!r} "
                    f"and from {other.low} to {other.high} in {owner.name!r}",
                    scalar.line,
                    scalar.name,
                    notes=["words can go between the two, so it is one scalar with one value"],
                    helps=["give it the same bounds, or another name where it means something else"],
                )
