"""``slice-layers``: keep only some of the repeated layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module
from meshc.ir.name_templates import NameTemplate
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Name


@dataclass(frozen=True)
class SliceLayers(Pass):
    """Keep the iterations ``start`` up to ``stop`` of the repeated layers (``--layers A:B``).

    Needs: the graph level with rolled layers; without ``start`` and ``stop``, here or in
    the compile options, nothing.

    Does: the loop runs ``stop - start`` times and its weights' names begin at ``start``.
    Raises M0408 where the model has no repeated layers, or fewer. With
    ``slice-layers{start = 2, stop = 5}`` ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %y = graph.repeat(%x) {count = 6, counter = "l"} : tensor<1x4x8xf32> (%h: tensor<1x4x8xf32>) {
            %w = graph.weight() {name = "layers.{2*l+1}.w"} : tensor<8x8xf32>
            %1 = graph.linear(%h, %w) {weight = "nk"} : tensor<1x4x8xf32>
            graph.yield(%1)
          }
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %y = graph.repeat(%x) {count = 3, counter = "l"} : tensor<1x4x8xf32> (%h: tensor<1x4x8xf32>) {
            %w = graph.weight() {name = "layers.{2 * (l + 2) + 1}.w"} : tensor<8x8xf32>
            %1 = graph.linear(%h, %w) {weight = "nk"} : tensor<1x4x8xf32>
            graph.yield(%1)
          }
          return(%y)
        }

    Holds after: the same operations; fewer weights are used.
    """

    name: ClassVar[str] = "slice-layers"
    level: ClassVar[str] = "graph"

    start: int | None = None
    stop: int | None = None

    def run(self, module: Module, context: PassContext) -> None:
        chosen = context.options.layers if context.options is not None else None
        start = self.start if self.start is not None else chosen[0] if chosen else None
        stop = self.stop if self.stop is not None else chosen[1] if chosen else None
        if start is None and stop is None:
            return
        loops = [op for op in module.walk() if op.name == "graph.repeat"]
        asked = f"layers {start or 0}:{'' if stop is None else stop} were asked for"
        if len(loops) != 1:
            found = f"{len(loops)} groups of repeated layers" if loops else "no repeated layers"
            raise MeshError("M0408", f"{asked}, but the model has {found}", helps=["compile without --layers"])
        (loop,) = loops
        count, counter = loop.attributes["count"], loop.attributes["counter"]
        first, last = start or 0, count if stop is None else stop
        if not 0 <= first < last <= count:
            raise MeshError(
                "M0408",
                f"{asked}, but the model repeats its layers (or groups of layers) {count} times",
                helps=[f"choose A:B with 0 <= A < B <= {count}"],
            )
        loop.attributes["count"] = last - first
        if not first:
            return
        for op in loop.walk():
            if op.name == "graph.weight":
                name = NameTemplate.of(op.attributes["name"])
                op.attributes["name"] = str(name.substituted({counter: Name(counter) + first}))
