"""The ring of Cannon's algorithm: tiles go to the next PE of a line, and from its end the long way back.

On an axis of P PEs a forward shift moves every tile to the next lower position, one hop;
PE 0 sends to P - 1, over P - 1 hops. Logical and physical order are the same. Neighbours
use two colors, by the parity of the sender, so that a PE never sends on the color that it
receives on; the way back is a color of its own, against the direction of the others, so
that each directed link carries one tile a step. A reverse shift mirrors all of it.
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.kernels.ring import AXIS_PORTS, Ring, along, extent
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, select


def wraparound_ring(builder: MeshBuilder, axis: str, reverse: bool = False) -> Ring:
    """Declare the line's ring (once) and give this PE's colors on it."""
    parts = extent(builder, axis)
    up, down = AXIS_PORTS[axis]
    ahead, behind = (up, down) if reverse else (down, up)
    direction = "reverse" if reverse else "forward"

    def declare(name: str, routes: list[tuple[range, str, str]]) -> Expr:
        given = [
            StreamRoute(along(builder, axis, (at.start, at.stop, at.step)), source, (to,))
            for at, source, to in routes
            if at and parts > 1
        ]
        return builder.stream(f"wraparound.{axis}.{direction}.{name}", given) if given else as_expr(0)

    # Every PE but the last one in the direction of travel sends to its neighbour.
    senders = range(parts - 1) if reverse else range(1, parts)
    step = 1 if reverse else -1
    neighbours = []
    for parity in (0, 1):
        sending = range(senders.start + (senders.start + parity) % 2, senders.stop, 2)
        taking = range(sending.start + step, sending.stop + step, 2)
        neighbours.append(declare(("even", "odd")[parity], [(sending, "RAMP", ahead), (taking, behind, "RAMP")]))
    first, last = (parts - 1, 0) if reverse else (0, parts - 1)
    back = declare(
        "back",
        [
            (range(first, first + 1), "RAMP", behind),
            (range(1, parts - 1), ahead, behind),
            (range(last, last + 1), ahead, "RAMP"),
        ],
    )
    at = Name(axis)
    even, odd = neighbours
    send = select(at.eq(first), back, select(at % 2, odd, even))
    receive = select(at.eq(last), back, select(at % 2, even, odd))
    return Ring(
        builder.param(f"wraparound_{axis}_{direction}_send", send),
        builder.param(f"wraparound_{axis}_{direction}_receive", receive),
    )


def line_position(at: ExprLike, parts: int) -> Expr:
    """The logical position of a coordinate, and the coordinate of a logical position: itself."""
    return as_expr(at)
