"""``tile``: from whole tensors to shards on a logical grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from meshc.dialects.graph_coverage import unsupported
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Module, Operation, uses
from meshc.passes.base import Pass, PassContext
from meshc.passes.require_covered import uncovered_error
from meshc.passes.tiling.conversion import Conversion
from meshc.passes.tiling.decode import DecodeConversion
from meshc.passes.tiling.prefill import PrefillConversion

#: Which operands of a tile operation enter multiply-adds.
MAC_OPERANDS = {
    "tile.gemm": (0,),
    "tile.gemm_transposed": (0,),
    "tile.gemv": (0,),
    "tile.attention": (0, 1, 2),
    "tile.cached_attention": (0, 1, 2),
    "tile.keep": (0, 1),
}


@dataclass(frozen=True)
class Tile(Pass):
    """Cut every activation over the grid: tokens over y, features over x; of one token, features over either.

    Needs: the graph level, every operation one that a kernel covers (raises M0402 otherwise).

    Does: batch and sequence become one token axis in blocks over y; features lie over x as
    :func:`~meshc.passes.infer_layouts.infer_layouts` finds, and ``tile.relayout`` moves a value
    that one operation needs in another layout; linear operations on the same
    input become one ``tile.gemm``, so that the input is aligned and shifted once; a linear
    whose result leaves the model, or whose weight is an embedding table, becomes
    ``tile.gemm_transposed``, which takes the table where the lookup needs it. Values that
    only enter multiply-adds take the operand dtype of ``--dtype``. With
    ``tile{width = 2, height = 2, dtype = mixed}`` ::

        func() {name = "forward"} (%ids: tensor<1x5xi64>) {
          %t = graph.weight() {name = "embed"} : tensor<9x6xf32>
          %x = graph.embedding(%t, %ids) : tensor<1x5x6xf32>
          %gate = graph.weight() {name = "gate"} : tensor<8x6xf32>
          %g = graph.linear(%x, %gate) {weight = "nk"} : tensor<1x5x8xf32>
          %up = graph.weight() {name = "up"} : tensor<8x6xf32>
          %u = graph.linear(%x, %up) {weight = "nk"} : tensor<1x5x8xf32>
          %y = graph.glu(%g, %u) {activation = "silu"} : tensor<1x5x8xf32>
          return(%y)
        }

    becomes ::

        module tile
        func() {name = "forward", width = 2, height = 2, dtype = "mixed", batch = 1, sequence = 5}
            (%ids: tensor<1x5xi64>) {
          %t = tile.weight() {name = "embed"} : tensor<9x6xf32>
          %x = tile.embedding(%t, %ids) {sequence = 5} : shard<"f16", block<5, 2>, block<6, 2>>
          %gate = tile.weight() {name = "gate"} : tensor<8x6xf32>
          %up = tile.weight() {name = "up"} : tensor<8x6xf32>
          %g, %u = tile.gemm(%x, %gate, %up) {
            parts = [{weight = 1, order = "nk", start = 0, stop = 8}, {weight = 2, order = "nk", start = 0, stop = 8}]
          } : shard<"f32", block<5, 2>, block<8, 2>>, shard<"f32", block<5, 2>, block<8, 2>>
          %y = tile.glu(%g, %u) {activation = "silu"} : shard<"f32", block<5, 2>, block<8, 2>>
          tile.output(%y) {names = ["logits"], shapes = [[1, 5, 8]]}
          return()
        }

    Holds after: the tile level; each value is padded to equal tiles.
    """

    name: ClassVar[str] = "tile"
    level: ClassVar[str] = "graph"

    #: PEs along x and y, and the arithmetic; those of the compilation where they are left out.
    width: int | None = None
    height: int | None = None
    dtype: Literal["mixed", "f16", "bf16", "f32"] | None = None
    #: Tokens of the longest prompt that a function of the decode phase takes; as many as its context without it.
    prompt: int | None = None
    #: Whether linear operations on one input become one product.
    projections: Literal["joined", "apart"] = "joined"
    #: How tokens come into the caches of the decode phase (:mod:`meshc.kernels.cache`).
    kv: Literal["shift", "append"] | None = None

    def run(self, module: Module, context: PassContext) -> None:
        found = unsupported(module)
        if found:
            raise uncovered_error(found)
        options = context.options
        dtype = self.dtype or (options.dtype if options is not None else "mixed")
        for func in module.body.ops:
            self._conversion(func, dtype, context).convert()
        module.level = "tile"
        _assign_operand_dtypes(module, *DTYPE_POLICY[dtype])

    def _conversion(self, func: Operation, dtype: str, context: PassContext) -> Conversion:
        """The conversion of the function's phase."""
        options = context.options
        grid = options.grid if options is not None and options.grid is not None else (1, 1)
        width, height = self.width or grid[0], self.height or grid[1]
        kv = self.kv or (options.kv if options is not None else None) or "shift"
        joined = self.projections == "joined"
        if func.attributes.get("phase") != "decode":
            return PrefillConversion(func, width, height, dtype, kv, joined)
        prompt = self.prompt or (options.seq if options is not None else None)
        return DecodeConversion(func, width, height, dtype, prompt or func.attributes["context"], kv, joined)


def _assign_operand_dtypes(module: Module, operand: str, other: str) -> None:
    """Give the operand dtype to values that only multiply-adds read."""
    if operand == other:
        return
    users = uses(module)
    for op in module.walk():
        if op.name in ("tile.repeat", "tile.phases"):
            continue
        for result in op.results:
            readers = users.get(result, [])
            only_macs = all(index in MAC_OPERANDS.get(user.name, ()) for user, index in readers)
            if isinstance(result.type, ShardType) and readers and only_macs:
                result.type = result.type.with_dtype(operand)
