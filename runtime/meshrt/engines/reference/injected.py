"""Faults as the records of compiled code hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.faults import LINK_SIDES, DamagedWord, DeafLink, Fault, LostWord, ShortSram, StoppedPe, StuckLink
from meshrt.engines.reference.core import records as rec
from meshrt.program.model import Program

_KINDS: dict[type, Any] = {
    StuckLink: rec.STUCK,
    LostWord: rec.LOST,
    DamagedWord: rec.DAMAGED,
    StoppedPe: rec.HALTED,
    DeafLink: rec.DEAF,
    ShortSram: rec.SHORT,
}
#: Bits of an element.
_BITS = 32


def fault_records(faults: Sequence[Fault], program: Program, bases: Sequence[int]) -> np.ndarray:
    """[faults, Z_SIZE]; ``bases[r]`` is the number of region r's first PE. Raises M0542 for a place that is missing."""
    table = np.zeros((len(faults), rec.Z_SIZE), np.int64)
    for record, fault in zip(table, faults, strict=True):
        names = [region.name for region in program.regions]
        wanted = names[0] if fault.region is None and names else fault.region
        if wanted not in names:
            raise MeshError("M0542", f"a fault names the region {wanted!r}, and the program has {', '.join(names)}")
        r = names.index(wanted)
        region = program.regions[r]
        if fault.x not in range(region.width) or fault.y not in range(region.height):
            raise MeshError("M0542", f"a fault names PE ({fault.x}, {fault.y}), which region {wanted} does not have")
        if fault.cycle < 0:
            raise MeshError("M0542", f"a fault begins in cycle {fault.cycle}", helps=["runs begin in cycle 0"])
        pe = bases[r] + fault.y * region.width + fault.x
        record[rec.Z_KIND] = _KINDS[type(fault)]
        record[rec.Z_CYCLE] = fault.cycle
        record[rec.Z_AT] = pe
        if isinstance(fault, ShortSram):
            record[rec.Z_VALUE] = fault.bytes
        elif not isinstance(fault, StoppedPe):
            if fault.side not in LINK_SIDES:
                raise MeshError(
                    "M0542", f"a fault names the side {fault.side!r}", helps=[f"sides: {', '.join(LINK_SIDES)}"]
                )
            record[rec.Z_AT] = pe * rec.LINKS + LINK_SIDES.index(fault.side)
        if isinstance(fault, DamagedWord):
            if fault.bit not in range(_BITS):
                raise MeshError("M0542", f"a fault names bit {fault.bit}; an element has {_BITS}, from 0 on")
            record[rec.Z_VALUE] = fault.bit
    return table
