"""``plan-memory``: an SRAM address for every buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Block, Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.liveness import live_intervals
from meshrt.diagnostics import MeshError
from meshrt.program.model import DTYPE_BYTES

#: Addresses are multiples of a fabric word.
ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class Demand:
    """A buffer's bytes and the stretch of code over which it must keep them."""

    name: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Give buffers addresses; buffers that never live at the same time may share them.

    needs: the mesh level, code complete.

    does: finds when each buffer lives (:mod:`meshc.passes.liveness`; placed weights always
    do), then places buffers, largest first, at the lowest address that no buffer alive at
    the same time covers. Code and runtime lie below. Raises M0401, with a map of the
    memory, where a PE's SRAM does not hold it all.

    holds after: every buffer has ``address``; ``code_bytes`` and ``peak_bytes`` are
    attributes of the region.
    """

    name: ClassVar[str] = "plan-memory"

    #: Bytes per PE, for the runtime and of one instruction; the target's where it is known.
    sram_bytes: int = 49152
    runtime_bytes: int = 4176
    code_bytes_per_instruction: int = 32

    def run(self, module: Module, context: PassContext) -> None:
        target = context.target
        sram = target.sram_bytes if target is not None else self.sram_bytes
        for region in module.body.ops:
            declarations = region.regions[0].ops
            (code,) = [op for op in declarations if op.name == "mesh.code"]
            count = instruction_count(code.regions[0])
            code_bytes = (
                target.code_bytes(count)
                if target is not None
                else self.runtime_bytes + count * self.code_bytes_per_instruction
            )
            buffers = [op for op in declarations if op.name == "mesh.buffer"]
            demands = _demands(buffers, declarations, code.regions[0])
            base = -(-code_bytes // ALIGNMENT) * ALIGNMENT
            addresses, peak = assign(demands, base)
            region.attributes["code_bytes"] = code_bytes
            region.attributes["peak_bytes"] = peak
            if peak > sram:
                raise does_not_fit(demands, code_bytes, peak, sram, region)
            for buffer in buffers:
                # A buffer that no code touches takes no memory, but it must have an address.
                buffer.attributes["address"] = addresses.get(buffer.attributes["name"], base)


def instruction_count(block: Block) -> int:
    """Instructions that a block takes in SRAM; loops and branches are one each."""
    total = 0
    for op in block.ops:
        total += 0 if op.name == "mesh.scope" else 1
        total += sum(instruction_count(inner) for inner in op.regions)
    return total


def _demands(buffers: list[Operation], declarations: list[Operation], code: Block) -> list[Demand]:
    intervals = live_intervals(code)
    end = max((last for _, last in intervals.values()), default=0)
    placed = {op.attributes["buffer"] for op in declarations if op.name == "mesh.place"}
    demands = []
    for buffer in buffers:
        name = buffer.attributes["name"]
        if name not in intervals:
            continue
        elements = 1
        for extent in buffer.attributes["shape"]:
            elements *= extent
        first, last = (0, end) if name in placed else intervals[name]
        demands.append(Demand(name, elements * DTYPE_BYTES[buffer.attributes["dtype"]], first, last))
    return demands


def assign(demands: list[Demand], base: int) -> tuple[dict[str, int], int]:
    """Addresses by name, and the first byte above all of them: largest first, lowest free place."""
    placed: list[tuple[int, int, Demand]] = []
    addresses: dict[str, int] = {}
    peak = base
    for demand in sorted(demands, key=lambda d: (-d.bytes, d.first, d.name)):
        size = -(-demand.bytes // ALIGNMENT) * ALIGNMENT
        at = base
        for start, stop, other in placed:
            if other.first > demand.last or other.last < demand.first:
                continue
            if start - at >= size:
                break
            at = max(at, stop)
        addresses[demand.name] = at
        placed.append((at, at + size, demand))
        placed.sort(key=lambda entry: (entry[0], entry[1]))
        peak = max(peak, at + size)
    return addresses, peak


def does_not_fit(demands: list[Demand], code_bytes: int, peak: int, sram: int, region: Operation) -> MeshError:
    """The error for a region whose PEs hold too little, with what takes the most."""
    width, height = region.attributes["width"], region.attributes["height"]
    largest = sorted(demands, key=lambda d: (-d.bytes, d.name))
    lines = [f"{code_bytes:>9,} B  code and runtime"]
    lines += [f"{d.bytes:>9,} B  {d.name}" for d in largest[:8]]
    if len(largest) > 8:
        rest = largest[8:]
        lines.append(f"{sum(d.bytes for d in rest):>9,} B  {len(rest)} smaller buffers (some share memory)")
    return MeshError(
        "M0401",
        f"a PE of the {width}x{height} grid would need {peak:,} bytes of SRAM and has {sram:,}: {peak - sram:,} too many",
        notes=["memory of a PE:\n" + "\n".join("    " + line for line in lines)],
        helps=["use a larger grid (--grid WxH), fewer layers (--layers A:B) or a shorter --seq"],
    )
