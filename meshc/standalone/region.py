"""From kernels' code to a whole program: one region, its colors and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from meshc.emit.program import emit_program
from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuilder
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.plan_memory import PlanMemory
from meshrt.program.model import Program
from meshrt.target import Target


def assemble(width: int, height: int, target: Target, body: Callable[[MeshBuilder], None]) -> Program:
    """The program of a region of so many PEs whose declarations and code ``body`` appends.

    Raises M0401 where a PE's SRAM does not hold it and M0406 where the colors do not suffice.
    """
    size = {"width": width, "height": height}
    region = Operation("mesh.region", attributes={"name": "main", **size, "origin": (0, 0)}, regions=[Block()])
    builder = MeshBuilder(region, **size)
    body(builder)
    builder.finish()
    module = Module("mesh")
    module.attributes["ops"] = ()
    module.body.append(region)
    context = PassContext(target=target)
    for each in (AllocateColors(), PlanMemory()):
        each.run(module, context)
    return emit_program(module)


@contextmanager
def repeated(builder: MeshBuilder, rounds: int) -> Iterator[None]:
    """A loop of so many rounds, without a barrier between them; none for one round."""
    if rounds == 1:
        yield
        return
    with builder.loop("r", rounds):
        yield
