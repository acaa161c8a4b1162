"""``plan-memory``: an SRAM address for every buffer."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Block, Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.liveness import live_intervals
from meshrt.diagnostics import MeshError
from meshrt.program.model import DTYPE_BYTES

#: Addresses are multiples of a fabric word.
ALIGNMENT = 4


#: Buffers that the map of a memory names; the rest is one line.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Demand:
    """A buffer's bytes, and the stretch of code over which it must keep them."""

    name: str
    bytes: int
    first: int
    last: int
    type: str = ""

    @property
    def room(self) -> int:
        """The bytes that it takes, whole words."""
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT

    def meets(self, other: Demand) -> bool:
        """Whether both live at some time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Give buffers addresses; buffers that never live at the same time may share them.

    Needs: the mesh level, code complete.

    Does: finds when each buffer lives (:mod:`meshc.passes.liveness`; placed weights and what is kept always
    do), then places buffers, largest first, at the lowest address that no buffer alive at
    the same time covers. Code and runtime lie below. Raises M0401, with a map of the
    memory, where a PE's SRAM does not hold it all::

        module mesh {ops = []}
        mesh.region() {name = "main", width = 1, height = 1, origin = [0, 0]} () {
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "a", dtype = "f32", shape = [10]}
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "b", dtype = "f32", shape = [10]}
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "c", dtype = "f16", shape = [10]}
          mesh.code() {rect = [0, 1, 0, 1, 1, 1], name = "main"} () {
            mesh.fill() {args = [view<"a">], value = 1.0}
            mesh.exp() {args = [view<"b">, view<"a">]}
            mesh.copy() {args = [view<"c">, view<"b">]}
          }
        }

    becomes ::

        module mesh {ops = []}
        mesh.region() {
          name = "main", width = 1, height = 1, origin = [0, 0], code_bytes = 4272, peak_bytes = 4352
        } () {
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "a", dtype = "f32", shape = [10], address = 4272}
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "b", dtype = "f32", shape = [10], address = 4312}
          mesh.buffer() {rect = [0, 1, 0, 1, 1, 1], name = "c", dtype = "f16", shape = [10], address = 4272}
          mesh.code() {rect = [0, 1, 0, 1, 1, 1], name = "main"} () {
            mesh.fill() {args = [view<"a">], value = 1.0}
            mesh.exp() {args = [view<"b">, view<"a">]}
            mesh.copy() {args = [view<"c">, view<"b">]}
          }
        }

    Holds after: every buffer has ``address``; ``code_bytes`` and ``peak_bytes`` are
    attributes of the region.
    """

    name: ClassVar[str] = "plan-memory"
    level: ClassVar[str] = "mesh"

    #: Bytes per PE, for the runtime and of one instruction; the target's where it is known.
    sram_bytes: int = 49152
    runtime_bytes: int = 4176
    code_bytes_per_instruction: int = 32

    def run(self, module: Module, context: PassContext) -> None:
        target = context.target
        sram = target.sram_bytes if target is not None else self.sram_bytes
        for region in module.body.ops:
            declarations = region.regions[0].ops
            codes = [op.regions[0] for op in declarations if op.name == "mesh.code"]
            count = max(map(instruction_count, codes), default=0)
            code_bytes = (
                target.code_bytes(count)
                if target is not None
                else self.runtime_bytes + count * self.code_bytes_per_instruction
            )
            buffers = [op for op in declarations if op.name == "mesh.buffer"]
            demands = _demands(buffers, declarations, codes)
            base = -(-code_bytes // ALIGNMENT) * ALIGNMENT
            addresses = assign(demands, base)
            peak = max((addresses[d.name] + d.room for d in demands), default=base)
            region.attributes["code_bytes"] = code_bytes
            region.attributes["peak_bytes"] = peak
            if peak > sram:
                width, height = region.attributes["width"], region.attributes["height"]
                name = region.attributes["name"]
                whose = "" if name == "main" else f" for {name}"
                raise MeshError(
                    "M0401",
                    f"a PE of the {width}x{height} grid{whose} would need {peak:,} bytes of SRAM and has {sram:,}: "
                    f"{peak - sram:,} too many",
                    notes=[memory_map(demands, addresses, code_bytes, peak)],
                    helps=["use a larger grid (--grid WxH), fewer layers (--layers A:B) or a shorter --seq"],
                )
            for buffer in buffers:
                # A buffer that no code touches takes no memory, but it must have an address.
                buffer.attributes["address"] = addresses.get(buffer.attributes["name"], base)


def instruction_count(block: Block) -> int:
    """Instructions that a block takes in SRAM; loops and branches are one each, a loop that a flag may end is both."""
    own = sum((op.name != "mesh.scope") + ("until" in op.attributes) for op in block.ops)
    return own + sum(instruction_count(inner) for op in block.ops for inner in op.regions)


def _demands(buffers: list[Operation], declarations: list[Operation], codes: list[Block]) -> list[Demand]:
    """The demands of the buffers that some code touches."""
    elements = {op.attributes["name"]: math.prod(op.attributes["shape"]) for op in buffers}
    intervals = live_intervals(codes, elements)
    always = 0, max((last for _, last in intervals.values()), default=0)
    placed = {op.attributes["buffer"] for op in declarations if op.name == "mesh.place"}
    demands = []
    for buffer in buffers:
        name, dtype, shape = (buffer.attributes[key] for key in ("name", "dtype", "shape"))
        if name in intervals:
            life = always if name in placed or buffer.attributes.get("kept") else intervals[name]
            type = f"{dtype} {' x '.join(map(str, shape))}"
            demands.append(Demand(name, elements[name] * DTYPE_BYTES[dtype], *life, type))
    return demands


def assign(demands: list[Demand], base: int) -> dict[str, int]:
    """Addresses by name, from ``base`` on: largest first, lowest free place."""
    placed: list[tuple[int, Demand]] = []
    for demand in sorted(demands, key=lambda d: (-d.bytes, d.first, d.name)):
        address = base
        for start, other in placed:
            if other.meets(demand):
                if start - address >= demand.room:
                    break
                address = max(address, start + other.room)
        bisect.insort(placed, (address, demand), key=lambda entry: entry[0])
    return {demand.name: address for address, demand in placed}


def memory_map(demands: list[Demand], addresses: dict[str, int], code_bytes: int, peak: int) -> str:
    """What a PE's memory holds when the buffer at its end lives, the largest first; the lines add up to the peak."""
    top = max(demands, key=lambda d: addresses[d.name] + d.room)
    moments = {d.first for d in demands if top.first <= d.first <= top.last}
    living = [[d for d in demands if d.first <= moment <= d.last] for moment in sorted(moments)]
    fullest = sorted(max(living, key=lambda held: sum(d.room for d in held)), key=lambda d: (-d.bytes, d.name))
    rows = [(code_bytes, "code and runtime")]
    rows += [(d.room, f"{d.name}: {d.type}") for d in fullest[:_SHOWN]]
    rest = fullest[_SHOWN:]
    if rest:
        rows.append((sum(d.room for d in rest), f"{len(rest)} smaller buffers"))
    unused = peak - sum(size for size, _ in rows)
    if unused:
        rows.append((unused, "unused between them"))
    return "the memory of a PE where it is fullest:\n" + "\n".join(f"    {size:>9,} B  {what}" for size, what in rows)
