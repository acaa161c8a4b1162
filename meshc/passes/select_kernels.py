"""``select-kernels``: which algorithm carries out each tile operation, and how, by cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Module, Operation
from meshc.kernels.estimate import Site
from meshc.kernels.kernel import Kernel
from meshc.kernels.pins import pins
from meshc.kernels.registry import kernels
from meshc.options import CompileOptions
from meshc.passes.base import Pass, PassContext
from meshc.passes.candidates import Choice, choice_for
from meshc.passes.choice_table import choice_table
from meshc.passes.fit_choices import fit
from meshc.passes.strategy import Chosen


@dataclass(frozen=True)
class SelectKernels(Pass):
    """Give every tile operation its ``algorithm``, and its ``schedule`` where there is one to choose.

    Needs: the tile level.

    Does: of all kernels and schedules that apply on the grid, takes for each operation the one
    of the fewest predicted cycles with which the whole function fits into the target's memory
    and colors (:mod:`meshc.passes.fit_choices`). An operation that already has an algorithm, or
    part of a schedule, keeps it; then ``pin`` counts, then the strategy of the compilation.
    Without a target nothing has a price, and the first that applies is taken. Raises M0405 where
    an algorithm is unknown or does not apply, and where no kernel does; M0411 where a kernel
    has no such schedule; M0401 and M0406 where nothing fits. A kernel may raise for what it
    cannot do (M0409 and M0410 for relayouts). Without a target::

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
            parts = [{weight = 1, order = "nk", start = 0, stop = 8}],
            algorithm = "gemm.ring", schedule = {vector = "m"}
          } : shard<"f32", block<5, 2>, block<8, 4>>
          return()
        }

    Holds after: every operation that a kernel carries out has ``algorithm``, and ``schedule``
    where its kernel has one. The candidates are left as the pass's analysis.
    """

    name: ClassVar[str] = "select-kernels"
    level: ClassVar[str] = "tile"

    #: Kernels to take for the operations that they carry out, with as much of their schedules as is wanted:
    #: ``gemm.ring`` or ``gemm.ring{vector=m}``.
    pin: tuple[str, ...] = ()
    #: Say what was considered and why it was chosen.
    explain: bool = False

    def run(self, module: Module, context: PassContext) -> None:
        known = kernels()
        by_operation: dict[str, list[Kernel]] = {}
        for kernel in known.values():
            by_operation.setdefault(kernel.operation, []).append(kernel)
        pinned = pins(self.pin, known)
        if context.options is not None:
            pinned = {**Chosen.of(context.options.strategy).pins(known), **pinned}
        chosen: list[Choice] = []
        for func in module.body.ops:
            choices: list[Choice] = []
            grid = func.attributes["width"], func.attributes["height"]
            site = _site(func, context)
            for op, rounds in _walk(func, 1):
                if op.name in by_operation:
                    choice = choice_for(op, by_operation[op.name], pinned.get(op.name), grid, site, rounds)
                    choice.choose(choice.chosen)
                    choices.append(choice)
            if context.target is not None:
                fit(func, choices, context)
            chosen += choices
        context.extra[self.name] = tuple(chosen)
        if self.explain:
            context.say(choice_table(chosen))


def _site(func: Operation, context: PassContext) -> Site | None:
    """Where the operations of a function run; None without a target, for then nothing has a price."""
    if context.target is None:
        return None
    attributes = func.attributes
    options = context.options or CompileOptions()
    return Site(
        attributes["width"],
        attributes["height"],
        *DTYPE_POLICY[attributes["dtype"]],
        context.target,
        options.chunk_elements,
    )


def _walk(op: Operation, rounds: int) -> Iterator[tuple[Operation, int]]:
    """The operations inside one, each with how often it runs."""
    for block in op.regions:
        for inner in block.ops:
            yield inner, rounds
            yield from _walk(inner, rounds * inner.attributes.get("count", 1) if inner.regions else rounds)
