"""``reduce.two_phase``: chains in groups, then a chain of the groups' roots (HPDC'24, two-phase).

P = Q x Q PEs in Q groups of Q. In every group a chain runs to the PE nearest to the root;
then these group roots form a chain, their messages passing the PEs between. The farthest
group's root streams its chain straight on; the others first take their own group's sum.

Cost, P PEs and B words: max(2 B, 2 B Q / (Q + 1) + P - 1) + (2 T_R + 1)(2 Q - 2) cycles;
between chain and tree. Contention 2 B, depth 2 Q - 2. No program of this pattern runs in
less than :func:`least_cycles`, up to 8 % more than the published cost where both terms of
its maximum are alike. For a few words the program is faster than published, which prices
links by their average load; ``emit_held``, where the farthest group's root stores part of
its sum before it sends it on, meets the published cost there (docs/fidelity.md).

Memory: none besides the data. Colors: four of the chains (:mod:`meshc.kernels.chain`), two
more for the group roots. Critical path: Q - 1 streams, B words, Q - 1 streams, B words.
The routers end up passing; :func:`rearm` turns them back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import COMBINE, chain_colors
from meshc.kernels.collectives.by_tree import ByTree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Arm, Line, off_multiples
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.plan import Plan, both_sides
from meshc.kernels.collectives.reduction import Reduction, root_at_an_end
from meshc.kernels.estimate import Scaling
from meshrt.program.expr import Expr, minimum, select
from meshrt.program.model import View


def cost(length: int, words: int) -> PatternCost:
    """Both phases carry the words over P - Q links: E = 2 (P - Q) B."""
    side = math.isqrt(length)
    return PatternCost(
        contention=2 * words if length > 1 else 0,
        energy=2 * (length - side) * words,
        links=length - 1,
        distance=length - 1,
        depth=2 * side - 2,
    )


def least_cycles(length: int, words: int, ramp_cycles: int = 2, hop_cycles: int = 1) -> int:
    """Below this no program of the pattern can end, however it streams; Q of at least 3.

    The second group root from the far end takes 2 B words, one a cycle, and the first of
    them only when its group's chain reaches it; what it takes last has all the other group
    roots before it, each of which costs both RAMPs, a cycle and its hops.
    """
    side = math.isqrt(length)
    link = 2 * ramp_cycles + hop_cycles
    begins = (link + 1) * (side - 1) - 1
    onward = (side - 2) * (2 * ramp_cycles + side * hop_cycles + 1)
    return begins + 2 * words + onward


def applies(length: int, root: int) -> str | None:
    """A square number of PEs, the root at an end."""
    if math.isqrt(length) ** 2 != length:
        return f"it takes a square number of PEs, not {length}"
    return root_at_an_end(length, root)


def draw(length: int, root: int = 0, group: int | None = None) -> Plan:
    """The two phases of any number of PEs and any root: on each side groups of ``group``, the farthest maybe shorter.

    By default a group has about as many PEs as there are groups.
    """

    def arm(count: int) -> list[list[int]]:
        size = group or max(1, round(math.sqrt(count)))
        own = [[at + 1] if (at + 1) % size and at + 1 < count else [] for at in range(count)]
        return [[*own[at], *([at + size] if at % size == 0 and at + size < count else [])] for at in range(count)]

    return both_sides(length, root, arm)


def emit(builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, op: str) -> None:
    """Combine ``data`` over the line into the root's ``data``."""
    for arm in line.arms(root):
        _emit_arm(builder, arm, data, op, (data,))


def emit_held(builder: MeshBuilder, line: Line, root: int, data: MeshBuffer, op: str, held: int) -> None:
    """The same, where the farthest group's root stores its first ``held`` elements before it sends them on.

    Group roots then exchange two messages, those elements and the others.
    """
    whole = not 0 < held < data.elements
    parts = (data,) if whole else (data.at(0, held), data.at(held, data.elements - held))
    for arm in line.arms(root):
        _emit_arm(builder, arm, data, op, parts)


