"""``choose-trees``: what carries out the all-reduces of decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module
from meshc.kernels.line_trees import Algorithm, LineTrees
from meshc.passes.base import Pass, PassContext


@dataclass(frozen=True)
class ChooseTrees(Pass):
    """Say which trees sum along rows and columns in decode: one kind for the whole function.

    Needs: the tile level.

    Does: all reductions along one line share one tree, since each tree takes colors of its own; so this is a
    property of the function. ``auto`` is sought for the target, ``k_tree`` has levels of groups, and ``meshgemv``
    is WaferLLM's program of that (:mod:`meshc.kernels.line_trees`). ``groups`` are the sizes from the lowest
    level on; without them they are balanced. With ``shares`` neighbours share scalar work that all PEs of a
    line would do alike, which takes a short all-reduce too (:mod:`meshc.kernels.shared_work`). With
    ``choose-trees{algorithm = meshgemv, groups = [2, 2]}`` ::

        module tile
        func() {
          name = "forward", width = 4, height = 4, dtype = "f32", batch = 1, sequence = 1, phase = "decode"
        } (%ids: tensor<1x1xi64>) {
          return()
        }

    becomes ::

        module tile
        func() {
          name = "forward", width = 4, height = 4, dtype = "f32", batch = 1, sequence = 1, phase = "decode",
          trees = {algorithm = "meshgemv", groups = [2, 2], shares = true}
        } (%ids: tensor<1x1xi64>) {
          return()
        }

    Holds after: the tile level. Functions of another phase are as they were.
    """

    name: ClassVar[str] = "choose-trees"
    level: ClassVar[str] = "tile"

    algorithm: Algorithm = "auto"
    groups: tuple[int, ...] = ()
    shares: bool = True

    def run(self, module: Module, context: PassContext) -> None:
        """Annotate the functions of the decode phase."""
        for func in module.body.ops:
            if func.attributes.get("phase") == "decode":
                func.attributes["trees"] = LineTrees(self.algorithm, self.groups, self.shares).attribute()
