"""``allocate-colors``: a routing color for every stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Name
from meshrt.program.model import Rect


@dataclass(frozen=True)
class AllocateColors(Pass):
    """Color the streams so that no router has two of one color.

    Needs: the mesh level; streams declared with their routes.

    Does: two streams interfere when some router has a configuration of both; the
    interference graph is colored greedily, streams of most conflicts first. Streams that go
    across the borders of regions come before all others, so that each has one color in every
    region. Streams of host ports take the target's host colors. Raises M0406 where the target
    has too few::

        module mesh {ops = []}
        mesh.region() {name = "main", width = 3, height = 2, origin = [0, 0]} () {
          mesh.stream() {name = "row", routes = [[[0, 3, 0, 1, 1, 1], "W", ["E"]]]}
          mesh.stream() {name = "column", routes = [[[1, 2, 0, 2, 1, 1], "N", ["S"]]]}
          mesh.stream() {name = "apart", routes = [[[0, 3, 1, 2, 2, 1], "E", ["W"]]]}
        }

    becomes ::

        module mesh {ops = []}
        mesh.region() {name = "main", width = 3, height = 2, origin = [0, 0]} () {
          mesh.stream() {name = "row", routes = [[[0, 3, 0, 1, 1, 1], "W", ["E"]]], color = 0}
          mesh.stream() {name = "column", routes = [[[1, 2, 0, 2, 1, 1], "N", ["S"]]], color = 1}
          mesh.stream() {name = "apart", routes = [[[0, 3, 1, 2, 2, 1], "E", ["W"]]], color = 0}
        }

    Holds after: every stream has ``color``.
    """

    name: ClassVar[str] = "allocate-colors"
    level: ClassVar[str] = "mesh"

    #: Colors for streams between PEs and for host ports; the target's where it is known.
    colors: int = 21
    host_colors: int = 3

    def run(self, module: Module, context: PassContext) -> None:
        colors, host_colors = self.colors, self.host_colors
        if context.target is not None:
            colors, host_colors = context.target.program_colors, context.target.host_colors
        crossing = _crossing(module)
        for region in module.body.ops:
            declarations = region.regions[0].ops
            ports = [op.attributes["color"] for op in declarations if op.name == "mesh.port"]
            streams = [op for op in declarations if op.name == "mesh.stream"]
            host = [s for s in streams if Name(f"@{s.attributes['name']}") in ports]
            inner = [s for s in streams if s not in host]
            _color(inner, range(colors), "streams between PEs", crossing)
            _color(host, range(colors, colors + host_colors), "host ports", {})


def _crossing(module: Module) -> dict[str, int]:
    """A color for each name of streams that go across the borders of regions."""
    streams = [op for region in module.body.ops for op in region.regions[0].ops if op.name == "mesh.stream"]
    names = dict.fromkeys(s.attributes["name"] for s in streams if s.attributes.get("across"))
    return {name: color for color, name in enumerate(names)}


def _color(streams: list[Operation], available: range, what: str, given: Mapping[str, int]) -> None:
    """Color streams, those first whose names have a color already."""
    footprints = [[Rect(*rect) for rect, _, _ in s.attributes["routes"]] for s in streams]
    conflicts: list[list[int]] = [[] for _ in streams]
    for a in range(len(streams)):
        for b in range(a):
            if any(_meet(p, q) for p in footprints[a] for q in footprints[b]):
                conflicts[a].append(b)
                conflicts[b].append(a)
    names = [s.attributes["name"] for s in streams]
    chosen = {number: given[name] for number, name in enumerate(names) if name in given}
    for stream in sorted(set(range(len(streams))) - chosen.keys(), key=lambda s: -len(conflicts[s])):
        taken = {chosen[other] for other in conflicts[stream] if other in chosen}
        chosen[stream] = next(color for color in range(len(streams) + len(given)) if color not in taken)
    used = max(chosen.values(), default=-1) + 1
    if used > len(available):
        raise MeshError(
            "M0406",
            f"the program needs {used} colors for {what}, and the target has {len(available)}",
            notes=[f"the streams are {', '.join(names)}"],
            helps=["choose kernels with fewer streams, or a target with more colors"],
        )
    for stream, color in chosen.items():
        streams[stream].attributes["color"] = available[color]


def _meet(a: Rect, b: Rect) -> bool:
    """Whether two strided rectangles share a PE."""
    return _share(range(a.x0, a.x1, a.xs), range(b.x0, b.x1, b.xs)) and _share(
        range(a.y0, a.y1, a.ys), range(b.y0, b.y1, b.ys)
    )


def _share(a: range, b: range) -> bool:
    shorter, longer = sorted((a, b), key=len)
    return any(value in longer for value in shorter)
