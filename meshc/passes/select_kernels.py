"""``select-kernels``: which algorithm carries out each tile operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module
from meshc.kernels.registry import kernels
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError, Place


@dataclass(frozen=True)
class SelectKernels(Pass):
    """Give every tile operation its ``algorithm``.

    needs: the tile level, with the module's ``grid``.

    does: an operation that already names an algorithm keeps it; another one gets the first
    kernel in the registry that applies on the grid. Raises M0405 where an algorithm is
    unknown or does not apply, M0402 where no kernel does.

    holds after: every operation that a kernel carries out has ``algorithm``.
    """

    name: ClassVar[str] = "select-kernels"

    def run(self, module: Module, context: PassContext) -> None:
        known = kernels()
        width, height = module.attributes["grid"]
        operations = {kernel.operation for kernel in known.values()}
        for op in module.walk():
            if op.name not in operations:
                continue
            pinned = op.attributes.get("algorithm")
            reasons = []
            for kernel in known.values():
                if kernel.operation != op.name or (pinned is not None and kernel.name != pinned):
                    continue
                reason = kernel.applies(op, width, height)
                if reason is None:
                    op.attributes["algorithm"] = kernel.name
                    break
                reasons.append(f"{kernel.name}: {reason}")
            else:
                raise MeshError(
                    "M0405",
                    f"no kernel for {op.name} applies on a grid of {width}x{height}"
                    + (f" under the name {pinned}" if pinned else ""),
                    place=Place(op.location.file, op.location.line),
                    notes=reasons,
                    helps=["`meshc kernels` lists the kernels and what each needs"],
                )
