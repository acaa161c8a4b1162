"""GEMV: y[1, N] = x[1, K] W[K, N], K over y and N over x, with each of the all-reduces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from meshc.bench.bounds import Bounds, distance_bound, mac_bound, word_bound
from meshc.bench.collective import cheapest
from meshc.bench.workload import ramp
from meshc.dialects.layout import Block
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.builder import MeshBuilder
from meshc.kernels.collectives.line import whole
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import Choice, collectives
from meshc.kernels.estimate import Estimate
from meshc.kernels.gemv import gemv
from meshc.standalone.region import assemble
from meshrt.program.cost import element_cycles, gemm_cycles
from meshrt.program.expr import Name
from meshrt.program.model import DTYPE_BYTES, Program
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Gemv:
    """From x in every PE of its row to y in every PE of its column."""

    operation: ClassVar[str] = "gemv"
    extents: ClassVar[tuple[str, ...]] = ("K", "N")

    algorithm: str
    grid: tuple[int, int]
    size: tuple[int, int]
    dtype: str

    @classmethod
    def of(cls, algorithm: str, grid: tuple[int, int], size: tuple[int, ...], dtype: str) -> Gemv:
        """The case of these four."""
        k, n = size
        return cls(algorithm, grid, (k, n), dtype)

    @classmethod
    def algorithms(cls) -> tuple[str, ...]:
        """The all-reduces, those of plug-ins too."""
        return tuple(name for name, each in collectives().items() if each.operation == "all_reduce")

    def program(self, target: Target) -> Program:
        """The product and its all-reduce, with the parameters that cost least."""
        choice = self._choice(target)
        (operand, other), (k, n) = DTYPE_POLICY[self.dtype], self._tile

        def body(builder: MeshBuilder) -> None:
            column, row, i, j = Name("x"), Name("y"), Name("i"), Name("j")
            x = builder.buffer("x_tile", operand, 1, k)
            w = builder.buffer("w_tile", operand, k, n)
            y = builder.buffer("y_tile", other, 1, n)
            builder.place(x, [("i", 0, 1), ("j", 0, k)], "x", [i, row * k + j])
            builder.place(w, [("i", 0, k), ("j", 0, n)], "w", [row * k + i, column * n + j])
            line = whole(builder, "y")
            gemv(builder, x, w, y, lambda data: choice.emit(builder, line, data))

        return assemble(*self.grid, target, body)

    def weights(self) -> Mapping[str, np.ndarray]:
        """x and W."""
        k, n = self.size
        return {"x": ramp(1, k), "w": ramp(k, n)}

    def scalars(self) -> Mapping[str, Mapping[str, int]]:
        """None."""
        return {}

    def preparation(self, target: Target) -> int:
        """Nothing comes before."""
        return 0

    def estimate(self, target: Target) -> Estimate | None:
        """The tile product, and then the all-reduce's own prediction."""
        (operand, other), (k, n) = DTYPE_POLICY[self.dtype], self._tile
        found = self._choice(target).estimate
        product = gemm_cycles(target, 1, 1, k, n, other, operand, "n")
        cycles = element_cycles(target, "move", n, other) + product + found.cycles
        bytes = k * (1 + n) * DTYPE_BYTES[operand] + n * DTYPE_BYTES[other] + found.bytes
        return Estimate(cycles, bytes, found.colors, found.hops, found.stages)

    def bounds(self, target: Target) -> Bounds:
        """Multiply-adds over PEs; a tile of y into a PE, and one word of it over the whole column."""
        (width, height), (k, n) = self.grid, self.size
        operand, other = DTYPE_POLICY[self.dtype]
        macs = mac_bound(target, k * n, width * height, operand, other)
        if height == 1:
            return Bounds(macs, 0, 0)
        return Bounds(macs, word_bound(target, ceil(n / width), other), distance_bound(target, height - 1))

    @property
    def _tile(self) -> tuple[int, int]:
        (width, height), (k, n) = self.grid, self.size
        return Block(k, height).tile, Block(n, width).tile

    def _choice(self, target: Target) -> Choice:
        payload = Payload(self._tile[1], DTYPE_POLICY[self.dtype][1], "add", target)
        return cheapest(self.algorithm, self.grid[1], payload)
