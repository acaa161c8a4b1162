"""SRAM: where every buffer of every PE lies in the engine's memory, and which buffers hold what they should.

Each declared buffer has memory of its own, one row of elements per PE. Buffers that
share SRAM addresses on some PE are *rivals*: writing one makes the other stale there,
and reading a stale buffer is an error, as is any read that another buffer's data would
answer. A write into part of a stale buffer first fills the rest with NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshrt.compiled import native
from meshrt.diagnostics import MeshError
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.records import DTYPES
from meshrt.engines.batched.sharing import LEAST_SHARED, ROW_ALIGNMENT, ROW_HEADER, own_rows
from meshrt.engines.batched.state import Tables
from meshrt.engines.loading.names import rect_mask, rect_pes
from meshrt.engines.pointers import f32_at, i32_at
from meshrt.program.model import Buffer, Instruction, Program, Rect, View, instructions_in

#: What an i32 buffer holds before it is written; floats hold NaN.
POISON = -(2**31) + 1


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared buffer of a region: its number, and its row in the address table."""

    number: int
    buffer: Buffer
    region: int
    row: int


class Sram:
    """The buffers of a program. ``bases[r]`` is the number of region r's first PE, of ``pe_count`` in all.

    Without ``values`` buffers have no memory; which is which is then all that is known of them,
    and only ``watched`` over by what looks at asynchronous moves (``unchanging`` where nothing does).
    """

    def __init__(self, program: Program, bases: list[int], pe_count: int, values: bool = True, watched: bool = False):
        self.values = values
        self.unchanging = not (values or watched)
        self._bases = bases
        self._regions = program.regions
        self.declared: list[Declared] = []
        self.rows: dict[tuple[int, str], int] = {}
        for r, region in enumerate(program.regions):
            for buffer in region.buffers:
                row = self.rows.setdefault((r, buffer.name), len(self.rows))
                self.declared.append(Declared(len(self.declared), buffer, r, row))
        #: Rows of the address table whose memory may be shared, with the elements of such a buffer.
        self.shareable = shareable_rows(program, self.rows, self.declared) if values else {}
        self._row_elements = [self._row_size(d) for d in self.declared]
        #: Elements of the largest buffer, and of memory for all.
        self.largest = max((d.buffer.elements for d in self.declared), default=1)
        self.elements = sum(n * d.buffer.rect.count for n, d in zip(self._row_elements, self.declared, strict=True))
        self.elements += ROW_ALIGNMENT * len(self.declared)
        #: Rows of the address table.
        self.row_count = max(1, len(self.rows))
        #: Where each buffer of a PE lies in memory, by row and PE; -1 where there is none.
        self.addresses = np.full((self.row_count if values else 0, pe_count), -1, np.int64)
        self._nowhere = np.zeros(0 if values else pe_count, np.int64)
        #: Which declared buffer's memory a name means on a PE; rotation exchanges it.
        self.slots = np.full((self.row_count, pe_count), -1, np.int32)
        for d in self.declared:
            self.slots[d.row, self._pes(d)] = d.number
        #: Which declared buffer a name means on a PE; rotation leaves this alone.
        self.named = self.slots.copy()
        self._pools: dict[int, int] = {}
        self.watched: frozenset[int] = frozenset()
        if values:
            self._find_rivals(program)

    def _pes(self, d: Declared) -> np.ndarray:
        return rect_pes(d.buffer.rect, self._regions[d.region], self._bases[d.region])

    def _row_size(self, d: Declared) -> int:
        if d.row not in self.shareable:
            return d.buffer.elements
        return ROW_HEADER + -(-d.buffer.elements // ROW_ALIGNMENT) * ROW_ALIGNMENT

    def attach(self, tables: Tables) -> None:
        """Lay the buffers out in the engine's memory, with nothing in them."""
        self._tables = tables
        if not self.values:
            return
        cells = tables.cells.reshape(-1, tables.pe_count)
        cells[:] = self.addresses[: len(cells)]
        self.addresses = cells if len(cells) else self.addresses
        tables.memory[: self.elements] = np.nan
        start = 0
        for d, size in zip(self.declared, self._row_elements, strict=True):
            pes = self._pes(d)
            if d.row in self.shareable:
                start = -(-start // ROW_ALIGNMENT) * ROW_ALIGNMENT + ROW_HEADER
            first = start + np.arange(len(pes), dtype=np.int64) * size
            self.addresses[d.row, pes] = first
            if d.buffer.dtype == "i32":
                tables.integers[start : start + size * len(pes)] = POISON
            if d.row in self.shareable:
                tables.integers[first - 1] = 1
                self._pools.setdefault(d.buffer.elements, len(self._pools))
            start += size * len(pes)

    def addresses_of(self, row: int) -> np.ndarray:
        """Where a buffer lies in memory, by PE; all 0 where there is none."""
        return self.addresses[row] if self.values else self._nowhere

    def pool(self, row: int) -> int:
        """Address of the head of the list of free rows of a shareable buffer's size."""
        return self._tables.starts["pools"] + self._pools[self.shareable[row]]

    def cells(self, row: int) -> int:
        """Address of the first cell of a row of the address table."""
        return self._tables.starts["cells"] + row * self._tables.pe_count

    def own(self, row: int, pes: PeSet, covers: bool) -> None:
        """Before a write: give shareable buffers rows of their own; what is not overwritten whole is copied."""
        if row in self.shareable:
            copied = 0 if covers else self.shareable[row]
            t = self._tables
            own_rows(t.records_at, t.memory_at, row, self.pool(row), pes.pes, copied)

    def _find_rivals(self, program: Program) -> None:
        rivals: dict[int, list[int]] = {}
        for r in range(len(program.regions)):
            mine = sorted((d for d in self.declared if d.region == r), key=lambda d: (d.buffer.address, d.number))
            open_buffers: list[Declared] = []
            for d in mine:
                open_buffers = [o for o in open_buffers if o.buffer.address + o.buffer.bytes > d.buffer.address]
                for o in open_buffers:
                    if _meet(o.buffer.rect, d.buffer.rect):
                        rivals.setdefault(o.number, []).append(d.number)
                        rivals.setdefault(d.number, []).append(o.number)
                open_buffers.append(d)
        # Rotation moves a rival's memory to another name, so the names it reaches are watched too.
        watched = {self.declared[n].row for n in rivals}
        pairs = [
            tuple(self.rows[r, a.buffer] for a in i.args if isinstance(a, View))
            for r, region in enumerate(program.regions)
            for code in region.codes
            for i in instructions_in(code.body)
            if i.opcode == "rotate"
        ]
        while True:
            more = {row for pair in pairs if watched & set(pair) for row in pair} - watched
            if not more:
                break
            watched |= more
        self.watched = frozenset(watched)
        self._rival_rows = self._rows_that_may_meet(rivals, pairs)
        #: Sets of PEs, by number, on which a row of the address table is known to be live.
        self._known: dict[int, set[int]] = {row: set() for row in watched}
        numbers = sorted({d.number for d in self.declared if d.row in watched})
        bits = {n: i for i, n in enumerate(numbers)}
        width = max(1, -(-len(numbers) // 64))
        count = max(1, len(self.declared))
        self.own_bit = np.zeros((count, width), np.uint64)
        self.rival_bits = np.zeros((count, width), np.uint64)
        for n, i in bits.items():
            self.own_bit[n, i // 64] |= np.uint64(1) << np.uint64(i % 64)
            for other in rivals.get(n, []):
                j = bits[other]
                self.rival_bits[n, j // 64] |= np.uint64(1) << np.uint64(j % 64)
        #: The watched buffers that hold their own data, by PE.
        self.live = np.zeros((self.addresses.shape[1], width), np.uint64)
        self._sizes = np.array([d.buffer.elements for d in self.declared] or [0], np.int64)
        self._integer = np.array([d.buffer.dtype == "i32" for d in self.declared] or [False])
        self.rivals = rivals

    def _rows_that_may_meet(
        self, rivals: Mapping[int, Sequence[int]], pairs: Sequence[tuple[int, ...]]
    ) -> dict[int, tuple[int, ...]]:
        """For each watched row, those that rotation may have given memory that shares its addresses."""
        group = {row: row for row in self.watched}
        for a, b in pairs:
            if a in group:
                old, new = group[b], group[a]
                group = {row: new if g == old else g for row, g in group.items()}
        meets: dict[int, set[int]] = {}
        for number, others in rivals.items():
            for other in others:
                mine, theirs = group[self.declared[number].row], group[self.declared[other].row]
                meets.setdefault(mine, set()).add(theirs)
        return {
            row: tuple(sorted(o for o in self.watched if group[o] in meets.get(group[row], ())))
            for row in sorted(self.watched)
        }

    def row(self, region: int, name: str) -> int:
        """Row of a buffer in the address table."""
        return self.rows[region, name]

    def buffer_of(self, row: int, pe: int) -> Buffer:
        """The declared buffer that a row of the address table means on a PE, before any rotation."""
        return self.declared[int(self.named[row, pe])].buffer

    def coordinates(self, region: int, pe: int) -> tuple[int, int]:
        """(x, y) in its region of a PE number."""
        y, x = divmod(int(pe) - self._bases[region], self._regions[region].width)
        return x, y

    def declarations(self, pes: PeSet, name: str) -> np.ndarray:
        """Number of the declared buffer of that name on each PE of the set, -1 where there is none."""
        row = self.rows.get((pes.region, name))
        if row is None:
            return np.full(len(pes), -1, np.int32)
        return self.named[row, pes.pes]

    def dtype(self, declared: int) -> int:
        """Dtype of a declared buffer."""
        return DTYPES[self.declared[declared].buffer.dtype]

    def touch(
        self,
        memory_at: int,
        pes: PeSet,
        reads: tuple[int, ...],
        writes: tuple[int, ...],
        covers: bool,
        instruction: Instruction,
    ) -> None:
        """Check that what an instruction reads is live, and make live what it writes.

        ``reads`` and ``writes`` are watched rows of the address table; ``covers`` says that what
        it writes is written whole. Raises M0512 where another buffer's data would be read.
        """
        for row in reads:
            if pes.number in self._known[row]:
                continue
            stale = first_stale(self.live, self.slots, self.own_bit, row, pes.pes)
            if stale >= 0:
                raise self._stale(row, stale, instruction)
            self._known[row].add(pes.number)
        for row in writes:
            if pes.number not in self._known[row]:
                self.claim(memory_at, row, pes.pes, covers)
                self._known[row].add(pes.number)

    def rotate(self, a: int, b: int, pes: PeSet, row: int) -> None:
        """Exchange two buffers on a set of PEs; whose metrics ``row`` it belongs to does not matter."""
        swap(self.addresses if self.values else self.slots, self.slots, a, b, pes.pes)
        if a in self.watched:
            live = [pes.number in self._known[row] for row in (b, a)]
            for row, known in zip((a, b), live, strict=True):
                self._known[row].clear()
                if known:
                    self._known[row].add(pes.number)

    def claim(self, memory_at: int, row: int, pes: np.ndarray, covers: bool) -> None:
        """Make a buffer live on these PEs, and its rivals stale."""
        if row in self.watched:
            for other in self._rival_rows[row]:
                self._known[other].clear()
            claim(
                memory_at,
                self.live,
                self.slots,
                self.addresses,
                self.own_bit,
                self.rival_bits,
                self._sizes,
                self._integer,
                row,
                pes,
                covers,
            )

    def _stale(self, row: int, pe: int, instruction: Instruction) -> MeshError:
        declared = self.declared[self.slots[row, pe]]
        x, y = self.coordinates(declared.region, pe)
        notes = []
        for other in sorted(self.rivals.get(declared.number, [])):
            if np.any(self.live[pe] & self.own_bit[other]):
                b = self.declared[other].buffer
                notes.append(f"{b.name} (line {b.line}) shares its addresses and was written since")
        b = declared.buffer
        name = next(n for (r, n), number in self.rows.items() if number == row)
        return MeshError(
            "M0512",
            f"{instruction.opcode} at line {instruction.line} reads {name} of PE ({x}, {y}), "
            "which another buffer overwrote",
            notes=notes or [f"{b.name} (line {b.line}) was never written there"],
        )


def shareable_rows(
    program: Program, rows: Mapping[tuple[int, str], int], declared: Sequence[Declared]
) -> dict[int, int]:
    """Buffers that are both sent and received whole somewhere, and those they rotate with, by row: their elements."""
    sizes: dict[int, set[int]] = {}
    for d in declared:
        sizes.setdefault(d.row, set()).add(d.buffer.elements)
    sent, received = set(), set()
    pairs = []
    for r, region in enumerate(program.regions):
        for code in region.codes:
            for i in instructions_in(code.body):
                # Where no PE comes to it, an instruction may name a buffer that the region lacks.
                named = [(r, a.buffer) for a in i.args if isinstance(a, View) and a.dims is None]
                whole = [rows[name] for name in named if name in rows]
                if i.opcode == "send":
                    sent |= set(whole)
                elif i.opcode == "recv":
                    received |= set(whole)
                elif i.opcode == "rotate":
                    pairs.append(tuple(whole))
    found = sent | received
    while True:
        more = {row for pair in pairs if found & set(pair) for row in pair} - found
        if not more:
            break
        found |= more
    counts = {n for row in received for n in sizes[row]} & {n for row in sent for n in sizes[row]}
    single = {row: next(iter(sizes[row])) for row in sorted(found) if len(sizes[row]) == 1}
    return {row: n for row, n in single.items() if n in counts and n >= LEAST_SHARED}


def _meet(a: Rect, b: Rect) -> bool:
    if max(a.x0, b.x0) >= min(a.x1, b.x1) or max(a.y0, b.y0) >= min(a.y1, b.y1):
        return False
    if a.xs == b.xs == a.ys == b.ys == 1:
        return True
    xs = np.arange(max(a.x0, b.x0), min(a.x1, b.x1))
    ys = np.arange(max(a.y0, b.y0), min(a.y1, b.y1))
    grid_y, grid_x = np.meshgrid(ys, xs, indexing="ij")
    return bool(np.any(rect_mask(a, grid_x, grid_y) & rect_mask(b, grid_x, grid_y)))


@native
def swap(addresses, slots, a, b, pes):
    """``rotate``: exchange the addresses of two buffers, and which declared buffer's memory each means."""
    for i in range(pes.shape[0]):
        pe = pes[i]
        addresses[a, pe], addresses[b, pe] = addresses[b, pe], addresses[a, pe]
        slots[a, pe], slots[b, pe] = slots[b, pe], slots[a, pe]


@native
def first_stale(live, slots, own_bit, row, pes):
    """The first PE on which a buffer does not hold its own data, or -1."""
    for i in range(pes.shape[0]):
        pe = pes[i]
        slot = slots[row, pe]
        found = False
        tracked = False
        for w in range(live.shape[1]):
            if own_bit[slot, w] != 0:
                tracked = True
                if live[pe, w] & own_bit[slot, w] != 0:
                    found = True
        if tracked and not found:
            return pe
    return -1


@native
def claim(memory_at, live, slots, addresses, own_bit, rival_bits, elements, integer, row, pes, covers):
    """Make a buffer live on these PEs and its rivals stale; a stale one that is not covered is filled with NaN."""
    memory, integers = f32_at(memory_at), i32_at(memory_at)
    for i in range(pes.shape[0]):
        pe = pes[i]
        slot = slots[row, pe]
        was = False
        for w in range(live.shape[1]):
            if live[pe, w] & own_bit[slot, w] != 0:
                was = True
            live[pe, w] = (live[pe, w] & ~rival_bits[slot, w]) | own_bit[slot, w]
        if not was and not covers:
            at = addresses[row, pe]
            if integer[slot]:
                for j in range(elements[slot]):
                    integers[at + j] = POISON
            else:
                for j in range(elements[slot]):
                    memory[at + j] = np.nan