def _emit_arm(
    builder: MeshBuilder, arm: Arm, data: MeshBuffer | View, op: str, parts: Sequence[MeshBuffer | View]
) -> None:
    """``parts`` are the messages between group roots: the last is streamed by all, those before stored by the first."""
    receive, stream_through = COMBINE[op]
    side = math.isqrt(arm.length + 1)
    chain = chain_colors(builder, arm.line.axis)
    # Toward the root is down where the arm lies above it.
    chain_in, chain_out = (chain.down_in, chain.down_out) if arm.sign > 0 else (chain.up_in, chain.up_out)
    member, group = _member_and_group(builder, arm, side)
    roots_in, roots_out = _root_colors(builder, arm, side, group)
    last = minimum(member.eq(1), group.lt(side - 1))
    chain_out = builder.param("two_phase_chain_out", select(last, roots_in, chain_out))
    with builder.when(arm.line.condition(builder)):
        with builder.when(member.eq(side - 1)):
            builder.emit("send", data, color=chain_out)
        with builder.otherwise(), builder.when(member.gt(0)):
            builder.emit(stream_through, data, in_=chain_in, out=chain_out)
        with builder.when(minimum(member.gt(0), group.lt(side - 1))):
            builder.emit("route", color=roots_in, from_=arm.outward, to=(arm.inward,))
        with builder.when(minimum(member.eq(0), group.eq(side - 1))):
            for part in parts[:-1]:
                builder.emit(receive, part, color=chain_in)
                builder.emit("send", part, color=roots_out)
            builder.emit(stream_through, parts[-1], in_=chain_in, out=roots_out)
        with builder.when(minimum(member.eq(0), group.lt(side - 1))):
            builder.emit(receive, data, color=roots_in)
            with builder.when(group.gt(0)):
                for part in parts:
                    builder.emit(stream_through, part, in_=roots_in, out=roots_out)
            with builder.otherwise():
                for part in parts:
                    builder.emit(receive, part, color=roots_in)


def rearm(builder: MeshBuilder, line: Line, root: int) -> None:
    """Turn the routers back, for the same to run again, as :mod:`meshc.kernels.collectives.star` explains."""
    for arm in line.arms(root):
        side = math.isqrt(arm.length + 1)
        member, group = _member_and_group(builder, arm, side)
        inside = minimum(line.condition(builder), group.lt(side - 1))
        with builder.when(minimum(inside, member.gt(0))):
            roots_in, _ = _root_colors(builder, arm, side, group)
            builder.emit("route", color=roots_in, from_="RAMP", to=(arm.inward,))


def _member_and_group(builder: MeshBuilder, arm: Arm, side: int) -> tuple[Expr, Expr]:
    """This PE's distance from its group's root, and its group's number from the root on."""
    at = builder.param("two_phase_distance", arm.distance)
    return at % side, at // side


def _root_colors(builder: MeshBuilder, arm: Arm, side: int, group: Expr) -> tuple[Expr, Expr]:
    """The colors that this group's root receives on and sends on."""
    even, odd = (_stream(builder, arm, side, parity) for parity in (0, 1))
    roots_in = builder.param("two_phase_in", select(group % 2, even, odd))
    return roots_in, builder.param("two_phase_out", select(group % 2, odd, even))


def _stream(builder: MeshBuilder, arm: Arm, side: int, parity: int) -> Expr:
    """The messages of group roots of this parity to the next group root; the PEs between pass nothing at first."""
    stop = arm.length + 1
    first = parity if parity else 2
    routes = [
        *arm.routes(first * side, stop, 2 * side, "RAMP", arm.inward),
        *arm.routes((1 - parity) * side, stop - side, 2 * side, arm.outward, "RAMP"),
    ]
    for start, step in off_multiples(side):
        routes += arm.routes(start, stop - side, step, "RAMP", arm.inward)
    return builder.stream(f"two_phase.{arm.name}.{('even', 'odd')[parity]}", routes)


REDUCTION = Reduction("reduce.two_phase", "chains in groups, then a chain of group roots", emit, applies, cost)


def draw_from_middle(length: int, group: int | None = None) -> Plan:
    """The same with its root in the middle of the line."""
    return draw(length, length // 2, group)


def candidates(length: int, payload: Payload) -> Iterator[Parameters]:
    """Groups near the square root."""
    side = math.sqrt(max(1, length // 2))
    for group in sorted({max(1, round(side * factor)) for factor in (0.7, 1.0, 1.4)}):
        yield {"group": group}


_TREE, _FROM_MIDDLE = ByTree("two_phase", draw), ByTree("two_phase_from_middle", draw_from_middle)
_SCALING = Scaling("1", "O(1)", "sqrt(N)", "2 sqrt(N)", "Luczynski et al., HPDC'24")
ALL_REDUCE = Collective(
    "all_reduce.two_phase",
    "chains in groups, then a chain of the groups' roots",
    _FROM_MIDDLE.all_reduce,
    _FROM_MIDDLE.all_reduce_estimate,
    _SCALING,
    candidates,
)
REDUCE = Collective(
    "reduce.two_phase",
    ALL_REDUCE.meaning,
    _TREE.reduce,
    _TREE.reduce_estimate,
    _SCALING,
    candidates,
    takes=frozenset({"root"}),
)
