"""A program of one A Bᵀ and nothing else, to hold a kernel's prediction against a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.layout import Cyclic, Layout
from tests.kernels.gemm_program import Product


@dataclass(frozen=True)
class Transposed(Product):
    """C[m, n] = X[m, k] W[n, k]ᵀ: ``w`` is [K, N] as in :class:`Product`, stored as its order says."""

    tile_operation: ClassVar[str] = "tile.gemm_transposed"

    def columns(self) -> Layout:
        width, height = self.grid
        return super().columns() if width == height else Cyclic(self.size[2], width, height)

    def weight(self) -> dict[str, object]:
        return {"order": "kn", "start": 0, "stop": self.size[2]}
