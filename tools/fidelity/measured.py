"""The rows that were measured on a real WSE-3, and the programs that do what the measured kernels did."""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from meshc.kernels.gemm_ring import Schedule
from meshc.standalone import GemmRing, Gemv

DATA = Path(__file__).parent / "data"

#: Rows of the grid that are timed, because all take the same time.
_GEMM_ROWS = 8

#: The schedule of the measured GEMM: columns of the tile as vectors, and whole words.
_GEMM_SCHEDULE = Schedule("m", whole_words=True)


def _gemv(shape: Mapping[str, int]) -> Gemv:
    parts, groups = shape["P"], shape["G"]
    # One column, because all take the same time.
    return Gemv(parts, shape["Mt"], shape["Nt"], (parts // groups, groups), "f16", whole_words=True, columns=1)


def _gemm(shape: Mapping[str, int]) -> GemmRing:
    return GemmRing(
        shape["P"],
        shape["Mt"],
        shape["Kt"],
        shape["Nt"],
        _GEMM_SCHEDULE,
        "f16",
        kept=True,
        rows=min(_GEMM_ROWS, shape["P"]),
    )


@dataclass(frozen=True, slots=True)
class Source:
    """One file of measurements: the kernel, its program for a row, and where the figures are from."""

    kernel: str
    file: str
    program: Callable[[Mapping[str, int]], Gemv | GemmRing]


SOURCES = (Source("gemv", "wse3_meshgemv.csv", _gemv), Source("gemm.ring", "wse3_meshgemm.csv", _gemm))


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: the kernel, its shape as named in the file, and the cycles of one of many rounds."""

    kernel: str
    shape: tuple[tuple[str, int], ...]
    cycles: float

    @property
    def parts(self) -> int:
        """The PEs along a side of the grid."""
        return dict(self.shape)["P"]

    @property
    def tile(self) -> str:
        """The shape of a PE's part, as text: ``2x3x8``."""
        return "x".join(str(n) for name, n in self.shape if name.endswith("t"))

    @property
    def program(self) -> Gemv | GemmRing:
        """The program that was measured."""
        (source,) = (s for s in SOURCES if s.kernel == self.kernel)
        return source.program(dict(self.shape))


@cache
def rows() -> tuple[Row, ...]:
    """Every measured row, in the order of the files."""
    found = []
    for source in SOURCES:
        with (DATA / source.file).open(encoding="utf-8") as file:
            for entry in csv.DictReader(line for line in file if not line.startswith("#")):
                cycles = float(entry.pop("cycles"))
                found.append(Row(source.kernel, tuple((name, int(n)) for name, n in entry.items()), cycles))
    return tuple(found)


#: What rows are left out of a fit together by.
GROUPS: Mapping[str, Callable[[Row], Hashable]] = MappingProxyType(
    {"side": lambda row: row.parts, "tile": lambda row: row.tile}
)
