"""Numbers that stand for dtypes and router ports in compiled code, and routes packed into one number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Element dtypes.
F32, F16, BF16, I32 = 0, 1, 2, 3
DTYPES: Mapping[str, int] = MappingProxyType({"f32": F32, "f16": F16, "bf16": BF16, "i32": I32})

# Router ports; the opposite of port p is (p + 2) % 4 for the four directions.
NORTH, EAST, SOUTH, WEST, RAMP = 0, 1, 2, 3, 4
PORTS = 5
PORT_NUMBERS: Mapping[str, int] = MappingProxyType({"N": NORTH, "E": EAST, "S": SOUTH, "W": WEST, "RAMP": RAMP})
SIDES = 4  # directions of a router
