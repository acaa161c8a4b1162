"""Multicasts from many roots over one color: routers turn as the root moves on.

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
    Words of a later sweep can not run ahead: a router that has turned does not take them
    until its PE has had all of this one and turns back.
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

    def gather(self, tiles: MeshBuffer, slot: int) -> None:
        """Everyone's tile to everyone: PE p's lies at elements ``p * slot`` on of its ``tiles``, and so in all others.

        A PE has those of lower coordinates before its turn and those of higher ones after it.
        """
        builder, at = self.builder, Name(self.axis)
        up, down = AXIS_PORTS[self.axis]
        with builder.loop("i", at) as below:
            builder.emit("recv", tiles.at(below * slot, slot), color=self.color)
        self._turn(at, "RAMP", middle=(down, up), end=(down,))
        builder.emit("send", tiles.at(at * slot, slot), color=self.color)
        self._turn(at, up, middle=("RAMP", down), start=("RAMP",))
        with builder.loop("i", self.parts, start=at + 1) as above:
            builder.emit("recv", tiles.at(above * slot, slot), color=self.color)
        self.restore()

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
