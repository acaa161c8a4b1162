"""``reduce.tree``: a binary tree over a power of two PEs, distances doubling (HPDC'24, tree).

In round r, of the PEs left, every second one sends its partial result 2^r PEs toward the
root, past PEs that have already sent: log2 P rounds. A PE takes the messages of rounds
0, 1, .. in that order and then sends in its own round. The last message that it takes it
may *store*, and then send the sum, or *stream*: add its own words as that message passes. When
it has sent, it turns its router to pass the messages of later rounds, which take the same
links: words that come early would take turns with those that are wanted.

Cost, P PEs and B words: max(B log2 P, B P / (2 (P - 1)) log2 P + P - 1) + (2 T_R + 1) log2 P
cycles. Contention B log2 P at the root, depth log2 P. With every round stored the rounds
follow each other: B log2 P + 2 T_R log2 P + P - 1. With every round streamed a message
is under way while the one before it still arrives: near B + 2 T_R log2 P + P - 1 for few
words, B log2 P + 2 T_R + 1 for many. The published cost, which prices links by their
average load, lies between the two; with the first two rounds after the leaves stored it is
met (``emit_stored``, docs/fidelity.md).

Memory: none besides the data. Colors: one a round, log2 P. Critical path: the PEs at
P/2, P/4, .. from the root. The routers end up passing; :func:`rearm` turns them back.
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import COMBINE
from meshc.kernels.collectives.by_tree import ByTree
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Arm, Line, off_multiples
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.plan import Plan, both_sides
from meshc.kernels.collectives.reduction import Reduction, root_at_an_end
from meshc.kernels.estimate import Scaling
from meshrt.program.expr import Expr, minimum
from meshrt.program.model import View


def rounds_of(length: int) -> int:
    """log2 of the line's length."""
    return length.bit_length() - 1


def cost(length: int, words: int) -> PatternCost:
    """In every round half of the line's length is crossed by B words, whoever sends."""
    rounds = rounds_of(length)
    return PatternCost(words * rounds, words * length // 2 * rounds, length - 1, length - 1, rounds)


def applies(length: int, root: int) -> str | None:
    """A power of two PEs, the root at an end."""
    if length & (length - 1):
        return f"it takes a power of two PEs, not {length}"
    return root_at_an_end(length, root)


def draw(length: int, root: int = 0) -> Plan:
    """The tree of any number of PEs and any root: on each side that of a power of two, less what is not there."""

    def arm(count: int) -> list[list[int]]:
        rounds = range((count - 1).bit_length())
        return [[at + (1 << r) for r in rounds if at % (2 << r) == 0 and at + (1 << r) < count] for at in range(count)]

    return both_sides(length, root, arm)


def emit(builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, op: str) -> None:
    """Combine ``data`` over the line into the root's ``data``, streaming wherever a message can be streamed."""
    emit_stored(builder, line, root, data, op, 0)


def emit_stored(
    builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, op: str, stored_rounds: int
) -> None:
    """The same, where the PEs that send in rounds 1 up to ``stored_rounds`` store the message before."""
    for arm in line.arms(root):
        with builder.when(line.condition(builder)):
            _descend(builder, arm, data, op, stored_rounds, 0)


def _descend(builder: MeshBuilder, arm: Arm, data: MeshBuffer | View, op: str, stored_rounds: int, r: int) -> None:
    """What the PEs at multiples of 2^r do once they have all messages but that of round r - 1."""
    receive, stream_through = COMBINE[op]
    out = _stream(builder, arm, r)
    at, rounds = builder.param("tree_distance", arm.distance), rounds_of(arm.length + 1)
    with builder.when((at % (2 << r)).ne(0)):
        if r == 0:
            builder.emit("send", data, color=out)
        elif r <= stored_rounds:
            builder.emit(receive, data, color=_stream(builder, arm, r - 1))
            builder.emit("send", data, color=out)
        else:
            builder.emit(stream_through, data, in_=_stream(builder, arm, r - 1), out=out)
        for later in range(r + 1, rounds):
            builder.emit("route", color=_stream(builder, arm, later), from_=arm.outward, to=(arm.inward,))
    with builder.otherwise():
        if r > 0:
            builder.emit(receive, data, color=_stream(builder, arm, r - 1))
        if r + 1 < rounds:
            _descend(builder, arm, data, op, stored_rounds, r + 1)
        else:
            builder.emit(receive, data, color=out)


def rearm(builder: MeshBuilder, line: Line, root: int) -> None:
    """Turn the routers back, for the same tree to run again, as :mod:`meshc.kernels.collectives.star` explains."""
    inside = line.condition(builder)
    for arm in line.arms(root):
        for r in range(1, rounds_of(arm.length + 1)):
            with builder.when(minimum(inside, (arm.distance % (1 << r)).ne(0))):
                builder.emit("route", color=_stream(builder, arm, r), from_="RAMP", to=(arm.inward,))


def _stream(builder: MeshBuilder, arm: Arm, r: int) -> Expr:
    """The messages of round r: from odd multiples of 2^r to the even ones, past others, which pass nothing at first."""
    far, stop = 1 << r, arm.length + 1
    routes = [
        *arm.routes(far, stop, 2 * far, "RAMP", arm.inward),
        *arm.routes(0, stop, 2 * far, arm.outward, "RAMP"),
    ]
    for start, step in off_multiples(far):
        routes += arm.routes(start, stop, step, "RAMP", arm.inward)
    return builder.stream(f"tree.{arm.name}.{r}", routes)


REDUCTION = Reduction("reduce.tree", "a binary tree, distances doubling", emit, applies, cost)


def draw_from_middle(length: int) -> Plan:
    """The same with its root in the middle of the line."""
    return draw(length, length // 2)


def candidates(length: int, payload: Payload) -> tuple[Parameters, ...]:
    """There is nothing to choose."""
    return ({},)


_TREE, _FROM_MIDDLE = ByTree("tree", draw), ByTree("tree_from_middle", draw_from_middle)
_SCALING = Scaling("1", "O(log N)", "N / 2", "log N", "Luczynski et al., HPDC'24")
ALL_REDUCE = Collective(
    "all_reduce.tree",
    "a binary tree, distances doubling",
    _FROM_MIDDLE.all_reduce,
    _FROM_MIDDLE.all_reduce_estimate,
    _SCALING,
    candidates,
)
REDUCE = Collective(
    "reduce.tree",
    ALL_REDUCE.meaning,
    _TREE.reduce,
    _TREE.reduce_estimate,
    _SCALING,
    candidates,
    takes=frozenset({"root"}),
)
