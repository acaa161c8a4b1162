"""Multicasts from many roots over one or two colors: routers turn as the root moves on.

A word that a router passes to its own PE and to the next one costs no software stage
(*Near-Optimal Wafer-Scale Reduce*, HPDC'24, broadcast: B + P + 2 T_R cycles). A color for
each root would be too many; but a PE knows when it has had all words of a root, and then
turns its router for the next one (rule R3: behind the words that it has sent itself).
A word that comes before its router has turned waits at the port.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.ring import AXIS_PORTS, along, extent
from meshrt.program.expr import Expr, Name
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class MovingRoot:
    """Broadcasts over an axis from PE 0, then 1, and so on, all on one color.

    Before its turn a PE takes words from below (lower coordinates) and passes them on;
    after it, from above. So a router has three configurations, and turns twice in a sweep.
    """

    builder: MeshBuilder
    axis: str
    color: Expr

    @classmethod
    def over(cls, builder: MeshBuilder, axis: str) -> MovingRoot:
        """The broadcasts of an axis of at least two PEs; their stream is declared once."""
        parts = extent(builder, axis)
        up, down = AXIS_PORTS[axis]
        routes = [
            StreamRoute(along(builder, axis, (0, 1, 1)), "RAMP", (up,)),
            StreamRoute(along(builder, axis, (parts - 1, parts, 1)), down, ("RAMP",)),
        ]
        if parts > 2:
            routes.append(StreamRoute(along(builder, axis, (1, parts - 1, 1)), down, ("RAMP", up)))
        return cls(builder, axis, builder.stream(f"multicast.{axis}", routes))

    @property
    def parts(self) -> int:
        """PEs of the axis."""
        return extent(self.builder, self.axis)

    def launch(self, root: Expr, source: MeshBuffer | View, target: MeshBuffer, handle: str) -> None:
        """Begin a broadcast of the root's ``source`` into the others' ``target``; the root copies its own."""
        builder, at = self.builder, Name(self.axis)
        up, down = AXIS_PORTS[self.axis]
        with builder.when(at.eq(root)):
            self._turn(at, "RAMP", middle=(down, up), end=(down,))
            builder.emit("send", source, color=self.color, async_=handle)
            self._turn(at, up, middle=("RAMP", down), start=("RAMP",))
            builder.emit("copy", target, source)
        with builder.otherwise():
            builder.emit("recv", target, color=self.color, async_=handle)

    def restore(self) -> None:
        """After the last broadcast: the routers as they were, ready for the next sweep."""
        builder, at = self.builder, Name(self.axis)
        up, down = AXIS_PORTS[self.axis]
        with builder.when(at.eq(0)):
            builder.emit("route", color=self.color, from_="RAMP", to=(up,))
        with builder.otherwise():
            self._turn(at, down, middle=("RAMP", up), end=("RAMP",))

    def _turn(
        self,
        at: Name,
        source: str,
        middle: tuple[str, ...],
        start: tuple[str, ...] | None = None,
        end: tuple[str, ...] | None = None,
    ) -> None:
        """Turn the routers: those of the axis' start and end in their own way, or not at all."""
        builder, color = self.builder, self.color
        first, last = at.eq(0), at.eq(self.parts - 1)
        if self.parts == 2:
            for where, to in ((first, start), (last, end)):
                if to is not None:
                    with builder.when(where):
                        builder.emit("route", color=color, from_=source, to=to)
            return
        with builder.when(at.gt(0) if start is None else at.lt(self.parts - 1)):
            exception, to = (last, end) if start is None else (first, start)
            with builder.when(exception):
                builder.emit("route", color=color, from_=source, to=to)
            with builder.otherwise():
                builder.emit("route", color=color, from_=source, to=middle)


@dataclass(frozen=True, slots=True)
class Gather:
    """Everyone's tile to everyone along an axis: the line drains in both directions, a color for each.

    Each PE sends its own tile and then lets those behind it pass, so tiles arrive by distance.
    """

    builder: MeshBuilder
    axis: str
    up: Expr
    down: Expr

    @classmethod
    def over(cls, builder: MeshBuilder, axis: str) -> Gather:
        """The gather of an axis of at least two PEs; its streams are declared once."""
        parts = extent(builder, axis)
        streams = []
        for name, senders, last, ahead, behind in (
            ("up", (0, parts - 1), (parts - 1, parts), *AXIS_PORTS[axis]),
            ("down", (1, parts), (0, 1), *reversed(AXIS_PORTS[axis])),
        ):
            routes = [
                StreamRoute(along(builder, axis, (*senders, 1)), "RAMP", (ahead,)),
                StreamRoute(along(builder, axis, (*last, 1)), behind, ("RAMP",)),
            ]
            streams.append(builder.stream(f"gather.{axis}.{name}", routes))
        return cls(builder, axis, *streams)

    def launch(self, tiles: MeshBuffer, slot: int) -> None:
        """Begin to gather: PE p's tile lies at elements ``p * slot`` on of its ``tiles``, where everyone gets it."""
        builder, at = self.builder, Name(self.axis)
        parts = extent(builder, self.axis)
        up_port, down_port = AXIS_PORTS[self.axis]
        own = tiles.at(at * slot, slot)
        below = tiles.at((at - 1) * slot, (at, -slot), (slot, 1))
        above = tiles.at((at + 1) * slot, parts - 1 - at, slot)
        for name, color, sends, takes, ahead, behind, view in (
            ("up", self.up, at.lt(parts - 1), at.gt(0), up_port, down_port, below),
            ("down", self.down, at.gt(0), at.lt(parts - 1), down_port, up_port, above),
        ):
            with builder.when(sends):
                builder.emit("send", own, color=color, async_=f"{self.axis}_{name}_out")
                if parts > 2:
                    with builder.when(takes):
                        builder.emit("route", color=color, from_=behind, to=(ahead, "RAMP"))
            with builder.when(takes):
                builder.emit("recv", view, color=color, async_=f"{self.axis}_{name}_in")

    def settle(self) -> None:
        """Wait for all tiles, and leave the routers as they were."""
        builder, at = self.builder, Name(self.axis)
        parts = extent(builder, self.axis)
        up_port, down_port = AXIS_PORTS[self.axis]
        for name, color, sends, takes, ahead in (
            ("up", self.up, at.lt(parts - 1), at.gt(0), up_port),
            ("down", self.down, at.gt(0), at.lt(parts - 1), down_port),
        ):
            with builder.when(takes):
                builder.emit("wait", handle=f"{self.axis}_{name}_in")
                if parts > 2:
                    with builder.when(sends):
                        builder.emit("route", color=color, from_="RAMP", to=(ahead,))
            with builder.when(sends):
                builder.emit("wait", handle=f"{self.axis}_{name}_out")
