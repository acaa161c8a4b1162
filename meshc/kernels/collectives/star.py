"""``reduce.star``: everyone sends to the root at once (HPDC'24, star).

Every PE starts by sending its own words toward the root. Behind them it turns its router
from its own RAMP to the neighbour farther out, so the words of all PEs form one train, the
nearest PE's first, and the root adds them as they arrive. No PE but the root computes.
The root may lie anywhere; it takes one side, then the other.

Cost, P PEs and B words: B (P - 1) + 2 T_R + 1 cycles, the words into the root back to
back; best for a few words. Contention B (P - 1), depth 1. Memory: none besides the data.
Colors: one for each side of the root. Critical path: the root's receives.

Each router ends up passing words on. Before the same star runs again every PE calls
:func:`rearm`: after something from the root has reached it (the result, broadcast, say), so
that the last word has passed, and before any PE begins anew; what lies between must be a
barrier, like an all-reduce by chains. Words that pass while a route is rewritten are an
error of the run (M0504, rule R3).
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import COMBINE
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Arm, Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.reduction import Reduction, any_root
from meshc.kernels.estimate import Estimate, Scaling
from meshrt.program.expr import Expr, minimum
from meshrt.program.model import View


def cost(length: int, words: int) -> PatternCost:
    """The train of the words hides the way of all but the first, so that the links are never what is waited for."""
    return PatternCost(contention=words * (length - 1), energy=0, links=0, distance=0, depth=min(1, length - 1))


def emit(builder: MeshBuilder, line: Line, root: int, data: MeshBuffer | View, op: str) -> None:
    """Combine ``data`` over the line into the root's ``data``."""
    inside = line.condition(builder)
    for arm in line.arms(root):
        stream = _stream(builder, arm)
        at = arm.distance
        with builder.when(minimum(inside, at.gt(0))):
            builder.emit("send", data, color=stream)
            with builder.when(at.lt(arm.length)):
                builder.emit("route", color=stream, from_=arm.outward, to=(arm.inward,))
        with builder.when(minimum(inside, at.eq(0))), builder.loop("sender", arm.length):
            builder.emit(COMBINE[op][0], data, color=stream)


def rearm(builder: MeshBuilder, line: Line, root: int) -> None:
    """Turn the routers back to their own RAMPs, for the same star to run again."""
    inside = line.condition(builder)
    for arm in line.arms(root):
        at = arm.distance
        with builder.when(minimum(minimum(inside, at.gt(0)), at.lt(arm.length))):
            builder.emit("route", color=_stream(builder, arm), from_="RAMP", to=(arm.inward,))


def _stream(builder: MeshBuilder, arm: Arm) -> Expr:
    routes = [
        *arm.routes(0, 1, 1, arm.outward, "RAMP"),
        *arm.routes(1, arm.length + 1, 1, "RAMP", arm.inward),
    ]
    return builder.stream(f"star.{arm.name}", routes)


def emit_by_name(
    builder: MeshBuilder, line: Line, data: MeshBuffer | View, op: Operator = "add", root: int = 0
) -> None:
    """:func:`emit`, with the root as a parameter of its name."""
    assert isinstance(op, str), "a star combines word by word"
    emit(builder, line, root, data, op)


def estimate(length: int, payload: Payload, /, root: int = 0) -> Estimate:
    """The root takes the words of all PEs of one side back to back, then those of the other."""
    if length == 1:
        return Estimate(0, 0, 0, 0, 0)
    target = payload.target
    sent = payload.asked + target.branch_cycles + payload.launch
    now, far = 0, 0
    for count in (length - 1 - root, root):
        if not count:
            continue
        # Branches of the root: on the senders' side and on its own.
        now += 2 * (payload.asked + target.branch_cycles) + target.issue_cycles
        for _ in range(count):
            ready = max(now + target.loop_cycles + payload.launch, sent + payload.flight(1))
            now = ready + payload.words * payload.period
        far = max(far, count)
    sides = (root > 0) + (root < length - 1)
    return Estimate(now, 0, sides, far, 1)


def candidates(length: int, payload: Payload) -> tuple[Parameters, ...]:
    """There is nothing to choose; what is stored to be merged does not come in one train."""
    return ({},) if payload.streams else ()


REDUCE = Collective(
    "reduce.star",
    "everyone sends to the root, back to back; rearmed before it runs again",
    emit_by_name,
    estimate,
    Scaling("1", "O(N)", "N - 1", "1", "Luczynski et al., HPDC'24"),
    candidates,
    takes=frozenset({"root"}),
    rerun=False,
)

REDUCTION = Reduction("reduce.star", "everyone sends to the root, back to back", emit, any_root, cost)
