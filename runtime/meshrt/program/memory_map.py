"""How a program fills the SRAM of the PEs: code and runtime first, buffers behind them.

Buffers may share addresses while their lifetimes do not meet, so what a PE uses ends
where its last buffer ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.model import Buffer, Program, Rect, Region, code_instructions
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """SRAM use in bytes. ``peak_pe`` is (region, x, y) of the first PE that uses the most, empty without regions.

    ``buffers`` are those of the peak PE by address; ``code_bytes`` is its runtime and code;
    ``mean_bytes`` is over all PEs of the regions.
    """

    sram_bytes: int
    peak_bytes: int
    peak_pe: tuple[str, int, int] | None
    mean_bytes: float
    code_bytes: int
    buffers: tuple[Buffer, ...]

    def render(self) -> str:
        """The memory map of the peak PE as a small table."""
        where = "" if self.peak_pe is None else f" of PE ({self.peak_pe[1]}, {self.peak_pe[2]})"
        lines = [f"SRAM{where}: {self.peak_bytes} of {self.sram_bytes} bytes"]
        rows = [(0, self.code_bytes, "code and runtime")]
        for buffer in self.buffers:
            shape = " x ".join(map(str, buffer.shape))
            rows.append((buffer.address, buffer.bytes, f"{buffer.name}: {buffer.dtype} {shape}"))
        lines += [f"  {start:>7} .. {start + size:>7}  {size:>7}  {what}" for start, size, what in rows]
        return "\n".join(lines)


def rect_slices(rect: Rect) -> tuple[slice, slice]:
    """The rectangle as slices of an array of [height, width]."""
    return slice(rect.y0, rect.y1, rect.ys), slice(rect.x0, rect.x1, rect.xs)


def code_end(region: Region, target: Target) -> np.ndarray:
    """First byte behind runtime and code in every PE of the region: int64 [height, width]."""
    end = np.full((region.height, region.width), target.code_bytes(0), np.int64)
    for code in region.codes:
        end[rect_slices(code.rect)] = target.code_bytes(code_instructions(code.body))
    return end


def memory_map(program: Program, target: Target) -> MemoryMap:
    """What the fullest PE holds; regions and their rectangles must be sound (see the checker)."""
    peak, peak_at, total, pes = 0, None, 0, 0
    for region in program.regions:
        code = code_end(region, target)
        used = code.copy()
        for buffer in region.buffers:
            area = rect_slices(buffer.rect)
            used[area] = np.maximum(used[area], buffer.address + buffer.bytes)
        total += int(used.sum())
        pes += used.size
        y, x = np.unravel_index(int(used.argmax()), used.shape)
        if peak_at is None or used[y, x] > peak:
            peak, peak_at = int(used[y, x]), (region, int(x), int(y), int(code[y, x]))
    if peak_at is None:
        return MemoryMap(target.sram_bytes, 0, None, 0.0, 0, ())
    region, x, y, code_bytes = peak_at
    at_peak = sorted((b for b in region.buffers if (x, y) in b.rect), key=lambda b: (b.address, b.name))
    return MemoryMap(target.sram_bytes, peak, (region.name, x, y), total / pes, code_bytes, tuple(at_peak))
