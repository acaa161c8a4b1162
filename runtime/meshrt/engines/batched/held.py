"""``--checked``: what asynchronous moves hold, and who touches it before their ``wait`` (rule R4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched.failures import Explainer
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.operands import Operand, Operands
from meshrt.engines.batched.pe_sets import PeSet, PeSets
from meshrt.engines.batched.prepare import Preparer
from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.sram import Sram
from meshrt.engines.batched.state import Tables
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import DTYPE_BYTES, Instruction, View
from meshrt.target import Target


@dataclass(frozen=True, eq=False, slots=True)
class Extent:
    """Bytes of SRAM on some PEs: halfwords ``starts[i] + within`` of PE ``pes[i]``."""

    pes: np.ndarray
    starts: np.ndarray
    within: np.ndarray

    def meets(self, other: Extent) -> int:
        """The first PE on which both have a halfword in common, or -1."""
        _, mine, theirs = np.intersect1d(self.pes, other.pes, assume_unique=True, return_indices=True)
        low, low_there = self.starts[mine], other.starts[theirs]
        near = (low + self.within[0] <= low_there + other.within[-1]) & (
            low_there + other.within[0] <= low + self.within[-1]
        )
        for i in np.flatnonzero(near).tolist():
            if np.intersect1d(self.within + low[i], other.within + low_there[i], assume_unique=True).size:
                return int(self.pes[mine[i]])
        return -1


@dataclass(frozen=True, eq=False, slots=True)
class Hold:
    """A move under way: what it reads or writes, and the number of its instruction."""

    extent: Extent
    writes: bool
    call: int


class WatchedPreparer(Preparer):
    """A :class:`Preparer` whose calls first look whether a move under way holds what they touch.

    Raises M0509 where an instruction touches what an asynchronous move writes, or writes what one reads,
    between its launch and its ``wait``.
    """

    def __init__(self, tables: Tables, sram: Sram, index: IndexCache, target: Target, sets: PeSets, explain: Explainer):
        super().__init__(tables, sram, index, target, sets)
        self._slots = sram.slots
        self._declared = np.array([d.buffer.address // 2 for d in sram.declared], np.int64)
        self._views_of = Operands(sram, index)
        self._explain = explain
        self._holds: dict[int, list[Hold]] = {}

    def prepare(
        self, instruction: Instruction, number: int, pes: PeSet, counters: Mapping[str, int], handles: Mapping[str, int]
    ) -> list[Prepared]:
        """As :meth:`Preparer.prepare`; the calls check before they run."""
        calls = super().prepare(instruction, number, pes, counters, handles)
        return [self._watched(call, instruction, number, counters, handles) for call in calls]

    def _watched(
        self,
        call: Prepared,
        instruction: Instruction,
        number: int,
        counters: Mapping[str, int],
        handles: Mapping[str, int],
    ) -> Prepared:
        touched = [
            (self._views_of.resolve(argument, call.pes, counters, instruction), role != "in")
            for argument, (_, role) in zip(instruction.args, INSTRUCTIONS[instruction.opcode].operands, strict=True)
            if isinstance(argument, View)
        ]
        waited, launched = instruction.option("handle"), instruction.option("async")

        def run(row: int) -> None:
            extents = [(extent, writes) for o, writes in touched for extent in self._extents(call.pes, o)]
            for extent, writes in extents:
                self._check(extent, writes, number)
            if waited is not None:
                self._release(handles[str(waited)], call.pes.pes)
            call.run(row)
            if launched is not None:
                holds = self._holds.setdefault(handles[str(launched)], [])
                holds += [Hold(extent, writes, number) for extent, writes in extents]

        return replace(call, run=run)

    def _extents(self, pes: PeSet, operand: Operand) -> Iterator[Extent]:
        """Where a view lies now: rotation may have given each PE another of the declared buffers."""
        if not operand.elements:
            return
        within = np.zeros(1, np.int64)
        for extent, stride in zip(operand.extents, operand.strides, strict=True):
            within = (within[:, None] + np.arange(extent) * stride).reshape(-1)
        width = DTYPE_BYTES[operand.dtype_name] // 2
        halfwords = np.unique((np.unique(within) * width)[:, None] + np.arange(width))
        starts = self._declared[self._slots[operand.row, pes.pes]] + operand.offsets * width
        yield Extent(pes.pes, starts, halfwords)

    def _check(self, extent: Extent, writes: bool, number: int) -> None:
        for hold in (hold for holds in self._holds.values() for hold in holds):
            if not (writes or hold.writes):
                continue
            pe = hold.extent.meets(extent)
            if pe >= 0:
                raise MeshError(
                    "M0509",
                    f"{self._explain.call(number)} on {self._explain.pes([pe])} {'writes' if writes else 'reads'} "
                    f"memory that {self._explain.call(hold.call)} holds until its wait",
                    place=self._explain.place(number),
                )

    def _release(self, handle: int, pes: np.ndarray) -> None:
        left = []
        for hold in self._holds.get(handle, []):
            stay = ~np.isin(hold.extent.pes, pes)
            if stay.any():
                extent = Extent(hold.extent.pes[stay], hold.extent.starts[stay], hold.extent.within)
                left.append(Hold(extent, hold.writes, hold.call))
        self._holds[handle] = left
