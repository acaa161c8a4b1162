"""From a region to the one that touches it in the east: each PE's words to the PE at the same place there.

All PEs of a row go W columns far. In the western region a row drains into its east edge over one color: each PE
sends, the easternmost first, and then turns its router from sending to passing (rule R3). In the eastern region what
was meant for column u comes behind what was meant for those after it, so PE u passes on W-1-u times and then keeps
what comes. It passes in software, word by word, since no router knows how many words are to go by; two colors, by
the parity of the receiving column, keep a PE from sending on the color that it receives on.

Critical path: W times the words and one more hop and stage for each column of the eastern region. Colors: one in the
west, two in the east. No memory: what passes lies in the place of what comes.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshrt.program.expr import Expr, Name, select
from meshrt.program.model import Rect

#: The stream that columns of even coordinates receive on, the first column of the eastern region among them.
_EVEN, _ODD = "crossing.even", "crossing.odd"


def send_east(builder: MeshBuilder, buffers: Sequence[MeshBuffer]) -> None:
    """Append the departure of every PE's buffers to the eastern region."""
    stream = builder.stream(_EVEN, [StreamRoute(builder.everywhere, "RAMP", ("E",))], across=True)
    for buffer in buffers:
        builder.emit("send", buffer, color=stream)
    if builder.width > 1:
        with builder.when(Name("x").gt(0)):
            builder.emit("route", color=stream, from_="W", to=("E",))


def take_from_west(builder: MeshBuilder, buffers: Sequence[MeshBuffer]) -> None:
    """Append the arrival of what the western region sends with :func:`send_east`, as many buffers of the same sizes."""
    last, x = builder.width - 1, Name("x")
    even, odd = (_receiving(builder, name, parity) for parity, name in enumerate((_EVEN, _ODD)))
    arriving = builder.param("crossing_in", select(x % 2, odd, even)) if last else even
    if last:
        passing = builder.param("crossing_out", select(x % 2, even, odd))
        with builder.loop("column", last - x):
            for buffer in buffers:
                builder.emit("stream_copy", buffer, in_=arriving, out=passing)
    for buffer in buffers:
        builder.emit("recv", buffer, color=arriving)


def _receiving(builder: MeshBuilder, name: str, parity: int) -> Expr:
    """The stream on which columns of a parity receive from the PE in the west of each."""

    def columns(first: int, stop: int) -> Rect:
        return Rect(first, stop, 0, builder.height, 2, 1)

    routes = []
    if parity < builder.width:
        routes.append(StreamRoute(columns(parity, builder.width), "W", ("RAMP",)))
    if 1 - parity < builder.width - 1:
        routes.append(StreamRoute(columns(1 - parity, builder.width - 1), "RAMP", ("E",)))
    return builder.stream(name, routes, across=True)
