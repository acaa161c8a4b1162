"""``select-kernels``: which algorithm carries out each tile operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.kernels.kernel import Kernel
from meshc.kernels.registry import kernels
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean


@dataclass(frozen=True)
class SelectKernels(Pass):
    """Give every tile operation its ``algorithm``.

    Needs: the tile level.

    Does: an operation that already names an algorithm keeps it; another one gets the kernel
    that ``pin`` names for its like, or else that of the lowest rank that applies on the grid.
    Raises M0405 where an algorithm is unknown or does not apply, and where no kernel does; a
    kernel may raise for what it cannot do (M0409 and M0410 for relayouts)::

        module tile
        func() {name = "forward", width = 4, height = 2, dtype = "f32", batch = 1, sequence = 5}
            (%ids: tensor<1x5xi64>) {
          %t = tile.weight() {name = "positions"} : tensor<9x8xf32>
          %w = tile.weight() {name = "w"} : tensor<8x8xf32>
          %x = tile.position_embedding(%t) {sequence = 5} : shard<"f32", block<5, 2>, block<8, 4>>
          %y = tile.gemm(%x, %w) {parts = [{weight = 1, order = "nk", start = 0, stop = 8}]}
            : shard<"f32", block<5, 2>, block<8, 4>>
          return()
        }

    becomes ::

        module tile
        func() {name = "forward", width = 4, height = 2, dtype = "f32", batch = 1, sequence = 5}
            (%ids: tensor<1x5xi64>) {
          %t = tile.weight() {name = "positions"} : tensor<9x8xf32>
          %w = tile.weight() {name = "w"} : tensor<8x8xf32>
          %x = tile.position_embedding(%t) {sequence = 5, algorithm = "embedding.position"}
            : shard<"f32", block<5, 2>, block<8, 4>>
          %y = tile.gemm(%x, %w) {
            parts = [{weight = 1, order = "nk", start = 0, stop = 8}], algorithm = "gemm.ring"
          } : shard<"f32", block<5, 2>, block<8, 4>>
          return()
        }

    Holds after: every operation that a kernel carries out has ``algorithm``.
    """

    name: ClassVar[str] = "select-kernels"
    level: ClassVar[str] = "tile"

    #: Kernels to take for the operations that they carry out.
    pin: tuple[str, ...] = ()

    def run(self, module: Module, context: PassContext) -> None:
        known = kernels()
        choices: dict[str, list[Kernel]] = {}
        for kernel in known.values():
            choices.setdefault(kernel.operation, []).append(kernel)
        pinned = {_known(name, known).operation: name for name in self.pin}
        for func in module.body.ops:
            grid = func.attributes["width"], func.attributes["height"]
            for op in func.walk():
                if op.name in choices:
                    name = op.attributes.get("algorithm", pinned.get(op.name))
                    kernel = _select(op, name, choices[op.name], *grid)
                    kernel.check(op, *grid, context.target)
                    op.attributes["algorithm"] = kernel.name


def _known(name: str, known: Mapping[str, Kernel]) -> Kernel:
    """The kernel of a name that a user gave."""
    if name not in known:
        raise MeshError("M0405", f"there is no kernel {name!r}", helps=did_you_mean(name, known, "kernels"))
    return known[name]


def _select(op: Operation, pinned: str | None, choices: list[Kernel], width: int, height: int) -> Kernel:
    """The kernel for an operation, of those that carry out its like."""
    reasons = []
    for kernel in choices:
        if pinned in (None, kernel.name):
            reason = kernel.applies(op, width, height)
            if reason is None:
                return kernel
            reasons.append(f"{kernel.name}: {reason}")
    if not reasons:
        reasons = [f"{op.name} is carried out by {', '.join(kernel.name for kernel in choices)}"]
    named = f" under the name {pinned}" if pinned else ""
    raise MeshError(
        "M0405",
        f"no kernel for {op.name} applies on a grid of {width}x{height}{named}",
        place=op.location.place,
        notes=reasons,
        helps=["`meshc kernels` lists the kernels and what each needs"],
    )
