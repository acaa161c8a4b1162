"""Sizes x grids x algorithms: the cases of a bench in the order in which they are shown, and their run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshc.bench.measure import Row, measure
from meshc.bench.workload import Workload
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.progress import Progress
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every algorithm at every size on every grid; no algorithms: all that there are.

    A size of one number is taken for all extents of the operation.
    """

    workload: type[Workload]
    sizes: tuple[tuple[int, ...], ...]
    grids: tuple[tuple[int, int], ...]
    algorithms: tuple[str, ...] = ()
    dtype: str = "f16"

    def cases(self) -> list[Workload]:
        """The cases. Raises M0405 for an unknown algorithm and M0621 for a size with too many or too few extents."""
        operation, known = self.workload.operation, self.workload.algorithms()
        for name in self.algorithms:
            if name not in known:
                helps = did_you_mean(name, known, "kernels")
                raise MeshError("M0405", f"there is no kernel {name!r} of {operation}", helps=helps)
        sizes = [self._whole(size) for size in self.sizes]
        return [
            self.workload.of(name, grid, size, self.dtype)
            for size in sizes
            for grid in self.grids
            for name in self.algorithms or known
        ]

    def _whole(self, size: tuple[int, ...]) -> tuple[int, ...]:
        extents = self.workload.extents
        if len(size) == 1:
            return size * len(extents)
        if len(size) != len(extents):
            raise MeshError(
                "M0621",
                f"a size of {self.workload.operation} has {len(extents)} extents, and {'x'.join(map(str, size))} has "
                f"{len(size)}",
                helps=[f"write {'x'.join(extents)}, or one number for all of them"],
            )
        return size


def run_cases(
    cases: Sequence[Workload], target: Target, engine: str, values: bool, progress: Progress | None = None
) -> list[Row]:
    """Run each case and give its row; see :func:`meshc.bench.measure.measure`."""
    progress = progress or Progress()
    progress.stage("timing kernels", total=len(cases))
    rows = []
    for number, case in enumerate(cases, start=1):
        rows.append(measure(case, target, engine, values))
        progress.advance(number)
    return rows
