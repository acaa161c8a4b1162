"""How two partial results become one: element by element while the words pass, or stored first and merged.

Sums and maxima combine word by word (``recv_add``, ``stream_add``). Partial results of a
softmax do not: every value of a row is rescaled by a maximum that is only known once
both are there. Such an operator stores what comes and combines it afterwards, so it streams nothing
and each PE on the way is a stage of full length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshrt.program.cost import element_cycles
from meshrt.program.model import DTYPE_BYTES, View
from meshrt.target import Target


class StoredOperator(Protocol):
    """An operator that combines what has been stored."""

    @property
    def elements(self) -> int:
        """Elements of a partial result."""
        ...

    def combine(self, builder: MeshBuilder, data: MeshBuffer, other: MeshBuffer) -> None:
        """Append the code that makes ``data`` the combination of both; ``other`` may be overwritten."""
        ...

    def cycles(self, target: Target, dtype: str) -> int:
        """Cycles of that code."""
        ...

    def scratch_bytes(self, dtype: str) -> int:
        """SRAM that it takes besides the two operands."""
        ...


#: A word-by-word operator by its name, ``add`` or ``max``, or one that stores.
Operator = str | StoredOperator


@dataclass(frozen=True, slots=True)
class SoftmaxMerge:
    """Merges partial softmax results: ``rows`` rows of (maximum m, sum s, ``values`` weighted values v), densely.

    Of two parts of a row, m is the larger maximum, and sum and values are rescaled to it before
    they are added::

        m = max(m1, m2)    f_i = exp(m_i - m)    (s, v) = f_1 (s1, v1) + f_2 (s2, v2)

    A part without any entry has the lowest finite number as m, and zeros: its factor is then 0, or the
    part has no weight. Seven vector instructions, whatever the rows.
    """

    rows: int
    values: int

    @property
    def elements(self) -> int:
        """Elements of a partial result."""
        return self.rows * (self.values + 2)

    def combine(self, builder: MeshBuilder, data: MeshBuffer, other: MeshBuffer) -> None:
        """Append the merge of ``other`` into ``data``, in the dtype of ``data``."""
        rows, row = self.rows, self.values + 2
        largest = builder.buffer("largest", data.dtype, rows)
        factors = builder.buffer("factors", data.dtype, 2, rows)

        def maxima(buffer: MeshBuffer) -> View:
            return buffer.at(0, (rows, row))

        def rest(buffer: MeshBuffer) -> View:
            return buffer.at(1, (rows, row), (row - 1, 1))

        def factor(part: int) -> View:
            return factors.at(part * rows, (rows, 1), (row - 1, 0))

        builder.emit("max", largest, maxima(data), maxima(other))
        builder.emit("sub", factors.at(0, rows), maxima(data), largest)
        builder.emit("sub", factors.at(rows, rows), maxima(other), largest)
        builder.emit("exp", factors, factors)
        builder.emit("mul", rest(data), rest(data), factor(0))
        builder.emit("fma", rest(data), rest(other), factor(1), rest(data))
        builder.emit("copy", maxima(data), largest)

    def cycles(self, target: Target, dtype: str) -> int:
        """Cycles of :meth:`combine`."""
        counts = (
            *[("add", self.rows)] * 3,
            ("special", 2 * self.rows),
            *[("add", self.rows * (self.values + 1))] * 2,
            ("move", self.rows),
        )
        return sum(element_cycles(target, cost, elements, dtype) for cost, elements in counts)

    def scratch_bytes(self, dtype: str) -> int:
        """The larger maxima and the factors."""
        return 3 * self.rows * DTYPE_BYTES[dtype]
