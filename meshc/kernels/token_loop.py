"""The loop over tokens, on the wafer: prompts in, one step after the other, sampled tokens out.

All sequences are at the same position ``t`` in every step. Sequence b takes its prompt's
token while ``t < length_b`` and from then on the one that it sampled in the step before, so
prompts of different lengths need nothing special and the host has no part in it: it sends
the prompts and listens. What every step sampled leaves through the port ``tokens``, one word for
each sequence; what a sequence samples before the last token of its prompt is nobody's.

The loop ends after ``steps`` rounds, or as soon as every sequence has sampled one of the stop
ids. Every PE comes to the same tokens by itself (see :mod:`meshc.kernels.sample_top_k`), so
it knows that as well.

Runtime scalars: ``length_b`` of each sequence, ``steps``, and ``stop_0`` to ``stop_3``, ids of which any
ends a sequence (-1: none).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from meshc.ir.core import Operation, TensorType
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.host_io import emit_prompts, emit_step_result
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, Name, minimum, select

#: How many ids may end a sequence.
STOPS = 4
#: The port through which the sampled tokens leave, and the op table's names of what the loop does itself.
TOKENS = "tokens"

#: Statements that belong to an entry of the op table, which the name makes.
Scope = Callable[[str], AbstractContextManager[None]]


@contextmanager
def token_loop(func: Operation, lowering: Lowering, scope: Scope) -> Iterator[None]:
    """Append what stands around one step of decode; inside, append the body of ``func``, with its ``tile.sample``.

    ``func`` is a tile-level function of the phase ``decode``, with its ``context`` and ``prompt`` (the longest).
    Inside, ``lowering.position`` is the position of the step and ``lowering.inputs`` has the token of each sequence.
    """
    (ids,) = func.regions[0].args
    assert isinstance(ids.type, TensorType)
    batch, context, longest = ids.type.shape[0], func.attributes["context"], func.attributes["prompt"]
    builder = lowering.builder
    lengths = [builder.scalar(f"length_{b}", 1, longest) for b in range(batch)]
    steps = builder.scalar("steps", 1, context)
    name = ids.name or "input"
    with scope(f"input {name}"):
        prompts = emit_prompts(builder, name, batch, longest)
    state = _State(lowering, batch, _of_sequence(lengths))
    with scope("next"):
        state.begin()
    with builder.loop("t", steps, until=state.done) as t:
        lowering.position = t
        with scope("next"):
            lowering.inputs[ids] = state.current_of(prompts, t)
        yield
        (sample,) = (op for op in func.regions[0].ops if op.name == "tile.sample")
        with scope("next"):
            state.take(lowering.inputs[sample.result], t)
        with scope(f"output {TOKENS}"):
            emit_step_result(builder, TOKENS, state.sampled, context)
    lowering.position = None


def _of_sequence(lengths: list[Expr]) -> Expr:
    """The prompt's length of sequence ``i0``."""
    found = lengths[-1]
    for b in range(len(lengths) - 2, -1, -1):
        found = select(Name("i0").eq(b), lengths[b], found)
    return found


@dataclass
class _State:
    """What a PE keeps from step to step: the tokens sampled last, and which sequences have ended."""

    lowering: Lowering
    batch: int
    length: Expr

    def __post_init__(self) -> None:
        builder, batch = self.lowering.builder, self.batch
        self.sampled = builder.buffer("sampled", "i32", batch)
        self.ended = builder.buffer("ended", "i32", batch)
        self.done = builder.buffer("done", "i32", 1)
        self.stops = builder.buffer("stops", "i32", STOPS)

    def begin(self) -> None:
        """Append what holds before the first step."""
        builder = self.lowering.builder
        for buffer in (self.sampled, self.ended, self.done):
            builder.emit("fill", buffer, value=0.0)
        for i in range(STOPS):
            builder.emit("index", self.stops.at(i, 1), value=builder.scalar(f"stop_{i}", -1, (1 << 31) - 1))

    def current_of(self, prompts: MeshBuffer, t: Expr) -> MeshBuffer:
        """Append the choice of each sequence's token: its prompt's, or the one that it sampled."""
        builder, batch, longest = self.lowering.builder, self.batch, prompts.shape[1]
        current, within = builder.buffer("current", "i32", batch), builder.buffer("in_prompt", "i32", batch)
        builder.emit("index", within, value=t.lt(self.length))
        builder.emit("sub", current, prompts.at(minimum(t, longest - 1), (batch, longest)), self.sampled)
        builder.emit("fma", current, current, within, self.sampled)
        return current

    def take(self, ids: MeshBuffer, t: Expr) -> None:
        """Append what follows from the tokens just sampled: which sequences have ended, and whether all have."""
        builder, batch = self.lowering.builder, self.batch
        off, other = (builder.buffer(name, "i32", batch, STOPS) for name in ("off", "other"))
        ends = builder.buffer("ends", "i32", batch)
        builder.emit("copy", self.sampled, ids)
        # How far off each stop id is, at most by one.
        builder.emit("sub", off, ids.at(0, (batch, 1), (STOPS, 0)), self.stops.at(0, (batch, 0), STOPS))
        builder.emit("mul", other, off, -1.0)
        builder.emit("max", off, off, other)
        builder.emit("min", off, off, 1.0)
        builder.emit("sub", off, 1.0, off)
        builder.emit("reduce_max", ends, off)
        # Within a prompt nothing that is sampled counts.
        builder.emit("fill", ends, value=0.0, where=(t + 1).lt(self.length))
        builder.emit("max", self.ended, self.ended, ends)
        # All have ended where the least of them is one.
        builder.emit("mul", ends, self.ended, -1.0)
        builder.emit("reduce_max", self.done, ends.at(0, 1, batch))
        builder.emit("mul", self.done, self.done, -1.0)
