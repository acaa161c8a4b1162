"""Checks the initial routes of a region: colors, ports, and where they lead."""

from __future__ import annotations

import numpy as np

from meshrt.program.fabric import SIDE_NAMES
from meshrt.program.model import PORTS, Region, Route
from meshrt.program.problems import Problems, describe_pes
from meshrt.program.scope import Scope
from meshrt.target import Target


def check_routes(region: Region, target: Target, scope: Scope, beyond: np.ndarray, problems: Problems) -> None:
    """Each router has at most one configuration of a color; no route leaves the region but at a port or to a neighbour.

    ``beyond`` [height, width, 4] says which other region begins at each side of a router, -1 for none.
    """
    port_colors = {port.color for port in region.ports}
    covered: dict[int, np.ndarray] = {}
    for route in region.routes:
        if not _check_color(route, target, port_colors, problems) or not _check_ports(route, problems):
            continue
        mask = scope.mask(route.rect)
        twice = covered.setdefault(route.color, np.zeros_like(mask)) & mask
        if twice.any():
            problems.add(
                "M0314",
                f"color {route.color} has two routes on {describe_pes(twice)}",
                route.line,
                "color",
                helps=["a router starts with one configuration of a color; later ones are set by route instructions"],
            )
        covered[route.color] |= mask
        _check_edges(route, region, scope, mask, beyond, problems)


def edge_mask(region: Region, port: str) -> np.ndarray:
    """The PEs at the side of the region that a router port faces: bool [height, width]."""
    mask = np.zeros((region.height, region.width), bool)
    match port:
        case "N":
            mask[0, :] = True
        case "S":
            mask[-1, :] = True
        case "W":
            mask[:, 0] = True
        case "E":
            mask[:, -1] = True
    return mask


def _check_color(route: Route, target: Target, port_colors: set[int], problems: Problems) -> bool:
    if not 0 <= route.color < target.colors:
        problems.add(
            "M0320",
            f"there is no color {route.color}: a router of {target.name} has {target.colors}, 0 to {target.colors - 1}",
            route.line,
            "color",
        )
        return False
    if route.color >= target.program_colors and route.color not in port_colors:
        problems.add(
            "M0320",
            f"color {route.color} is kept for host ports on {target.name}; "
            f"streams between PEs use 0 to {target.program_colors - 1}",
            route.line,
            "color",
        )
        return False
    return True


def _check_ports(route: Route, problems: Problems) -> bool:
    outputs = route.destinations
    wrong = [port for port in (route.source, *outputs) if port not in PORTS]
    if wrong:
        problems.add("M0330", f"there is no port {wrong[0]!r}", route.line, "color")
    elif not outputs or len(set(outputs)) < len(outputs):
        problems.add("M0330", "a route needs one input port and different output ports", route.line, "color")
    else:
        return True
    return False


def _check_edges(
    route: Route, region: Region, scope: Scope, mask: np.ndarray, beyond: np.ndarray, problems: Problems
) -> None:
    for destination in route.destinations:
        leaving = mask & edge_mask(region, destination)
        if destination in SIDE_NAMES:
            leaving &= beyond[..., SIDE_NAMES.index(destination)] < 0
        for port in region.ports:
            if port.direction == "out" and port.side == destination and port.color == route.color:
                leaving &= ~scope.mask(port.rect)
        if leaving.any():
            problems.add(
                "M0330",
                f"color {route.color} leads {destination} out of the region on {describe_pes(leaving)}",
                route.line,
                "->",
                helps=["end the route one PE earlier, or declare an output port there"],
            )
