"""The loop of decode: prompts in once, then step by step one token of each sequence, and the chosen tokens out.

All sequences are at the same position t in every step. Sequence b works on its prompt's
token while t < length_b, and after that on the token that the step before chose for it; so
prompts of different lengths need nothing special, and no token passes through the host.
Prompts lie in every PE. What is chosen lies in every PE too, and leaves at the south edge
from the first column; logits, where they are wanted, leave there from every column. What is
chosen before the last token of a prompt is nobody's.

The loop ends after ``steps`` rounds, or as soon as every sequence has chosen one of the stop ids.
Every PE comes to the same tokens (see :mod:`meshc.kernels.sample_top_k`), so each knows that by itself.

Where caches hold something before the first step, that is not at position 0 but at the scalar ``first``, the last
token of the shortest prompt: those before it are in the caches.

Runtime scalars: ``length_b`` of each sequence, ``steps``, and ``stop_0`` to ``stop_3``, ids any of which
ends a sequence (-1: none). Control depends on ``steps`` alone; the others only on what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.host_io import receive_everywhere
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, minimum, select
from meshrt.program.model import Rect

#: The scalar that says how many steps a run takes, and the output that tells the chosen tokens.
STEPS = "steps"
#: The scalar that says at which position the steps begin.
FIRST = "first"
TOKENS = "tokens"
#: The scalars that say which ids end a sequence.
STOPS = tuple(f"stop_{i}" for i in range(4))
_HIGHEST_ID = (1 << 31) - 1


def length_scalars(batch: int) -> tuple[str, ...]:
    """The scalars that say how many tokens each prompt has."""
    return tuple(f"length_{b}" for b in range(batch))


@dataclass(frozen=True, slots=True)
class TokenLoop:
    """The loop around the body of a function of the decode phase.

    ``prompts``, each of ``prompt`` tokens at most, and ``tokens`` [batch], those of the present step and
    then those chosen, lie in every PE; a run takes at most ``context`` steps. ``ended`` [batch] and
    ``done`` [1] say which sequences have chosen a stop id, and whether all have.
    """

    lowering: Lowering
    prompts: MeshBuffer
    tokens: MeshBuffer
    ended: MeshBuffer
    done: MeshBuffer
    stops: MeshBuffer
    length: Expr
    prompt: int
    context: int
    first: Expr

    @classmethod
    def receive(cls, ids: Value, prompt: int, context: int, lowering: Lowering, prefilled: bool = False) -> TokenLoop:
        """Append the arrival of the prompts; ``ids`` is what the body calls the tokens of a step."""
        builder, batch = lowering.builder, lowering.batch
        assert isinstance(ids.type, TensorType)
        tokens = builder.buffer("token", "i32", batch, kept=True)
        prompts = receive_everywhere(builder, ids.name or "input", (batch, prompt), batch * prompt)
        lowering.inputs[ids] = tokens
        ended, done = builder.buffer("ended", "i32", batch), builder.buffer("done", "i32", 1)
        for buffer in (tokens, ended, done):
            builder.emit("fill", buffer, value=0.0)
        stops = builder.buffer("stops", "i32", len(STOPS))
        for i, name in enumerate(STOPS):
            builder.emit("index", stops.at(i, 1), value=builder.scalar(name, -1, _HIGHEST_ID))
        length = _of_sequence([builder.scalar(name, 1, prompt) for name in length_scalars(batch)])
        first = first_position(builder, prompt) if prefilled else as_expr(0)
        return cls(lowering, prompts, tokens, ended, done, stops, length, prompt, context, first)

    @contextmanager
    def steps(self) -> Iterator[Expr]:
        """The loop over positions, each of which it yields."""
        builder = self.lowering.builder
        with builder.loop("t", builder.scalar(STEPS, 1, self.context), self.first, until=self.done) as position:
            self.lowering.position = position
            self._choose(position)
            yield position

    def _choose(self, position: Expr) -> None:
        """The prompt's token of each sequence that is still at its prompt; the others have what was chosen for them."""
        builder, batch = self.lowering.builder, self.lowering.batch
        given, within = builder.buffer("given", "i32", batch), builder.buffer("within", "i32", batch)
        builder.emit("index", within, value=position.lt(self.length))
        at = minimum(position, self.prompt - 1)
        builder.emit("sub", given, self.prompts.at(at, (batch, self.prompt)), self.tokens)
        builder.emit("fma", self.tokens, given, within, self.tokens)

    def tell(self) -> None:
        """Append the departure of the tokens chosen in this step, and whether they are the last."""
        batch = self.lowering.batch
        self._leave(TOKENS, self.tokens, (batch, self.context), 1, lambda step, e: (e % batch, step))
        self._end()

    def _end(self) -> None:
        builder, batch, stops = self.lowering.builder, self.lowering.batch, len(STOPS)
        position = self.lowering.position
        assert position is not None
        off, other = (builder.buffer(name, "i32", batch, stops) for name in ("off", "other"))
        ends = builder.buffer("ends", "i32", batch)
        # How far off each stop id is, at most by one.
        builder.emit("sub", off, self.tokens.at(0, (batch, 1), (stops, 0)), self.stops.at(0, (batch, 0), (stops, 1)))
        builder.emit("mul", other, off, -1.0)
        builder.emit("max", off, off, other)
        builder.emit("min", off, off, 1.0)
        builder.emit("sub", off, 1.0, off)
        builder.emit("reduce_max", ends, off)
        builder.emit("fill", ends, value=0.0, where=(position + 1).lt(self.length))
        builder.emit("max", self.ended, self.ended, ends)
        # All have ended where the least of them is one.
        builder.emit("mul", ends, self.ended, -1.0)
        builder.emit("reduce_max", self.done, ends.at(0, 1, batch))
        builder.emit("mul", self.done, self.done, -1.0)

    def tell_logits(self, op: Operation) -> None:
        """Append the departure of this step's logits."""
        (value,), (name,), (shape,) = op.operands, op.attributes["names"], op.attributes["shapes"]
        type = shard_of(value)
        tile = type.features.tile
        batch, _, features = shape

        def indices(step: Expr, e: Expr) -> tuple[ExprLike, ...]:
            return e // tile, step, type.features.index(Name("x"), e % tile)

        buffer = self.lowering.buffer_of(value)
        self._leave(name, buffer, (batch, self.context, features), self.lowering.width, indices)

    def _leave(
        self,
        name: str,
        buffer: MeshBuffer,
        shape: tuple[int, ...],
        columns: int,
        indices: Callable[[Expr, Expr], tuple[ExprLike, ...]],
    ) -> None:
        """Send a buffer from the first columns of the last row, each step.

        ``indices(step, element)`` says where in the output an element of the buffer belongs.
        """
        builder, south = self.lowering.builder, self.lowering.height - 1
        edge = Rect(0, columns, south, south + 1)
        stream = builder.stream(f"host.out.{name}", [StreamRoute(edge, "RAMP", ("S",))])
        element, size = Name("e"), buffer.elements
        builder.port(
            name,
            "out",
            side="S",
            rect=edge,
            color=stream,
            dtype=buffer.dtype,
            shape=shape,
            count=(as_expr(self.context) - self.first) * size,
            indices=tuple(as_expr(i) for i in indices(self.first + element // size, element % size)),
            # As many as there were steps.
            exact=False,
        )
        here = select(Name("x").lt(columns), Name("y").eq(south), 0)
        with builder.when(here):
            builder.emit("send", buffer, color=stream)


def first_position(builder: MeshBuilder, prompt: int) -> Expr:
    """The position of the first step, as many tokens as prefill leaves in the caches."""
    return builder.scalar(FIRST, 0, prompt - 1)


def _of_sequence(lengths: Sequence[Expr]) -> Expr:
    """The length of the prompt of sequence ``i0``."""
    found = lengths[-1]
    for b in range(len(lengths) - 2, -1, -1):
        found = select(Name("i0").eq(b), lengths[b], found)
    return found
