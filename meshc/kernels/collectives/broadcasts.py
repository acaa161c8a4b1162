"""``broadcast.multicast`` and ``broadcast.chain``: routers that copy, and PEs that do.

A multicast (:mod:`meshc.kernels.collectives.broadcast`) is as fast as words travel. A chain
(:mod:`meshc.kernels.chain`) wakes every PE on the way, B + (2 T_R + 2) P cycles, but its colors
are those of all chains and its root may be another PE at every step. Memory: none beside the data.
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import chain_broadcast
from meshc.kernels.collectives import broadcast
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.line import Line, require_root
from meshc.kernels.collectives.pace import Payload, broadcast_pace
from meshc.kernels.estimate import Estimate, Scaling
from meshrt.program.cost import word_period
from meshrt.program.model import View


def candidates(length: int, payload: Payload) -> tuple[Parameters, ...]:
    """There is nothing to choose."""
    return ({},)


def emit_multicast(builder: MeshBuilder, line: Line, data: MeshBuffer | View, op: object = None, root: int = 0) -> None:
    """Append the multicast from the root."""
    broadcast.emit_line(builder, line, root, data)


def estimate_multicast(length: int, payload: Payload, /, root: int = 0) -> Estimate:
    """One message to the farthest end."""
    several = int(length > 1)
    return Estimate(broadcast_pace(length, root, payload), 0, several, max(root, length - 1 - root), several)


def emit_chain(builder: MeshBuilder, line: Line, data: MeshBuffer | View, op: object = None, root: int = 0) -> None:
    """Append the chains from the root, the upper side first."""
    require_root(line.length, root)
    chain_broadcast(builder, line.segment(builder), root, data)


def estimate_chain(length: int, payload: Payload, /, root: int = 0) -> Estimate:
    """The root sends up, then down; on the way each PE hands a word on a period after it came."""
    if length == 1:
        return Estimate(0, 0, 0, 0, 0)
    target = payload.target
    period = word_period(target, "move", payload.dtype)
    asked = payload.asked + target.branch_cycles
    now, end = asked, 0
    for count in (length - 1 - root, root):
        now += target.branch_cycles
        if count:
            first = now + payload.launch
            hand_on = (count - 1) * (payload.flight(1) + period)
            arrives = first + hand_on + payload.flight(1) + (payload.words - 1) * period
            end = max(end, arrives + period)
            now = first + payload.words
    far = max(root, length - 1 - root)
    return Estimate(end, 0, 4 if length > 3 else min(4, 2 * (length - 1)), far, far)


MULTICAST = Collective(
    "broadcast.multicast",
    "one PE sends, routers copy",
    emit_multicast,
    estimate_multicast,
    Scaling("1", "O(1)", "N - 1", "1", "Luczynski et al., HPDC'24"),
    candidates,
    takes=frozenset({"root"}),
)
CHAIN = Collective(
    "broadcast.chain",
    "PEs pass the words on, from any root at any step",
    emit_chain,
    estimate_chain,
    Scaling("1", "O(1)", "1", "N", "Luczynski et al., HPDC'24"),
    candidates,
    takes=frozenset({"root"}),
)
