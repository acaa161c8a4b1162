"""The loop of decode: prompts in once, then step by step one token of each sequence, and the chosen tokens out.

All sequences are at the same position t in every step. Sequence b works on its prompt's
token while t < length_b, and after that on the token that the step before chose for it; so
prompts of different lengths need nothing special, and no token passes through the host.
Prompts lie in every PE. What is chosen lies in every PE too, and leaves at the south edge
from the first column; logits, where they are wanted, leave there from every column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer, StreamRoute
from meshc.kernels.host_io import receive_everywhere
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, select
from meshrt.program.model import Rect

#: The scalar that says how many steps a run takes, and the output that tells the chosen tokens.
STEPS = "steps"
TOKENS = "tokens"


def length_scalars(batch: int) -> tuple[str, ...]:
    """The scalars that say how many tokens each prompt has."""
    return tuple(f"length_{b}" for b in range(batch))


@dataclass(frozen=True, slots=True)
class TokenLoop:
    """The loop around the body of a function of the decode phase.

    ``prompts``, each of ``prompt`` tokens at most, and ``tokens`` [batch], those of the present step,
    lie in every PE; a run takes at most ``context`` steps.
    """

    lowering: Lowering
    prompts: MeshBuffer
    tokens: MeshBuffer
    prompt: int
    context: int

    @classmethod
    def receive(cls, ids: Value, prompt: int, context: int, lowering: Lowering) -> TokenLoop:
        """Append the arrival of the prompts; ``ids`` is what the body calls the tokens of a step."""
        builder, batch = lowering.builder, lowering.batch
        assert isinstance(ids.type, TensorType)
        tokens = builder.buffer("token", "i32", batch, kept=True)
        prompts = receive_everywhere(builder, ids.name or "input", (batch, prompt), batch * prompt)
        lowering.inputs[ids] = tokens
        return cls(lowering, prompts, tokens, prompt, context)

    @contextmanager
    def steps(self) -> Iterator[Expr]:
        """The loop over positions, each of which it yields."""
        lowering = self.lowering
        lengths = [lowering.builder.scalar(name, 1, self.prompt) for name in length_scalars(lowering.batch)]
        steps = lowering.builder.scalar(STEPS, 1, self.context)
        with lowering.builder.loop("t", steps) as position:
            lowering.position = position
            self._choose(lengths, position)
            yield position

    def _choose(self, lengths: list[Expr], position: Expr) -> None:
        """The prompt's token of each sequence that is still at its prompt; the others have what was chosen for them."""
        builder = self.lowering.builder
        for b, length in enumerate(lengths):
            with builder.when(position.lt(length)):
                builder.emit("copy", self.tokens.at(b, 1), self.prompts.at(position + b * self.prompt, 1))

    def tell(self) -> None:
        """Append the departure of the tokens chosen in this step."""
        batch = self.lowering.batch
        self._leave(TOKENS, self.tokens, (batch, self.context), 1, lambda step, e: (e % batch, step))

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
            count=Name(STEPS) * size,
            indices=tuple(as_expr(i) for i in indices(element // size, element % size)),
        )
        here = select(Name("x").lt(columns), Name("y").eq(south), 0)
        with builder.when(here):
            builder.emit("send", buffer, color=stream)
