"""The KV cache of one layer: which token lies in which slot of which row, and how a step's token comes in.

Rows of PEs hold tokens, columns the dimensions of heads; a row has ``capacity`` slots, and token
j lies in slot ``j % capacity``. Everything follows from the number of tokens n, so that nothing
is stored and masks know each slot's token:

``shift``
    Row r of H holds the tokens from ``n * r // H`` up to ``n * (r + 1) // H``: in order, and no
    row has more than one token more than another. From n - 1 to n tokens each of these bounds
    moves by 0 or 1. Where a row's lower bound moves, its oldest token goes to the row above; the
    bottom row takes the new one (WaferLLM section 5, shift-based cache). Rows send at the same
    time, one hop each. While there are fewer tokens than rows, a token goes over empty rows, which
    pass it on word by word. Capacity: context / H.
``append``
    The bottom row takes every token (the baseline of WaferLLM's Table 5). Capacity: the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshc.dialects.layout import ceil_div
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import chain_colors_one_way
from meshc.kernels.lowering import Lowering, Weight
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, maximum, minimum, select


def slots_of(context: int, rows: int, policy: str) -> int:
    """Slots that each row of a cache for so many tokens has."""
    return context if policy == "append" else ceil_div(context, rows)


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Which row of ``height`` holds a token, and in which of its ``capacity`` slots."""

    height: int
    capacity: int
    policy: str = "shift"

    @classmethod
    def of(cls, height: int, context: int, policy: str = "shift") -> TokenRows:
        """The rows of a cache with room for ``context`` tokens."""
        return cls(height, slots_of(context, height, policy), policy)

    def start(self, row: ExprLike, tokens: ExprLike) -> Expr:
        """The first token of a row when there are so many."""
        row, tokens = as_expr(row), as_expr(tokens)
        if self.policy == "append":
            return select(row.lt(self.height), 0, tokens)
        return tokens * row // self.height

    def slot(self, token: ExprLike) -> Expr:
        """The slot of a token in its row."""
        return as_expr(token) % self.capacity


@dataclass(frozen=True, slots=True)
class Cache:
    """Slots of ``entry`` elements each; an entry is one token's keys, then its values, of all sequences.

    ``position`` is the step's token: after :meth:`append` the cache holds those up to it.
    """

    builder: MeshBuilder
    slots: Weight
    rows: TokenRows
    entry: int
    position: Expr

    @classmethod
    def of(cls, lowering: Lowering, name: str, context: int, entry: int, policy: str) -> Cache:
        """The cache of that name, empty before the first step, with room for ``context`` tokens."""
        rows = TokenRows.of(lowering.height, context, policy)
        slots = lowering.state(name, "cache", lowering.operand, (rows.capacity, entry))
        assert lowering.position is not None
        return cls(lowering.builder, slots, rows, entry, lowering.position)

    def token(self, slot: Expr) -> tuple[Expr, Expr]:
        """(token that a slot of this row holds after the step, whether it holds one)."""
        row, tokens = Name("y"), self.position + 1
        first = self.rows.start(row, tokens)
        token = first + (slot - first) % self.rows.capacity
        return token, token.lt(self.rows.start(row + 1, tokens))

    def append(self, new: Sequence[MeshBuffer], leaving: MeshBuffer) -> None:
        """Append the step's token, its parts (keys, values) end to end; ``leaving`` is scratch for one entry.

        An entry is taken aside before it leaves, since in a full row the one that comes has its slot.
        """
        builder, height = self.builder, self.builder.height
        row, before, after = Name("y"), self.position, self.position + 1
        mine, below = self.rows.start(row, before), self.rows.start(row + 1, before)
        last = row.eq(height - 1)
        if height == 1 or self.rows.policy == "append":
            with builder.when(last if height > 1 else 1):
                self._store(new)
            return
        gives = self.rows.start(row, after).gt(mine)
        takes = self.rows.start(row + 1, after).gt(below)
        holds = below.gt(mine)
        leaves = minimum(gives, holds)
        sends_on, takes_on = chain_colors_one_way(builder, "y", "down")
        with builder.when(gives):
            with builder.when(holds):
                builder.emit("copy", leaving, self.slots.view(self.entry, offset=self.rows.slot(mine) * self.entry))
            with builder.otherwise():
                builder.emit("stream_copy", leaving, in_=takes_on, out=sends_on)
        comes = minimum(takes, maximum(holds, gives.eq(0)))
        with builder.when(comes):
            with builder.when(last):
                self._store(new)
            with builder.otherwise():
                arriving = self.slots.view(self.entry, offset=self.rows.slot(below) * self.entry)
                builder.emit("recv", arriving, color=takes_on, async_="shift")
        with builder.when(leaves):
            builder.emit("send", leaving, color=sends_on)
        with builder.when(minimum(comes, row.lt(height - 1))):
            builder.emit("wait", handle="shift")

    def _store(self, parts: Sequence[MeshBuffer]) -> None:
        """Copy the parts of the new entry into their slot."""
        offset = self.rows.slot(self.position) * self.entry
        for part in parts:
            self.builder.emit("copy", self.slots.view(part.elements, offset=offset), part.at(0, part.elements))
            offset = offset + part.elements
