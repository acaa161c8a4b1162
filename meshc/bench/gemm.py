"""GEMM: C[M, N] = X[M, K] W[K, N] by each kernel of ``tile.gemm``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from meshc.bench.bounds import Bounds, product_bounds
from meshc.bench.workload import ramp
from meshc.dialects.layout import Block
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.registry import kernels
from meshc.standalone.product import Product
from meshrt.program.cost import element_cycles
from meshrt.program.model import Program
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Gemm:
    """One product, from X where it lies in every PE to C where it lies in every PE."""

    operation: ClassVar[str] = "gemm"
    extents: ClassVar[tuple[str, ...]] = ("M", "K", "N")

    algorithm: str
    grid: tuple[int, int]
    size: tuple[int, int, int]
    dtype: str

    @classmethod
    def of(cls, algorithm: str, grid: tuple[int, int], size: tuple[int, ...], dtype: str) -> Gemm:
        """The case of these four."""
        m, k, n = size
        return cls(algorithm, grid, (m, k, n), dtype)

    @classmethod
    def algorithms(cls) -> tuple[str, ...]:
        """The kernels of ``tile.gemm``, those of plug-ins too."""
        return tuple(name for name, kernel in kernels().items() if kernel.operation == "tile.gemm")

    def program(self, target: Target) -> Program:
        """The product without its way out."""
        return self._product.program(target)

    def weights(self) -> Mapping[str, np.ndarray]:
        """X and W."""
        m, k, n = self.size
        return {"x": ramp(m, k), "w": ramp(k, n)}

    def scalars(self) -> Mapping[str, Mapping[str, int]]:
        """All rows of X count."""
        return {"main": {"length": self.size[0]}}

    def preparation(self, target: Target) -> int:
        """The copy of X to its place."""
        (width, height), (m, k, _) = self.grid, self.size
        tile = Block(m, height).tile * Block(k, width).tile
        return element_cycles(target, "move", tile, DTYPE_POLICY[self.dtype][0])

    def scaling(self) -> Scaling | None:
        """As the kernel declares."""
        return kernels()[self.algorithm].scaling

    def estimate(self, target: Target) -> Estimate | None:
        """The kernel's own prediction."""
        kernel = kernels()[self.algorithm]
        if kernel.estimate is None:
            return None
        return kernel.estimate(self._product.operation(target), Site(*self.grid, *DTYPE_POLICY[self.dtype], target))

    def bounds(self, target: Target) -> Bounds:
        """Of any product that leaves C where it is computed."""
        return product_bounds(target, self.size, self.grid, *DTYPE_POLICY[self.dtype])

    @property
    def _product(self) -> Product:
        return Product(self.algorithm, self.grid, self.size, self.dtype)
