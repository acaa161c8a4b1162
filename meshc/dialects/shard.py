"""The type of values at the tile level: a tensor cut over the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.layout import Block, Heads, Layout
from meshc.ir.core import Value
from meshc.ir.types import ParametricType


@dataclass(frozen=True, slots=True)
class ShardType(ParametricType):
    """A sharded value: dtype, tokens over y, features over x (``shard<"f32", block<64, 8>, block<96, 8>>``)."""

    mnemonic: ClassVar[str] = "shard"
    positional: ClassVar[tuple[str, ...]] = ("dtype", "y", "x")

    dtype: str
    y: Block
    x: Layout

    @property
    def tile(self) -> tuple[int, int]:
        """Tokens and features in each PE, padding included."""
        return self.y.tile, self.x.tile

    def with_dtype(self, dtype: str) -> ShardType:
        """The same shards in another dtype."""
        return ShardType(dtype, self.y, self.x)


def shard_of(value: Value) -> ShardType:
    """The type of a value that the verifier knows to be a shard."""
    assert isinstance(value.type, ShardType)
    return value.type


def heads_of(value: Value) -> Heads:
    """The feature layout of a shard that the verifier knows to lie by heads."""
    layout = shard_of(value).x
    assert isinstance(layout, Heads)
    return layout
