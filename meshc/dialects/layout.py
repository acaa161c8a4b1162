"""Axis layouts: which global index lies at which place of a grid axis.

A layout maps (PE coordinate ``p`` along the axis, local element ``i``) to the global
index, as index expressions, so that kernels can place weights, mask padding and number
outputs without ever listing a PE. A place without an element maps to an index outside
the dimension (negative or past its end), where placements read zero.

``place`` goes the other way: from a global index to ``p * tile + i``, the number of its
place when the tiles of the axis are numbered one after the other. ``bounds`` are a lowest
index and one past a highest between which everything lies that PE p holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.types import ParametricType
from meshrt.program.expr import Expr, ExprLike, as_expr, binary, minimum, select


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Block(ParametricType):
    """Consecutive tiles: PE p holds ``tile`` elements from ``p * tile`` on; the rest of the axis is padding."""

    mnemonic: ClassVar[str] = "block"
    positional: ClassVar[tuple[str, ...]] = ("extent", "parts")

    extent: int
    parts: int

    @property
    def tile(self) -> int:
        """Elements per PE."""
        return ceil_div(self.extent, self.parts)

    @property
    def padded(self) -> int:
        """Places over all PEs, padding included."""
        return self.tile * self.parts

    def index(self, p: ExprLike, i: ExprLike) -> Expr:
        """The global index at local place ``i`` of PE ``p``."""
        return as_expr(p) * self.tile + i

    def place(self, index: ExprLike) -> Expr:
        """The number of the place of a global index."""
        return as_expr(index)

    def bounds(self, p: ExprLike) -> tuple[Expr, Expr]:
        """Between which indices (half open) lies what PE ``p`` holds."""
        first = as_expr(p) * self.tile
        return first, first + self.tile


@dataclass(frozen=True, slots=True)
class Replicated(ParametricType):
    """Everything in every PE of the axis: nothing is cut."""

    mnemonic: ClassVar[str] = "replicated"
    positional: ClassVar[tuple[str, ...]] = ("extent", "parts")

    extent: int
    parts: int

    @property
    def tile(self) -> int:
        return self.extent

    @property
    def padded(self) -> int:
        """Places of one PE, since all hold the same: there is no padding."""
        return self.extent

    def index(self, p: ExprLike, i: ExprLike) -> Expr:
        return as_expr(i)

    def place(self, index: ExprLike) -> Expr:
        """The place in the first PE, one of those that hold the index."""
        return as_expr(index)

    def bounds(self, p: ExprLike) -> tuple[Expr, Expr]:
        return as_expr(0), as_expr(self.extent)


@dataclass(frozen=True, slots=True)
class Cyclic(ParametricType):
    """Blocks dealt in turn: PE p holds blocks ``p, p + parts, ..`` of ``width`` elements each."""

    mnemonic: ClassVar[str] = "cyclic"
    positional: ClassVar[tuple[str, ...]] = ("extent", "parts", "blocks")

    extent: int
    parts: int
    blocks: int

    @property
    def width(self) -> int:
        """Elements per block."""
        return ceil_div(self.extent, self.blocks)

    @property
    def slots(self) -> int:
        """Blocks per PE, empty ones included."""
        return ceil_div(self.blocks, self.parts)

    @property
    def tile(self) -> int:
        return self.slots * self.width

    @property
    def padded(self) -> int:
        return self.tile * self.parts

    def index(self, p: ExprLike, i: ExprLike) -> Expr:
        i = as_expr(i)
        block = i // self.width * self.parts + p
        # A slot past the last block must not alias a real element of another PE.
        return select(binary("<", block, self.blocks), block * self.width + i % self.width, -1)

    def place(self, index: ExprLike) -> Expr:
        index = as_expr(index)
        block = index // self.width
        return block % self.parts * self.tile + block // self.parts * self.width + index % self.width

    def bounds(self, p: ExprLike) -> tuple[Expr, Expr]:
        return as_expr(p) * self.width, as_expr(self.extent)


@dataclass(frozen=True, slots=True)
class Heads(ParametricType):
    """Attention heads over column groups (DESIGN section 5, multi-head attention in prefill).

    The axis is cut into groups of ``columns`` PEs, one group for every ``kv_local`` KV
    heads. Column j of a group holds the same ``pairs`` rotary pairs of each of its
    heads, both halves of a pair in one PE. Local order: KV head, head within it
    (``per_kv``, 1 for K and V), half, pair.

    ``rotary`` is how many dimensions take part in the rotation (0 for none): pair i of
    them is (i, i + rotary/2), or (2i, 2i + 1) when ``interleaved``; what remains is
    paired across its own halves. ``limit`` caps the columns of a group, so
    that layouts of unequal head sizes agree on their groups.
    """

    mnemonic: ClassVar[str] = "heads"
    positional: ClassVar[tuple[str, ...]] = ("parts", "kv_heads", "per_kv", "head_dim", "rotary")

    parts: int
    kv_heads: int
    per_kv: int
    head_dim: int
    rotary: int
    interleaved: bool = False
    limit: int | None = None

    @property
    def extent(self) -> int:
        return self.kv_heads * self.per_kv * self.head_dim

    @property
    def kv_local(self) -> int:
        """KV heads per group."""
        return ceil_div(self.kv_heads, min(self.kv_heads, self.parts))

    @property
    def groups(self) -> int:
        return ceil_div(self.kv_heads, self.kv_local)

    @property
    def all_pairs(self) -> int:
        """Rotary pairs per head, the last one half empty when the head dimension is odd."""
        return ceil_div(self.head_dim, 2)

    @property
    def columns(self) -> int:
        """PEs per group; never more than there are pairs."""
        most = min(self.parts // self.groups, self.all_pairs)
        return most if self.limit is None else min(most, self.limit)

    @property
    def pairs(self) -> int:
        """Pairs per column."""
        return ceil_div(self.all_pairs, self.columns)

    @property
    def heads_local(self) -> int:
        return self.kv_local * self.per_kv

    @property
    def tile(self) -> int:
        return self.heads_local * 2 * self.pairs

    @property
    def padded(self) -> int:
        return self.tile * self.parts

    def same_pairs(self, other: Heads) -> bool:
        """Whether each column holds the same pairs of a head in both layouts."""

        def pairing(heads: Heads) -> tuple[int, ...]:
            return heads.groups, heads.columns, heads.pairs, heads.head_dim, heads.rotary, heads.interleaved

        return pairing(self) == pairing(other)

    def in_group(self, p: ExprLike) -> Expr:
        """Whether PE p belongs to any group."""
        return binary("<", p, self.groups * self.columns)

    def group(self, p: ExprLike) -> Expr:
        return as_expr(p) // self.columns

    def member(self, p: ExprLike) -> Expr:
        """Position of PE p in its group."""
        return as_expr(p) % self.columns

    def dim(self, p: ExprLike, half: ExprLike, pair: ExprLike) -> Expr:
        """The dimension within a head, or -1 where the column holds none."""
        pair, half = self.member(p) * self.pairs + pair, as_expr(half)
        turning = self.rotary // 2
        rest = self.head_dim - self.rotary
        rest_half = ceil_div(rest, 2)
        if self.interleaved:
            rotated = pair * 2 + half
        else:
            rotated = half * turning + pair
        passed = self.rotary + half * rest_half + (pair - turning)
        dim = select(binary("<", pair, turning), rotated, passed) if self.rotary else passed
        valid = binary("<", pair, self.all_pairs)
        if rest % 2:
            valid = minimum(valid, binary("<", dim, self.head_dim))
        if self.columns * self.pairs == self.all_pairs and not rest % 2:
            return dim
        return select(valid, dim, -1)

    def index(self, p: ExprLike, i: ExprLike) -> Expr:
        p, i = as_expr(p), as_expr(i)
        head = i // (2 * self.pairs)
        kv = self.group(p) * self.kv_local + head // self.per_kv
        dim = self.dim(p, i // self.pairs % 2, i % self.pairs)
        whole = (kv * self.per_kv + head % self.per_kv) * self.head_dim + dim
        valid = minimum(self.in_group(p), binary("<", kv, self.kv_heads))
        if not (self.columns * self.pairs == self.all_pairs and self.head_dim % 2 == 0):
            valid = minimum(valid, binary(">=", dim, 0))
        if self.groups * self.columns == self.parts and self.kv_local * self.groups == self.kv_heads:
            valid = binary(">=", dim, 0) if self.columns * self.pairs != self.all_pairs or self.head_dim % 2 else 1
        return select(valid, whole, -1)

    def place(self, index: ExprLike) -> Expr:
        index = as_expr(index)
        head, dim = index // self.head_dim, index % self.head_dim
        half, pair = self._half_and_pair(dim)
        kv = head // self.per_kv
        p = kv // self.kv_local * self.columns + pair // self.pairs
        local_head = kv % self.kv_local * self.per_kv + head % self.per_kv
        return p * self.tile + (local_head * 2 + half) * self.pairs + pair % self.pairs

    def bounds(self, p: ExprLike) -> tuple[Expr, Expr]:
        features = self.heads_local * self.head_dim
        first = self.group(p) * features
        return first, first + features

    def _half_and_pair(self, dim: Expr) -> tuple[Expr, Expr]:
        """Which half of which pair a dimension within a head is: :meth:`dim` the other way."""
        turning = self.rotary // 2
        rest = max(1, ceil_div(self.head_dim - self.rotary, 2))
        passed = dim - self.rotary
        if not turning:
            return passed // rest, passed % rest
        half, pair = (dim % 2, dim // 2) if self.interleaved else (dim // turning, dim % turning)
        if self.rotary == self.head_dim:
            return half, pair
        rotated = dim.lt(self.rotary)
        return select(rotated, half, passed // rest), select(rotated, pair, passed % rest + turning)


Layout = Block | Cyclic | Heads | Replicated
