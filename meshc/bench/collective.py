"""Collectives along every row: what each PE holds is combined, or copied, over the PEs of its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from meshc.bench.bounds import Bounds, distance_bound, word_bound
from meshc.bench.workload import ramp
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.builder import MeshBuilder
from meshc.kernels.collectives.line import whole
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import Choice, cheapest, collective, collectives
from meshc.kernels.estimate import Estimate, Scaling
from meshc.standalone.region import assemble
from meshrt.program.expr import Name
from meshrt.program.model import Program
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class RowCollective:
    """Every row at once; elements of the accumulators' dtype, as partial sums travel in."""

    operation: ClassVar[str]
    extents: ClassVar[tuple[str, ...]] = ("elements",)

    algorithm: str
    grid: tuple[int, int]
    size: tuple[int]
    dtype: str

    @classmethod
    def of(cls, algorithm: str, grid: tuple[int, int], size: tuple[int, ...], dtype: str) -> RowCollective:
        """The case of these four."""
        (elements,) = size
        return cls(algorithm, grid, (elements,), dtype)

    @classmethod
    def algorithms(cls) -> tuple[str, ...]:
        """The collectives of this operation, those of plug-ins too."""
        return tuple(name for name, each in collectives().items() if each.operation == cls.operation)

    def program(self, target: Target) -> Program:
        """The collective alone, with the parameters that cost least."""
        choice = self._choice(target)

        def body(builder: MeshBuilder) -> None:
            (elements,) = self.size
            data = builder.buffer("data", choice.payload.dtype, elements)
            builder.place(data, [("i", 0, elements)], "data", [Name("y"), Name("x"), Name("i")])
            choice.emit(builder, whole(builder, "x"), data)

        return assemble(*self.grid, target, body)

    def weights(self) -> Mapping[str, np.ndarray]:
        """What the PEs hold."""
        width, height = self.grid
        return {"data": ramp(height, width, *self.size)}

    def scalars(self) -> Mapping[str, Mapping[str, int]]:
        """None."""
        return {}

    def preparation(self, target: Target) -> int:
        """Nothing comes before."""
        return 0

    def scaling(self) -> Scaling | None:
        """As the collective declares."""
        return collective(self.algorithm).scaling

    def estimate(self, target: Target) -> Estimate | None:
        """The algorithm's own prediction."""
        return self._choice(target).estimate

    def bounds(self, target: Target) -> Bounds:
        """All words into some PE, and one over the whole row: from the farthest PE, or to it."""
        (width, _), (elements,) = self.grid, self.size
        if width == 1:
            return Bounds(0, 0, 0)
        return Bounds(0, word_bound(target, elements, DTYPE_POLICY[self.dtype][1]), distance_bound(target, width - 1))

    def _choice(self, target: Target) -> Choice:
        return cheapest(self.algorithm, self.grid[0], Payload(*self.size, DTYPE_POLICY[self.dtype][1], "add", target))


class AllReduce(RowCollective):
    """Everyone ends with the sum."""

    __slots__ = ()
    operation = "all_reduce"


class Reduce(RowCollective):
    """The first PE ends with the sum."""

    __slots__ = ()
    operation = "reduce"


class Broadcast(RowCollective):
    """Everyone ends with what the first PE held."""

    __slots__ = ()
    operation = "broadcast"
