"""What a plan costs on a target, message by message, before it runs.

The clock of every PE follows the generated code (:mod:`meshc.kernels.collectives.emission`) at the prices of
:mod:`meshrt.program.cost`. A message is its first and its last word. Where words of the next message come
while one is taken they hold it up, as far as the queues on their way have room for them; that is all of
contention that the model knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.plan import Plan
from meshc.kernels.estimate import Estimate
from meshrt.program.cost import flight_cycles, launch_cycles, word_period, words
from meshrt.program.model import DTYPE_BYTES
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Payload:
    """What each PE of a line contributes, and the machine that carries it.

    ``partial`` lines are those that not all PEs of the region lie in: their code asks each PE
    whether it does.
    """

    elements: int
    dtype: str
    op: Operator
    target: Target
    partial: bool = False

    @property
    def words(self) -> int:
        """Words of a message."""
        return words(self.elements, self.dtype, self.target.word_bytes)

    @property
    def streams(self) -> bool:
        """Whether partial results combine while they pass."""
        return isinstance(self.op, str)

    @property
    def launch(self) -> int:
        """From the issue of a blocking move to its first word."""
        return launch_cycles(self.target, False)

    @property
    def asked(self) -> int:
        """Whether the PE lies in the line at all."""
        return self.target.branch_cycles if self.partial else 0

    @property
    def period(self) -> int:
        """Cycles from one word that is taken to the next, where words combine."""
        return word_period(self.target, "add" if self.streams else "move", self.dtype)

    @property
    def merge(self) -> int:
        """What a stored message costs once it is there."""
        return 0 if isinstance(self.op, str) else self.op.cycles(self.target, self.dtype)

    @property
    def scratch_bytes(self) -> int:
        """SRAM besides the data."""
        if isinstance(self.op, str):
            return 0
        return self.elements * DTYPE_BYTES[self.dtype] + self.op.scratch_bytes(self.dtype)

    def flight(self, hops: int) -> int:
        """From the injection of a word to its arrival."""
        return flight_cycles(self.target, hops)


@dataclass(frozen=True, slots=True)
class Message:
    """When the first and the last word of a message leave, and the hops to who takes it: below 0 to the west or north.

    ``behind`` are the hops of the stretch over which its words already streamed in one go.
    """

    first: int
    last: int
    hops: int
    behind: int = 0

    def arrival(self, payload: Payload) -> int:
        """When the first word comes."""
        return self.first + payload.flight(abs(self.hops))

    @property
    def stretch(self) -> int:
        """The hops over which its words are on their way at once."""
        return abs(self.hops) + self.behind


def reduce_pace(plan: Plan, payload: Payload) -> int:
    """When the root has the combination, the code before it begun at 0 in all PEs."""
    if plan.length == 1:
        return 0
    target = payload.target
    start = payload.asked + target.branch_cycles
    inner = [p for p, children in enumerate(plan.children) if children]
    stores = any(len(plan.children[p]) > (payload.streams and p != plan.root) for p in inner)
    sends_on = target.branch_cycles if len(inner) > 1 or not payload.streams else 0
    sent: dict[int, Message] = {}
    for p in plan.order:
        hops = plan.parents[p] - p
        messages = [sent.pop(child) for child in plan.children[p]]
        if not messages:
            sent[p] = _sent(start + payload.launch, hops, payload)
            continue
        streamed = messages[-1:] if payload.streams and p != plan.root else []
        now = start + (target.issue_cycles if stores else 0)
        for number, message in enumerate(messages[: len(messages) - len(streamed)]):
            first, last = _taken(now + target.loop_cycles + payload.launch, message, payload)
            held_up = _held_up(first, last, now, message, messages[number + 1 :], payload)
            now = last + held_up + payload.period + payload.merge
        now += sends_on
        if p == plan.root:
            return now
        ready = now + payload.launch
        if streamed:
            first, last = _taken(ready, streamed[0], payload)
            sent[p] = Message(first + payload.period, last + payload.period, hops, streamed[0].stretch)
        else:
            sent[p] = _sent(ready, hops, payload)
    raise AssertionError("the root comes last")


def _sent(first: int, hops: int, payload: Payload) -> Message:
    return Message(first, first + payload.words - 1, hops)


def _taken(ready: int, message: Message, payload: Payload) -> tuple[int, int]:
    """When the first and the last word of a message are taken."""
    first = max(ready, message.arrival(payload))
    last = max(first + (payload.words - 1) * payload.period, message.last + payload.flight(abs(message.hops)))
    return first, last


def _held_up(
    first: int, last: int, before: int, message: Message, following: Sequence[Message], payload: Payload
) -> int:
    """Cycles by which words of later messages delay the one that is taken from ``first`` to ``last``.

    A later message that comes meanwhile fills the queues on its way: those behind the links of
    the taken message's stretch, if from the same side, or else its PE's own queue, behind the RAMP.
    Words that came before ``first`` had the links to themselves, and what the taken message has in its
    own queues by then makes up for as many. One that came before the message before ended has done all that.
    """
    queue = payload.target.queue_words
    taken = 0
    for other in following:
        arrival = other.arrival(payload)
        if before > arrival:
            continue
        shared = min(message.stretch, abs(other.hops)) + 1 if message.hops * other.hops > 0 else 1
        room = min(payload.words, queue * shared)
        taken += max(0, min(room, last - arrival) - max(0, first - arrival))
    reserve = min(first - message.arrival(payload), queue * (message.stretch + 1))
    return max(0, taken - reserve)


def broadcast_pace(length: int, root: int, payload: Payload, start: int = 0) -> int:
    """When the last PE has what the root begins to send at ``start``; the others wait for it."""
    if length == 1:
        return start
    far = max(root, length - 1 - root)
    injected = start + payload.asked + payload.target.branch_cycles + payload.launch + payload.words - 1
    return injected + payload.flight(far) + word_period(payload.target, "move", payload.dtype)


def all_reduce_estimate(plan: Plan, payload: Payload) -> Estimate:
    """The prediction for a reduction and a multicast back; the longest path, whether or not it takes longest."""
    cycles = broadcast_pace(plan.length, plan.root, payload, reduce_pace(plan, payload))
    several = int(plan.length > 1)
    hops, stages = plan.longest_path
    far = max(plan.root, plan.length - 1 - plan.root)
    return Estimate(cycles, payload.scratch_bytes, plan.color_count + several, hops + far, stages + several)


def reduce_estimate(plan: Plan, payload: Payload) -> Estimate:
    """The prediction for a reduction alone."""
    return Estimate(reduce_pace(plan, payload), payload.scratch_bytes, plan.color_count, *plan.longest_path)
