"""GEMV: y[1, N] = x[1, K] W[K, N] by a local product and each all-reduce along the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np

from meshc.bench.bounds import Bounds, distance_bound, mac_bound, word_bound
from meshc.bench.workload import ramp
from meshc.dialects.layout import Block
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import cheapest, collective, collectives
from meshc.kernels.estimate import Estimate, Scaling
from meshc.standalone.gemv_chain import GemvChain
from meshrt.program.model import Program
from meshrt.target import Target

#: The default: what a choice by cost takes.
_FIRST = "all_reduce.auto"


@dataclass(frozen=True, slots=True)
class Gemv:
    """One product, x over the rows and the result over the columns; group sizes are the best predicted ones."""

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
        names = [each.name for each in collectives().values() if each.operation == "all_reduce"]
        return tuple(sorted(names, key=lambda name: (name != _FIRST, name)))

    def program(self, target: Target) -> Program:
        """The product without its way out. Raises M0405 where the all-reduce does not run."""
        return self._chain(target).program(target)

    def weights(self) -> Mapping[str, np.ndarray]:
        """x and W."""
        k, n = self.size
        return {"x": ramp(1, k), "w0": ramp(k, n)}

    def scalars(self) -> Mapping[str, Mapping[str, int]]:
        """There are none."""
        return {}

    def preparation(self, target: Target) -> int:
        """Everything lies where it is needed."""
        return 0

    def scaling(self) -> Scaling | None:
        """As the collective declares."""
        return collective(self.algorithm).scaling

    def estimate(self, target: Target) -> Estimate | None:
        """The local product's and the all-reduce's prediction."""
        (found,) = self._chain(target).estimates(target)
        return found

    def bounds(self, target: Target) -> Bounds:
        """Of any product whose result every PE of a column ends up with: the farthest ones hear of one another."""
        (k, n), (width, height) = self.size, self.grid
        operand, other = DTYPE_POLICY[self.dtype]
        return Bounds(
            mac_bound(target, k * n, width * height, operand, other),
            word_bound(target, ceil(n / width), other) if height > 1 else 0,
            distance_bound(target, height - 1),
        )

    def _chain(self, target: Target) -> GemvChain:
        width, height = self.grid
        payload = Payload(Block(self.size[1], width).tile, DTYPE_POLICY[self.dtype][1], "add", target)
        choice = cheapest(self.algorithm, height, payload)
        name, parameters = choice.collective.algorithm, choice.parameters
        return GemvChain(width, height, self.size, "y", name, parameters, self.dtype, kept=True)
