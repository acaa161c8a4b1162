"""The type of values at the tile level: a tensor cut over the grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from meshc.dialects.layout import Block, Heads, Layout, Replicated
from meshc.ir.core import Value
from meshc.ir.types import ParametricType


@dataclass(frozen=True, slots=True)
class ShardType(ParametricType):
    """A sharded value: dtype, what lies over y, what lies over x (``shard<"f32", block<64, 8>, block<96, 8>>``).

    Tokens lie over y and features over x; where ``transposed``, tokens over x and features
    over y. The layouts' parts are the rows and columns of PEs that hold the value: a
    rectangle whose north-west corner is at ``origin`` (column, row), the whole grid unless
    it says otherwise. In prefill only ``tile.relayout`` takes and gives shards that are
    transposed, replicated or in a part of the grid; in decode the features of a value lie
    :func:`over_x` or :func:`over_y` and its tokens are replicated.
    """

    mnemonic: ClassVar[str] = "shard"
    positional: ClassVar[tuple[str, ...]] = ("dtype", "y", "x")

    dtype: str
    y: Layout
    x: Layout
    transposed: bool = False
    origin: tuple[int, int] = (0, 0)

    @property
    def tile(self) -> tuple[int, int]:
        """Elements along y and along x in each PE, padding included: tokens and features unless transposed."""
        return self.y.tile, self.x.tile

    @property
    def axis(self) -> str:
        """The axis over which the features lie."""
        return "y" if self.transposed else "x"

    @property
    def features(self) -> Layout:
        """How the features lie."""
        return self.y if self.transposed else self.x

    @property
    def tokens(self) -> Layout:
        """How the tokens lie."""
        return self.x if self.transposed else self.y

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens and features of the whole value."""
        return self.tokens.extent, self.features.extent

    def with_dtype(self, dtype: str) -> ShardType:
        """The same shards in another dtype."""
        return replace(self, dtype=dtype)

    def plain(self, tokens: int, width: int, height: int) -> bool:
        """Whether it is cut as prefill wants it, relayouts aside: tokens in blocks over all rows, features over x."""
        upright = not self.transposed and self.origin == (0, 0)
        return upright and self.y == Block(tokens, height) and self.x.parts == width

    def alike(self, tokens: int, width: int, height: int) -> bool:
        """Whether it is cut as decode wants it: features over one axis, alike in all PEs of the other."""
        if self.transposed:
            return self == over_y(self.dtype, tokens, self.y, width) and self.y.parts == height
        return self == over_x(self.dtype, tokens, self.x, height) and self.x.parts == width


def over_x(dtype: str, tokens: int, features: Layout, height: int) -> ShardType:
    """A value of decode whose features lie over x, alike in each of ``height`` rows."""
    return ShardType(dtype, Replicated(tokens, height), features)


def over_y(dtype: str, tokens: int, features: Layout, width: int) -> ShardType:
    """A value of decode whose features lie over y, alike in each of ``width`` columns."""
    return ShardType(dtype, features, Replicated(tokens, width), transposed=True)


def shard_of(value: Value) -> ShardType:
    """The type of a value that the verifier knows to be a shard."""
    assert isinstance(value.type, ShardType)
    return value.type


def heads_of(value: Value) -> Heads:
    """The feature layout of a shard that the verifier knows to lie by heads."""
    layout = shard_of(value).x
    assert isinstance(layout, Heads)
    return layout
