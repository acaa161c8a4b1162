"""``gemv`` on its own: y[1, N] = x[1, K] W[K, N] on P x P PEs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from meshc.kernels.all_reduce_k_tree import all_reduce
from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.kernels.gemv import gemv
from meshc.standalone.region import assemble, repeated
from meshrt.program.cost import elements_per_word
from meshrt.program.expr import Name, as_expr
from meshrt.program.model import Program, Rect
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Gemv:
    """``parts`` x ``parts`` PEs, each with a tile W[k, n]; ``groups`` of the all-reduce's tree over y.

    Columns have nothing to do with one another: ``columns`` of them, ``parts`` by default, take the same time.
    ``rounds`` runs it so often back to back. With ``whole_words`` the last element of an odd
    tile is not summed (a single one is), as in the kernel that was measured. The program takes
    the tensors ``x`` [1, K] and ``w`` [K, N] and gives ``y`` [1, N].
    """

    parts: int
    k: int
    n: int
    groups: tuple[int, ...]
    dtype: str = "f32"
    rounds: int = 1
    whole_words: bool = False
    columns: int = 0

    def program(self, target: Target) -> Program:
        """The program for a target; raises M0616 where the groups do not fit the column, M0401 and M0406."""
        return assemble(self.columns or self.parts, self.parts, target, self._body)

    def _body(self, builder: MeshBuilder) -> None:
        k, n = self.k, self.n
        column, row, i, j = Name("x"), Name("y"), Name("i"), Name("j")
        x = builder.buffer("x_tile", self.dtype, 1, k)
        w = builder.buffer("w_tile", self.dtype, k, n)
        y = builder.buffer("y_tile", self.dtype, 1, n)
        builder.place(x, [("i", 0, 1), ("j", 0, k)], "x", [i, row * k + j])
        builder.place(w, [("i", 0, k), ("j", 0, n)], "w", [row * k + i, column * n + j])
        per_word = elements_per_word(self.dtype) if self.whole_words and n > 1 else 1
        with repeated(builder, self.rounds):
            gemv(builder, x, w, y, partial(all_reduce, builder, "y", self.groups), y.at(0, n - n % per_word))
        top = Rect(0, builder.width, 0, 1)
        stream = builder.stream("host.out.y", [StreamRoute(top, "RAMP", ("N",))])
        element = Name("e")
        builder.port(
            "y",
            "out",
            side="N",
            rect=top,
            color=stream,
            dtype=self.dtype,
            shape=(1, builder.width * n),
            count=as_expr(n),
            indices=(element // n, column * n + element),
        )
        with builder.when(row.eq(0)):
            builder.emit("send", y, color=stream)
