"""SRAM: where every buffer of every PE lies in the engine's memory, and which buffers share addresses.

Each declared buffer has memory of its own, one row of elements per PE. Those that share
SRAM addresses on some PE are *rivals*: writing one overwrites the other there. A row of
the address table stands for a buffer's name in a region.
"""

from __future__ import annotations

import numpy as np

from meshrt.engines.loading.codes import DTYPES
from meshrt.engines.loading.names import rect_mask, rect_pes
from meshrt.engines.reference.core.operands import (
    D_ADDRESS,
    D_DTYPE,
    D_ELEMENTS,
    D_EXTENT,
    D_RANK,
    D_RIVAL_COUNT,
    D_RIVALS,
    D_SIZE,
    D_WATCHED,
    POISON,
)
from meshrt.program.model import Buffer, Program, Rect, View, instructions_in


class Layout:
    """The buffers of a program. ``bases[r]`` is the number of region r's first PE, of ``pe_count`` in all."""

    def __init__(self, program: Program, bases: list[int], pe_count: int):
        self.buffers: list[Buffer] = []
        self.regions: list[int] = []
        self.rows: dict[tuple[int, str], int] = {}
        for r, region in enumerate(program.regions):
            for buffer in region.buffers:
                self.rows.setdefault((r, buffer.name), len(self.rows))
                self.buffers.append(buffer)
                self.regions.append(r)
        shape = (max(1, len(self.rows)), pe_count)
        #: Where each buffer of a PE lies in memory, and which declared buffer a name means there; -1 for none.
        self.addresses = np.full(shape, -1, np.int64)
        self.named = np.full(shape, -1, np.int64)
        #: Elements of memory that all buffers take, and of the largest buffer.
        self.elements = 0
        self.largest = max((b.elements for b in self.buffers), default=1)
        self._spans: list[tuple[int, int, str]] = []
        for number, (buffer, r) in enumerate(zip(self.buffers, self.regions, strict=True)):
            pes = rect_pes(buffer.rect, program.regions[r], bases[r])
            row = self.rows[r, buffer.name]
            self.named[row, pes] = number
            self.addresses[row, pes] = self.elements + np.arange(len(pes), dtype=np.int64) * buffer.elements
            span = buffer.elements * len(pes)
            self._spans.append((self.elements, span, buffer.dtype))
            self.elements += span
        self.rivals = self._find_rivals()
        self.watched = self._watched_rows(program)

    def row(self, region: int, name: str) -> int:
        """Row of a buffer's name in a region; -1 where the region has no such buffer."""
        return self.rows.get((region, name), -1)

    def buffer_of(self, row: int, pe: int) -> Buffer:
        """The declared buffer that a row means on a PE, before any rotation."""
        return self.buffers[int(self.named[row, pe])]

    def empty(self, memory: np.ndarray) -> None:
        """Fill the buffers' memory with what stands for nothing."""
        memory[: self.elements] = np.nan
        for start, span, dtype in self._spans:
            if dtype == "i32":
                memory.view(np.int32)[start : start + span] = POISON

    def declared(self) -> tuple[np.ndarray, np.ndarray]:
        """The declared buffers as compiled code reads them, and the lists of rivals that they refer to."""
        table = np.zeros((max(1, len(self.buffers)), D_SIZE), np.int64)
        rivals: list[int] = []
        for number, (buffer, region) in enumerate(zip(self.buffers, self.regions, strict=True)):
            entry = table[number]
            mine = self.rivals.get(number, [])
            entry[D_DTYPE] = DTYPES[buffer.dtype]
            entry[D_ELEMENTS] = buffer.elements
            entry[D_RANK] = len(buffer.shape)
            entry[D_ADDRESS] = buffer.address // 2
            entry[D_WATCHED] = self.rows[region, buffer.name] in self.watched
            entry[D_RIVALS], entry[D_RIVAL_COUNT] = len(rivals), len(mine)
            entry[D_EXTENT : D_EXTENT + len(buffer.shape)] = buffer.shape
            rivals += mine
        return table, np.array([*rivals, 0], np.int64)

    @property
    def rank(self) -> int:
        """The most dimensions of a buffer."""
        return max((len(b.shape) for b in self.buffers), default=0)

    def _find_rivals(self) -> dict[int, list[int]]:
        rivals: dict[int, list[int]] = {}
        order = sorted(range(len(self.buffers)), key=lambda n: (self.regions[n], self.buffers[n].address, n))
        reaching: list[int] = []
        for number in order:
            buffer = self.buffers[number]
            reaching = [
                o
                for o in reaching
                if self.regions[o] == self.regions[number]
                and self.buffers[o].address + self.buffers[o].bytes > buffer.address
            ]
            for other in reaching:
                if meet(self.buffers[other].rect, buffer.rect):
                    rivals.setdefault(other, []).append(number)
                    rivals.setdefault(number, []).append(other)
            reaching.append(number)
        return {number: sorted(others) for number, others in rivals.items()}

    def _watched_rows(self, program: Program) -> frozenset[int]:
        """Rows whose memory may be a rival's: rotation moves it to other names."""
        watched = {self.rows[self.regions[n], self.buffers[n].name] for n in self.rivals}
        pairs = [
            {self.row(r, a.buffer) for a in i.args if isinstance(a, View)}
            for r, region in enumerate(program.regions)
            for code in region.codes
            for i in instructions_in(code.body)
            if i.opcode == "rotate"
        ]
        while more := {row for pair in pairs if pair & watched for row in pair} - watched:
            watched |= more
        return frozenset(watched)


def meet(a: Rect, b: Rect) -> bool:
    """Whether two rectangles have a PE in common."""
    xs = np.arange(max(a.x0, b.x0), min(a.x1, b.x1))
    ys = np.arange(max(a.y0, b.y0), min(a.y1, b.y1))
    if not len(xs) or not len(ys):
        return False
    columns, rows = np.meshgrid(xs, ys)
    return bool(np.any(rect_mask(a, columns, rows) & rect_mask(b, columns, rows)))
