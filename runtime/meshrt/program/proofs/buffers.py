"""The declared buffers of a region: which share addresses, which a move may hold, who they are on each PE."""

from __future__ import annotations

import numpy as np

from meshrt.program.memory_map import rect_slices
from meshrt.program.model import DTYPE_BYTES, Rect, Region, View, instructions_in
from meshrt.program.proofs.records import (
    D_ADDRESS,
    D_BITS,
    D_BYTES,
    D_DTYPE,
    D_ELEMENTS,
    D_TRACKED,
    DTYPE_NUMBERS,
    LIVE_BITS,
)


class Buffers:
    """The buffers of one region.

    ``names`` numbers the buffers' names; ``named`` is [names, PEs], the declaration that a name means on a PE, -1
    where there is none. ``tracked`` are names whose memory is shared with another buffer, ``held`` names whose memory
    an asynchronous move may hold, ``moving`` those of them that moves name, or that ``rotate`` exchanges with such.
    """

    def __init__(self, region: Region):
        self.region = region
        self.names = {name: i for i, name in enumerate(dict.fromkeys(b.name for b in region.buffers))}
        pes = region.width * region.height
        numbers = np.arange(pes).reshape(region.height, region.width)
        self.named = np.full((max(1, len(self.names)), pes), -1, np.int64)
        for d, buffer in enumerate(region.buffers):
            self.named[self.names[buffer.name], numbers[rect_slices(buffer.rect)].reshape(-1)] = d
        instructions = [i for code in region.codes for i in instructions_in(code.body)]
        rotations = [
            tuple(arg.buffer for arg in i.args if isinstance(arg, View)) for i in instructions if i.opcode == "rotate"
        ]
        self.rotating = sorted({name for pair in rotations for name in pair})
        self.rivals = self._find_rivals()
        self._bits = {d: i for i, d in enumerate(sorted(self.rivals))}
        shared = {region.buffers[d].name for d in self.rivals}
        self.tracked = _closure(shared, rotations)
        moved = {
            arg.buffer for i in instructions if i.option("async") is not None for arg in i.args if isinstance(arg, View)
        }
        self.moving = _closure(moved, rotations)
        near = {
            region.buffers[other].name
            for d, others in self.rivals.items()
            if region.buffers[d].name in self.moving
            for other in others
        }
        self.held = self.moving | _closure(near, rotations)

    def _find_rivals(self) -> dict[int, list[int]]:
        rivals: dict[int, list[int]] = {}
        buffers = self.region.buffers
        order = sorted(range(len(buffers)), key=lambda d: (buffers[d].address, d))
        under: list[int] = []
        for d in order:
            under = [o for o in under if buffers[o].address + buffers[o].bytes > buffers[d].address]
            for o in under:
                if _meet(buffers[o].rect, buffers[d].rect):
                    rivals.setdefault(o, []).append(d)
                    rivals.setdefault(d, []).append(o)
            under.append(d)
        return rivals

    @property
    def live_width(self) -> int:
        """Integers that hold a bit for each declaration that shares addresses."""
        return max(1, -(-len(self.rivals) // LIVE_BITS))

    @property
    def record_size(self) -> int:
        """Integers of a declaration's record."""
        return D_BITS + 2 * self.live_width

    def records(self) -> np.ndarray:
        """A record for each declaration, its bits and those of its rivals included: int64 [buffers, record_size]."""
        table = np.zeros((max(1, len(self.region.buffers)), self.record_size), np.int64)
        for d, buffer in enumerate(self.region.buffers):
            table[d, D_DTYPE] = DTYPE_NUMBERS[buffer.dtype]
            table[d, D_BYTES] = DTYPE_BYTES[buffer.dtype]
            table[d, D_ADDRESS] = buffer.address
            table[d, D_ELEMENTS] = buffer.elements
            table[d, D_TRACKED] = d in self.rivals
        width = self.live_width
        for d, i in self._bits.items():
            table[d, D_BITS + i // LIVE_BITS] |= 1 << i % LIVE_BITS
            for j in (self._bits[other] for other in self.rivals[d]):
                table[d, D_BITS + width + j // LIVE_BITS] |= 1 << j % LIVE_BITS
        return table

    def own_bits(self, declared: int) -> np.ndarray:
        """The bit of one declaration: int64 [live_width]."""
        return self.records()[declared, D_BITS : D_BITS + self.live_width]

    def live(self) -> np.ndarray:
        """The bits of what holds its own data before the run, the weights: int64 [PEs, live_width]."""
        region, width = self.region, self.live_width
        live = np.zeros((region.width * region.height, width), np.int64)
        pes = np.arange(len(live)).reshape(region.height, region.width)
        records = self.records()
        for placement in region.placements:
            here = pes[rect_slices(placement.rect)].reshape(-1)
            declared = self.named[self.names[placement.buffer], here]
            bits, rivals = records[declared, D_BITS : D_BITS + width], records[declared, D_BITS + width :]
            live[here] = (live[here] & ~rivals) | bits
        return live


def _closure(names: set[str], rotations: list[tuple[str, ...]]) -> set[str]:
    """The names, and all with which ``rotate`` may exchange them."""
    found = set(names)
    while True:
        more = {name for pair in rotations if found & set(pair) for name in pair} - found
        if not more:
            return found
        found |= more


def _meet(a: Rect, b: Rect) -> bool:
    """Whether two rectangles have a PE in common."""
    xs = set(range(a.x0, a.x1, a.xs)).intersection(range(b.x0, b.x1, b.xs))
    ys = set(range(a.y0, a.y1, a.ys)).intersection(range(b.y0, b.y1, b.ys))
    return bool(xs and ys)
