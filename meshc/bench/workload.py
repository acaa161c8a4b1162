"""What can be timed: one operation, one algorithm, one grid, one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from meshc.bench.bounds import Bounds
from meshc.kernels.estimate import Estimate, Scaling
from meshrt.program.model import Program
from meshrt.target import Target


class Workload(Protocol):
    """One case. ``extents`` names the entries of ``size``; a size of one number is taken for all of them.

    ``grid`` is (width, height) in PEs, ``dtype`` the arithmetic as ``--dtype`` has it.
    """

    operation: ClassVar[str]
    extents: ClassVar[tuple[str, ...]]

    @property
    def algorithm(self) -> str: ...
    @property
    def grid(self) -> tuple[int, int]: ...
    @property
    def size(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...

    @classmethod
    def of(cls, algorithm: str, grid: tuple[int, int], size: tuple[int, ...], dtype: str) -> Workload:
        """The case of these four."""
        ...

    @classmethod
    def algorithms(cls) -> tuple[str, ...]:
        """Names of the algorithms that there are, the default first."""
        ...

    def program(self, target: Target) -> Program:
        """The program, its way out left out. Raises what says that it cannot be (M04xx)."""
        ...

    def weights(self) -> Mapping[str, Any]:
        """Tensors to load, for a run that computes."""
        ...

    def scalars(self) -> Mapping[str, Mapping[str, int]]:
        """Runtime scalars, by region."""
        ...

    def preparation(self, target: Target) -> int:
        """Cycles that the program takes before the operation begins, which do not count."""
        ...

    def scaling(self) -> Scaling | None:
        """How the algorithm says that its demands grow with the grid."""
        ...

    def estimate(self, target: Target) -> Estimate | None:
        """What the algorithm's cost model says, where it has one."""
        ...

    def bounds(self, target: Target) -> Bounds:
        """What no algorithm can do without."""
        ...


def ramp(*shape: int) -> np.ndarray:
    """Small integers in a fixed order, f32: data whose values do not matter."""
    return (np.arange(int(np.prod(shape)), dtype=np.float32) % 7 - 3).reshape(shape)
