"""The colors that a program uses."""

from __future__ import annotations

from collections.abc import Sequence

from meshrt.program.expr import Int
from meshrt.program.model import Instruction, Program
from meshrt.target import Target


def program_colors(program: Program, instructions: Sequence[Instruction], target: Target) -> list[int]:
    """Colors of routes, ``route`` instructions and ports, in ascending order."""
    found: set[int] = set()
    for region in program.regions:
        found |= {route.color for route in region.routes} | {port.color for port in region.ports}
    for instruction in instructions:
        if instruction.opcode == "route":
            color = instruction.option("color")
            # A color that follows from coordinates may be any that the target has.
            found |= {color.value} if isinstance(color, Int) else set(range(target.colors))
    return sorted(found)
