"""``allocate-colors``: a routing color for every stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError
from meshrt.program.model import Rect


@dataclass(frozen=True)
class AllocateColors(Pass):
    """Color the streams so that no router has two of one color.

    needs: the mesh level; streams declared with their routes.

    does: two streams interfere when some router has a configuration of both; the
    interference graph is colored greedily, streams of most conflicts first. Streams of host
    ports take the target's host colors. Raises M0406 where the target has too few.

    holds after: every stream has ``color``.
    """

    name: ClassVar[str] = "allocate-colors"

    #: Colors for streams between PEs and for host ports; the target's where it is known.
    colors: int = 21
    host_colors: int = 3

    def run(self, module: Module, context: PassContext) -> None:
        colors, host_colors = self.colors, self.host_colors
        if context.target is not None:
            colors, host_colors = context.target.program_colors, context.target.host_colors
        for region in module.body.ops:
            declarations = region.regions[0].ops
            ports = {
                op.attributes["color"].name.removeprefix("@") for op in declarations if op.name == "mesh.port"
            }
            streams = [op for op in declarations if op.name == "mesh.stream"]
            host = [s for s in streams if s.attributes["name"] in ports]
            inner = [s for s in streams if s.attributes["name"] not in ports]
            _color(inner, 0, colors, "streams between PEs")
            _color(host, colors, host_colors, "host ports")


def _color(streams: list[Operation], first: int, available: int, what: str) -> None:
    graph = nx.Graph()
    graph.add_nodes_from(range(len(streams)))
    footprints = [[Rect(*rect) for rect, _, _ in s.attributes["routes"]] for s in streams]
    for a in range(len(streams)):
        for b in range(a):
            if any(_meet(p, q) for p in footprints[a] for q in footprints[b]):
                graph.add_edge(a, b)
    order = sorted(graph.nodes, key=lambda n: (-graph.degree[n], n))
    chosen = nx.greedy_color(graph, strategy=lambda g, c: order)
    used = max(chosen.values(), default=-1) + 1
    if used > available:
        raise MeshError(
            "M0406",
            f"the program needs {used} colors for {what}, and the target has {available}",
            notes=[", ".join(s.attributes["name"] for s in streams)],
            helps=["choose kernels with fewer streams, or a target with more colors"],
        )
    for node, stream in enumerate(streams):
        stream.attributes["color"] = first + chosen[node]


def _meet(a: Rect, b: Rect) -> bool:
    """Whether two strided rectangles share a PE."""
    return _ranges_meet((a.x0, a.x1, a.xs), (b.x0, b.x1, b.xs)) and _ranges_meet(
        (a.y0, a.y1, a.ys), (b.y0, b.y1, b.ys)
    )


def _ranges_meet(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    if min(a[1], b[1]) <= max(a[0], b[0]):
        return False
    shorter, longer = sorted((range(*a), range(*b)), key=len)
    return any(value in longer for value in shorter)
