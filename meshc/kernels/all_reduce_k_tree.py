"""``all_reduce.k_tree``: a sum along an axis in K levels of groups, then one multicast (WaferLLM section 6, K-tree).

The P PEs of the axis lie in groups of ``g_0``, the roots of those in groups of ``g_1``,
and so on; the sizes multiply to P. In a level every group is a two-sided streaming
chain: its first and its last member send, those between add what they hold to the
words as they pass, and the member ``g // 2``, the group's root, adds what comes from
both sides, the shorter one first. Members of a higher level are far apart; the PEs
between them only route. The root of the last level then sends the sum up and down the
axis, and every router on the way hands a copy to its PE.

Cost of a level whose members are s hops apart, for B words: B + (s hop + 2 T_R + 1) g / 2
cycles and g / 2 stages; of the multicast B + P / 2 hops. With K = 2 and groups of
the root of P about P^(1/2) stages in all. Colors: two for each level (a PE never
sends on the color that it receives on) and two for the multicast, all static. Memory: none
beside the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt, prod

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.chain import COMBINE
from meshc.kernels.ring import AXIS_PORTS, along, extent, strided
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, Name, as_expr, maximum, minimum, select
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the tree: groups of ``size`` members, ``stride`` PEs apart, the first of them at ``offset``."""

    number: int
    size: int
    stride: int
    offset: int

    @property
    def root(self) -> int:
        """The member that ends with the sum of its group."""
        return self.size // 2

    def groups(self, parts: int) -> list[list[int]]:
        """Coordinates of the members, group by group."""
        members = range(self.offset, parts, self.stride)
        return [list(members[at : at + self.size]) for at in range(0, len(members), self.size)]


def levels(parts: int, groups: Sequence[int]) -> list[Level]:
    """The levels of a tree over ``parts`` PEs; raises M0616 where the group sizes do not multiply to that."""
    if prod(groups) != parts or min(groups, default=1) < 1:
        sizes = " x ".join(map(str, groups)) or "no groups"
        raise MeshError(
            "M0616",
            f"a tree of {sizes} covers {prod(groups)} PEs, and the axis has {parts}",
            helps=["choose group sizes, from the lowest level on, that multiply to the PEs of the axis"],
        )
    found: list[Level] = []
    stride, offset = 1, 0
    for number, size in enumerate(groups):
        found.append(Level(number, size, stride, offset))
        offset += found[-1].root * stride
        stride *= size
    return found


def balanced_groups(parts: int) -> tuple[int, int]:
    """The two sizes nearest to the root of ``parts`` that multiply to it, the larger one for the lower level.

    A stage of the upper level is longer, by the hops between the roots of the lower one.
    """
    lower = next(size for size in range(isqrt(parts - 1) + 1, parts + 1) if parts % size == 0)
    return lower, parts // lower


def _parity(member: int, root: int) -> int:
    """Which of the level's two colors a member sends on; next to the root the two sides differ."""
    return (member + (member > root)) % 2


def _level_streams(builder: MeshBuilder, axis: str, level: Level) -> list[Expr]:
    """Declare the two streams of a level and give their colors, by parity."""
    up, down = AXIS_PORTS[axis]
    configurations: list[dict[tuple[str, str], list[int]]] = [{}, {}]
    for group in level.groups(extent(builder, axis)):
        # (sender, receiver, the way the words go, where they come from), toward the root from both sides.
        below = [(m, a, b, up, down) for m, (a, b) in enumerate(pairwise(group)) if m < level.root]
        above = [(m + 1, b, a, down, up) for m, (a, b) in enumerate(pairwise(group)) if m >= level.root]
        for member, sender, receiver, ahead, behind in (*below, *above):
            found = configurations[_parity(member, level.root)]
            found.setdefault(("RAMP", ahead), []).append(sender)
            found.setdefault((behind, "RAMP"), []).append(receiver)
            found.setdefault((behind, ahead), []).extend(range(min(sender, receiver) + 1, max(sender, receiver)))
    return [
        builder.stream(
            f"tree.{axis}.{level.number}.{('even', 'odd')[parity]}",
            [
                StreamRoute(along(builder, axis, span), source, (ahead,))
                for (source, ahead), positions in sorted(found.items())
                for span in strided(positions)
            ],
        )
        if found
        else as_expr(0)
        for parity, found in enumerate(configurations)
    ]


