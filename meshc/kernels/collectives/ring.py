"""``all_reduce.ring``: every PE sums one part of the data while the parts go round (HPDC'24, ring).

The data is cut into P parts. On the two-hop ring of the line (:mod:`meshc.kernels.ring`) each part
visits all PEs, which add what they hold, and then all PEs again, which keep it: 2 (P - 1) steps, in each
of which every PE sends one part and receives another. It moves the least data per link, and
pays for it with the most steps: for much data on few PEs.

Cost, B words: 2 (P - 1) steps of B / P words, two hops, the RAMPs, a launch, a set-up and a wait each.
Critical path: 2 (P - 1) stages. Memory: none beside the data. Colors: four.
"""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.chain import COMBINE
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.emission import pick
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.spans import spans
from meshc.kernels.estimate import Estimate, Scaling
from meshc.kernels.ring import AXIS_PORTS, logical, message_class, successor
from meshrt.program.cost import elements_per_word, launch_cycles
from meshrt.program.expr import Expr, ExprLike, as_expr, maximum, minimum, select
from meshrt.program.model import View


def part_elements(elements: int, dtype: str, length: int) -> int:
    """Elements of a part: whole words, the last parts shorter or empty."""
    per_word = elements_per_word(dtype)
    return -(-elements // (length * per_word)) * per_word


def emit(builder: MeshBuilder, line: Line, data: MeshBuffer | View, op: Operator = "add") -> None:
    """Append the all-reduce of a whole buffer by a word-by-word operator."""
    parts = line.length
    if parts == 1:
        return
    assert isinstance(data, MeshBuffer) and isinstance(op, str), "the ring cuts a buffer of words that combine"
    part = part_elements(data.elements, data.dtype, parts)
    sends, takes = _colors(builder, line)
    at = builder.param("ring_logical", logical(line.position, parts))

    def view(number: Expr) -> View:
        begin = number * part
        return data.at(begin, maximum(minimum(data.elements - begin, part), 0))

    def step(number: Expr, opcode: str) -> None:
        out, into = (at + number) % parts, (at + 1 + number) % parts
        with builder.when(_filled(out, part, parts, data.elements)):
            builder.emit("send", view(out), color=sends, async_="part")
        with builder.when(_filled(into, part, parts, data.elements)):
            builder.emit(opcode, view(into), color=takes)
        with builder.when(_filled(out, part, parts, data.elements)):
            builder.emit("wait", handle="part")

    with builder.when(line.condition(builder)):
        with builder.loop("step", parts - 1) as number:
            step(number, COMBINE[op][0])
        with builder.loop("step", 2 * (parts - 1), start=parts - 1) as number:
            step(number, "recv")


def _filled(number: Expr, part: int, parts: int, elements: int) -> ExprLike:
    """Whether a part holds anything."""
    return 1 if (parts - 1) * part < elements else (number * part).lt(elements)


def _colors(builder: MeshBuilder, line: Line) -> tuple[Expr, Expr]:
    """The colors that this PE sends and receives on: a message's follows from its sender's position modulo 4."""
    parts = line.length
    up, down = AXIS_PORTS[line.axis]
    routes: list[dict[tuple[str, str], list[int]]] = [{} for _ in range(4)]
    for sender in range(parts):
        receiver = successor(sender, parts)
        step, ahead, behind = (1, up, down) if receiver > sender else (-1, down, up)
        found = routes[message_class(sender)]
        found.setdefault(("RAMP", ahead), []).append(sender)
        found.setdefault((behind, "RAMP"), []).append(receiver)
        for between in range(sender + step, receiver, step):
            found.setdefault((behind, ahead), []).append(between)
    streams = [
        builder.stream(
            f"ring.{line.name}.{kind}",
            [
                StreamRoute(rect, source, (destination,))
                for (source, destination), positions in sorted(found.items())
                for span in spans(sorted(positions))
                for rect in line.rects(*span)
            ],
        )
        if found
        else as_expr(0)
        for kind, found in enumerate(routes)
    ]
    position, end = line.position, parts - 1
    last = end if parts % 2 else parts - 2
    # Who sends here: two behind on the even side and two ahead on the odd one, but at the ends.
    source = builder.param(
        "ring_from",
        select(
            position % 2,
            select((position + 2).le(end), position + 2, last),
            select(position.eq(0), min(1, end), position - 2),
        ),
    )
    own = builder.param("ring_out", pick(streams, position % 2 * 2 + position // 2 % 2))
    other = builder.param("ring_in", pick(streams, source % 2 * 2 + source // 2 % 2))
    return own, other


def estimate(length: int, payload: Payload, /) -> Estimate:
    """All PEs keep step, at the pace of those whose words come over two hops.

    Where some parts are empty it takes less: their steps are only asked for.
    """
    if length == 1:
        return Estimate(0, 0, 0, 0, 0)
    target = payload.target
    steps, hops = 2 * (length - 1), min(2, length - 1)
    part = part_elements(payload.elements, payload.dtype, length)
    empty = (length - 1) * part >= payload.elements
    sent = launch_cycles(target, True)
    words = -(-part // elements_per_word(payload.dtype)) * payload.period
    arrives = sent + payload.flight(hops)
    step = target.loop_cycles + max(sent + payload.launch, arrives) + words
    step += target.issue_cycles + target.task_wakeup_cycles + (3 * target.branch_cycles if empty else 0)
    cycles = payload.asked + 2 * target.issue_cycles + steps * step
    return Estimate(cycles, 0, min(4, length), steps * hops, steps)


def candidates(length: int, payload: Payload) -> tuple[Parameters, ...]:
    """Where every part holds something; what is stored to be merged does not come in parts."""
    whole = (length - 1) * part_elements(payload.elements, payload.dtype, length) < payload.elements
    return ({},) if payload.streams and whole else ()


ALL_REDUCE = Collective(
    "all_reduce.ring",
    "parts of the data go round twice, to be summed and to be kept",
    emit,
    estimate,
    Scaling("1", "O(1)", "2", "2 N", "Luczynski et al., HPDC'24"),
    candidates,
)
