"""The two-hop interleaved ring (WaferLLM, MeshGEMM): a ring on a line with no hop longer than 2.

Physical order on an axis of P PEs: even i sends to i+2, odd i to i-2; 0 receives from
1; the far end closes the ring (P even: P-2 sends to P-1; P odd: P-1 sends to P-2).
Logical order: logical o lies at physical 2o-1 for 1 <= o <= P/2, else at 2(P-o).
A forward shift moves every tile to the next lower logical position.

Each router of the axis meets three messages per direction of the ring: its own, the
one it receives and one that passes. Four colors keep them apart on any P: the class of
a message is its sender's position mod 4, and classes that meet in a router differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, maximum, minimum, select
from meshrt.program.model import Rect

#: Ports of an axis: (toward higher coordinates, toward lower ones).
AXIS_PORTS = {"x": ("E", "W"), "y": ("S", "N")}


def successor(p: int, parts: int) -> int:
    """The PE that receives what ``p`` sends on the forward ring."""
    if p % 2 == 0:
        return p + 2 if p + 2 < parts else p + 1 if p + 1 < parts else max(p - 1, 0)
    return p - 2 if p >= 2 else 0


def logical(p: ExprLike, parts: int) -> Expr:
    """Logical position of physical coordinate ``p``."""
    p = as_expr(p)
    return select(p % 2, (p + 1) // 2, (parts - p // 2) % parts)


def physical(o: ExprLike, parts: int) -> Expr:
    """Physical coordinate of logical position ``o`` (0 <= o < parts)."""
    o = as_expr(o)
    # The odd ones rise from 1 (and 0 stays), the even ones fall from the far end: the lower of the two lines.
    return minimum(maximum(2 * o - 1, 0), 2 * parts - 2 * o)


@dataclass(frozen=True, slots=True)
class Ring:
    """Colors for one axis and direction: what this PE sends on and receives on."""

    send: Expr
    receive: Expr


def message_class(p: int) -> int:
    """Class of the forward message that ``p`` sends (0 to 3)."""
    return p % 2 * 2 + p // 2 % 2


def strided(positions: list[int]) -> list[tuple[int, int, int]]:
    """Cover sorted positions by few (start, stop, step) ranges."""
    ranges = []
    rest = sorted(positions)
    while rest:
        start = rest[0]
        step = rest[1] - start if len(rest) > 1 else 1
        run = [start]
        members = set(rest)
        while run[-1] + step in members:
            run.append(run[-1] + step)
        taken = set(run)
        ranges.append((start, run[-1] + 1, step if len(run) > 1 else 1))
        rest = [p for p in rest if p not in taken]
    return ranges


def extent(builder: MeshBuilder, axis: str) -> int:
    """PEs of the region along an axis."""
    return builder.width if axis == "x" else builder.height


def along(builder: MeshBuilder, axis: str, span: tuple[int, int, int]) -> Rect:
    """The PEs whose coordinate on the axis lies in ``span`` (start, stop, step), all across the other axis."""
    start, stop, step = span
    if axis == "x":
        return Rect(start, stop, 0, builder.height, step, 1)
    return Rect(0, builder.width, start, stop, 1, step)


def _routes(builder: MeshBuilder, axis: str, parts: int, reverse: bool) -> list[list[StreamRoute]]:
    """Static routes of the four message classes."""
    up, down = AXIS_PORTS[axis]
    found: list[dict[tuple[str, str], list[int]]] = [{} for _ in range(4)]
    for p in range(parts):
        q = successor(p, parts)
        if q == p:
            continue
        kind = message_class(p)
        source, target = (q, p) if reverse else (p, q)
        step = 1 if target > source else -1
        ahead, behind = (up, down) if step > 0 else (down, up)
        for at in range(source, target + step, step):
            arrival = "RAMP" if at == source else behind
            leave = "RAMP" if at == target else ahead
            found[kind].setdefault((arrival, leave), []).append(at)
    return [
        [
            StreamRoute(along(builder, axis, span), arrival, (leave,))
            for (arrival, leave), positions in sorted(configurations.items())
            for span in strided(positions)
        ]
        for configurations in found
    ]


def ring(builder: MeshBuilder, axis: str, reverse: bool = False) -> Ring:
    """Declare the ring of an axis (once) and give this PE's colors on it.

    Cost: every directed link carries at most one tile a step; no transfer exceeds 2 hops.
    """
    parts = extent(builder, axis)
    direction = "reverse" if reverse else "forward"
    streams = [
        builder.stream(f"ring.{axis}.{direction}.{kind}", routes)
        for kind, routes in enumerate(_routes(builder, axis, parts, reverse))
        if routes
    ]
    kinds = sorted({message_class(p) for p in range(parts)})

    def pick(kind: Expr) -> Expr:
        *first, last = zip(kinds, streams, strict=True)
        result: Expr = last[1]
        for k, stream in reversed(first):
            result = select(kind.eq(k), stream, result)
        return result

    at = Name(axis)
    end = parts - 1
    source = builder.param(
        f"ring_{axis}_source",
        select(
            at % 2,
            select((at + 2).le(end), at + 2, end if parts % 2 else parts - 2),
            select(at.eq(0), min(1, end), at - 2),
        ),
    )
    own_class = builder.param(f"ring_{axis}_class", at % 2 * 2 + at // 2 % 2)
    source_class = builder.param(f"ring_{axis}_source_class", source % 2 * 2 + source // 2 % 2)
    own = builder.param(f"ring_{axis}_{direction}_own", pick(own_class))
    other = builder.param(f"ring_{axis}_{direction}_other", pick(source_class))
    return Ring(other, own) if reverse else Ring(own, other)


def logical_position(builder: MeshBuilder, axis: str) -> Expr:
    """This PE's logical position on the axis, as a parameter."""
    parts = extent(builder, axis)
    return builder.param(f"logical_{axis}", logical(Name(axis), parts))
