"""``gemm.ring`` on its own: C[M, N] = X[M, K] W[K, N] on P x P PEs."""

from __future__ import annotations

from dataclasses import dataclass

from meshc.kernels.builder import MeshBuilder
from meshc.kernels.gemm_ring import Pair, Schedule, align_rows, aligned_block, multiply
from meshc.kernels.host_io import drain_rows
from meshc.standalone.region import assemble, repeated
from meshrt.program.expr import Name
from meshrt.program.model import Program
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class GemmRing:
    """``parts`` x ``parts`` PEs, each with tiles X[m, k], W[k, n] and C[m, n].

    ``rounds`` runs it so often back to back; the tiles of X and W are where the round before
    left them, so that only the first one's C is the product. The program takes the tensors
    ``x`` [M, K] and ``w`` [K, N] and gives ``c`` [M, N], which leaves at the east edge unless it is ``kept``.

    Every row does the same in the same time: ``rows`` of them, ``parts`` by default, are enough to time it,
    but C is then not the product.
    """

    parts: int
    m: int
    k: int
    n: int
    schedule: Schedule = Schedule(vector="m")
    dtype: str = "f32"
    rounds: int = 1
    kept: bool = False
    rows: int = 0

    def program(self, target: Target) -> Program:
        """The program for a target; raises M0401 and M0406 where it does not fit."""
        return assemble(self.parts, self.rows or self.parts, target, self._body)

    def _body(self, builder: MeshBuilder) -> None:
        m, k, n, parts = self.m, self.k, self.n, self.parts
        column, row, i, j = Name("x"), Name("y"), Name("i"), Name("j")
        x = builder.buffer("x_pair", self.dtype, 2, m, k)
        w = builder.buffer("w_pair", self.dtype, 2, k, n)
        c = builder.buffer("c_tile", self.dtype, m, n)
        first = ("turn", 0, 1)
        builder.place(x, [first, ("i", 0, m), ("j", 0, k)], "x", [row * m + i, column * k + j])
        builder.place(w, [first, ("i", 0, k), ("j", 0, n)], "w", [aligned_block(builder) * k + i, column * n + j])
        x_pair, w_pair = Pair(x, self.schedule), Pair(w, self.schedule)
        with repeated(builder, self.rounds):
            turn = align_rows(builder, x_pair) if parts > 1 else 0
            builder.emit("fill", c, value=0.0)
            if parts > 1:
                multiply(builder, x_pair, w_pair, c, self.schedule.vector, turn)
            else:
                builder.emit("gemm", c, x_pair.tile(0), w_pair.tile(0), vector=self.schedule.vector)
        if not self.kept:
            drain_rows(
                builder, "c", c, (parts * m, parts * n), lambda source, e: (row * m + e // n, source * n + e % n)
            )
