"""A program without a model: one region whose buffers, streams and code a function appends.

For measuring a kernel by itself, on a machine of one's own choosing.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.emit.program import emit_program
from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuilder
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.plan_memory import PlanMemory
from meshrt.program.model import Program
from meshrt.target import Target


def standalone_program(
    width: int, height: int, target: Target, append: Callable[[MeshBuilder], None], name: str = "kernel"
) -> Program:
    """The program of a region of ``width`` x ``height`` PEs at the fabric's origin, for the target.

    ``append`` declares and emits with the builder; its instructions belong to one entry,
    ``name``, of the op table. Raises M0406 where the target has too few colors and M0401
    where a PE's SRAM does not hold the buffers.
    """
    attributes = {"name": "main", "width": width, "height": height, "origin": (0, 0)}
    region = Operation("mesh.region", attributes=attributes, regions=[Block()])
    builder = MeshBuilder(region, width, height)
    with builder.scope(0):
        append(builder)
    builder.finish()
    module = Module("mesh")
    module.attributes["ops"] = ((name, ""),)
    module.body.append(region)
    context = PassContext(target=target)
    AllocateColors().run(module, context)
    PlanMemory().run(module, context)
    return emit_program(module)