def _reduce_level(builder: MeshBuilder, axis: str, level: Level, data: MeshBuffer | View, op: str) -> None:
    """Combine the data of the members of every group into its root's."""
    receive, stream = COMBINE[op]
    root, last = level.root, level.size - 1
    even, odd = _level_streams(builder, axis, level)
    at = (Name(axis) // level.stride) % level.size
    member = builder.param(f"tree_{axis}_{level.number}", at)
    sends_on = builder.param(f"tree_{axis}_{level.number}_out", select((member + member.gt(root)) % 2, odd, even))
    takes_on = builder.param(f"tree_{axis}_{level.number}_in", select((member + member.le(root)) % 2, odd, even))
    from_below, from_above = ((odd, even)[root % 2], (even, odd)[root % 2])
    with builder.when(member.eq(root)):
        if root < last:
            builder.emit(receive, data, color=from_above)
        builder.emit(receive, data, color=from_below)
    with builder.otherwise():
        leaf = member.eq(0) if root == last else maximum(member.eq(0), member.eq(last))
        with builder.when(leaf):
            builder.emit("send", data, color=sends_on)
        with builder.otherwise():
            builder.emit(stream, data, in_=takes_on, out=sends_on)


def _multicast(builder: MeshBuilder, axis: str, root: int, data: MeshBuffer | View) -> None:
    """Copy the data of the PE at ``root`` into everyone's along the axis: down the lower side first."""
    parts = extent(builder, axis)
    up, down = AXIS_PORTS[axis]
    here = Name(axis)
    sides = []
    for name, ahead, behind, passing, end, reached in (
        ("down", down, up, range(1, root), 0, root > 0),
        ("up", up, down, range(root + 1, parts - 1), parts - 1, root < parts - 1),
    ):
        if not reached:
            continue
        routes = [StreamRoute(along(builder, axis, (root, root + 1, 1)), "RAMP", (ahead,))]
        if passing:
            routes.append(StreamRoute(along(builder, axis, (passing.start, passing.stop, 1)), behind, ("RAMP", ahead)))
        routes.append(StreamRoute(along(builder, axis, (end, end + 1, 1)), behind, ("RAMP",)))
        sides.append((name, builder.stream(f"tree.{axis}.{name}", routes)))
    colors = dict(sides)
    with builder.when(here.eq(root)):
        for _, color in sides:
            builder.emit("send", data, color=color)
    with builder.otherwise():
        color = builder.param(
            f"tree_{axis}_from_root",
            select(here.lt(root), colors["down"], colors["up"]) if len(sides) == 2 else sides[0][1],
        )
        builder.emit("recv", data, color=color)


def all_reduce(
    builder: MeshBuilder, axis: str, groups: Sequence[int], data: MeshBuffer | View, op: str = "add"
) -> None:
    """Replace ``data`` in every PE by its sum (``op="max"``: largest) along ``axis``, by a tree of ``groups``.

    ``groups`` are the sizes from the lowest level on. All moves block. Words travel in the
    buffer's dtype, partial sums too. Raises M0616 where the sizes do not fit the axis.
    """
    tree = [level for level in levels(extent(builder, axis), groups) if level.size > 1]
    taking_part: Expr = as_expr(1)
    for level in tree:
        with builder.when(taking_part):
            _reduce_level(builder, axis, level, data, op)
        taking_part = minimum(taking_part, ((Name(axis) // level.stride) % level.size).eq(level.root))
    if tree:
        _multicast(builder, axis, sum(level.root * level.stride for level in tree), data)
