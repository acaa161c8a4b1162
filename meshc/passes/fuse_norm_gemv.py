"""``fuse-norm-gemv``: a norm's sum of squares travels with the projections behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation, Value, erase_dead, uses
from meshc.passes.base import Pass, PassContext


@dataclass(frozen=True)
class FuseNormGemv(Pass):
    """Let a ``tile.gemv`` take in the RMSNorm of its input, so that both need one all-reduce.

    Needs: the tile level, a function whose phase is decode.

    Does: ``(x / r * w) W`` is ``(x * w) W / r``, where r is the root of the mean square of x. So
    the projections of x * w and the sum of squares are summed along the axis together, and the
    results are divided afterwards. A norm of all features whose result only enters projections
    becomes the ``norm`` of these::

        module tile
        func() {
          name = "forward", width = 2, height = 2, dtype = "f32", batch = 1, sequence = 1, phase = "decode"
        } (%ids: tensor<1x1xi64>) {
          %t = tile.weight() {name = "embed"} : tensor<9x6xf32>
          %x = tile.embedding(%t, %ids) {sequence = 1} : shard<"f32", block<6, 2>, replicated<1, 2>, transposed = true>
          %n = tile.weight() {name = "norm"} : tensor<6xf32>
          %w = tile.weight() {name = "w"} : tensor<8x6xf32>
          %y = tile.rms_norm(%x, %n) {eps = 1e-05} : shard<"f32", block<6, 2>, replicated<1, 2>, transposed = true>
          %z = tile.gemv(%y, %w) {parts = [{weight = 1, order = "nk", start = 0, stop = 8}]}
            : shard<"f32", replicated<1, 2>, block<8, 2>>
          return(%z)
        }

    becomes ::

        module tile
        func() {
          name = "forward", width = 2, height = 2, dtype = "f32", batch = 1, sequence = 1, phase = "decode"
        } (%ids: tensor<1x1xi64>) {
          %t = tile.weight() {name = "embed"} : tensor<9x6xf32>
          %x = tile.embedding(%t, %ids) {sequence = 1} : shard<"f32", block<6, 2>, replicated<1, 2>, transposed = true>
          %n = tile.weight() {name = "norm"} : tensor<6xf32>
          %w = tile.weight() {name = "w"} : tensor<8x6xf32>
          %z = tile.gemv(%x, %w, %n) {
            parts = [{weight = 1, order = "nk", start = 0, stop = 8}],
            norm = {eps = 1e-05, unit_offset = false, weight = 2}
          } : shard<"f32", replicated<1, 2>, block<8, 2>>
          return(%z)
        }

    Holds after: the tile level; no norm of all features stands before nothing but projections.
    """

    name: ClassVar[str] = "fuse-norm-gemv"
    level: ClassVar[str] = "tile"

    def run(self, module: Module, context: PassContext) -> None:
        users = uses(module)
        for op in list(module.walk()):
            if op.name == "tile.rms_norm" and not op.attributes.get("heads") and _only_projected(op, users):
                for user, _ in users[op.result]:
                    _take_in(user, op)
        erase_dead(module, lambda op: op.name != "tile.rms_norm")


def _only_projected(norm: Operation, users: Mapping[Value, Sequence[tuple[Operation, int]]]) -> bool:
    """Whether a norm's result enters projections and nothing else."""
    readers = users.get(norm.result, ())
    return bool(readers) and all(
        user.name == "tile.gemv" and index == 0 and "norm" not in user.attributes for user, index in readers
    )


def _take_in(gemv: Operation, norm: Operation) -> None:
    """Give a projection the norm's input and weight in place of its result."""
    x, *weight = norm.operands
    described: dict[str, object] = {
        "eps": norm.attributes["eps"],
        "unit_offset": bool(norm.attributes.get("unit_offset")),
    }
    if weight:
        described["weight"] = len(gemv.operands)
    gemv.operands = [x, *gemv.operands[1:], *weight]
    gemv.attributes = {**gemv.attributes, "norm": described}
