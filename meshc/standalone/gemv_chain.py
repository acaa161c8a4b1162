"""Products of a row with one matrix after the other, y = x W1 W2 .., with any all-reduce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshc.dialects.layout import Block
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.builder import MeshBuffer, MeshBuilder, StreamRoute
from meshc.kernels.collectives.line import whole
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import collective
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemv import gemv, gemv_estimate
from meshc.standalone.region import assemble
from meshrt.program.expr import Name, as_expr
from meshrt.program.model import Program, Rect, View
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class GemvChain:
    """A row x of ``sizes[0]`` times matrices [sizes[0], sizes[1]], .. on ``width`` x ``height`` PEs.

    x lies over ``axis``; each product sums along the axis over which its input lies, so the results take turns
    and nothing is transposed. ``algorithm`` is the all-reduce's, with ``parameters``. The program takes the
    tensors ``x`` [1, K] and ``w0``, ``w1``, .. and gives ``y`` [1, N], which leaves at the north or west edge
    unless it is ``kept``. What does not divide is padded with zeros.
    """

    width: int
    height: int
    sizes: tuple[int, ...]
    axis: str = "y"
    algorithm: str = "auto"
    parameters: Mapping[str, object] = field(default_factory=dict)
    dtype: str = "f32"
    kept: bool = False

    def program(self, target: Target) -> Program:
        """The program for a target; raises M0616 and M0617 of the all-reduce, M0401 and M0406."""
        return assemble(self.width, self.height, target, lambda builder: self._body(builder, target))

    def estimates(self, target: Target) -> list[Estimate]:
        """What each product is predicted to cost."""
        site = Site(self.width, self.height, *DTYPE_POLICY[self.dtype], target)
        found = []
        for axis, inputs, outputs in self._products():
            length = self._extent(axis)
            payload = self._payload(outputs.tile, target)
            summed = collective(f"all_reduce.{self.algorithm}").estimate(length, payload, **self.parameters)
            found.append(gemv_estimate(inputs.tile, outputs.tile, summed, site))
        return found

    def _extent(self, axis: str) -> int:
        return self.width if axis == "x" else self.height

    def _products(self) -> list[tuple[str, Block, Block]]:
        """The axis that each product sums along, and the blocks of its input and of its output."""
        axes = ("x", "y") if self.axis == "x" else ("y", "x")
        return [
            (axes[n % 2], Block(k, self._extent(axes[n % 2])), Block(m, self._extent(axes[1 - n % 2])))
            for n, (k, m) in enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        ]

    def _payload(self, elements: int, target: Target, op: Operator = "add") -> Payload:
        return Payload(elements, DTYPE_POLICY[self.dtype][1], op, target)

    def _body(self, builder: MeshBuilder, target: Target) -> None:
        operand, other = DTYPE_POLICY[self.dtype]
        i, j = Name("i"), Name("j")
        x: MeshBuffer | None = None
        for number, (axis, inputs, outputs) in enumerate(self._products()):
            at, across = Name(axis), Name("y" if axis == "x" else "x")
            if x is None:
                x = builder.buffer("x_tile", operand, 1, inputs.tile)
                builder.place(x, [("i", 0, 1), ("j", 0, inputs.tile)], "x", [i, inputs.index(at, j)])
            w = builder.buffer(f"w{number}_tile", operand, inputs.tile, outputs.tile)
            ranges = [("i", 0, inputs.tile), ("j", 0, outputs.tile)]
            builder.place(w, ranges, f"w{number}", [inputs.index(at, i), outputs.index(across, j)])
            y = builder.buffer(f"y{number}_tile", other, 1, outputs.tile)

            def all_reduce(data: MeshBuffer | View, axis: str = axis, elements: int = outputs.tile) -> None:
                chosen = collective(f"all_reduce.{self.algorithm}")
                priced = {"payload": self._payload(elements, target)} if chosen.priced else {}
                chosen.emit(builder, whole(builder, axis), data, "add", **priced, **self.parameters)

            gemv(builder, x, w, y, all_reduce)
            if operand != other and number < len(self.sizes) - 2:
                x = builder.buffer(f"x{number + 1}_tile", operand, 1, outputs.tile)
                builder.emit("copy", x, y)
            else:
                x = y
        if not self.kept:
            _drain(builder, x, axis, outputs, other)


def _drain(builder: MeshBuilder, y: MeshBuffer, summed: str, outputs: Block, dtype: str) -> None:
    """The result from the first PE of each line, over the edge that is there."""
    along, edge = ("x", "N") if summed == "y" else ("y", "W")
    side = Rect(0, builder.width, 0, 1) if along == "x" else Rect(0, 1, 0, builder.height)
    stream = builder.stream("host.out.y", [StreamRoute(side, "RAMP", (edge,))])
    builder.port(
        "y",
        "out",
        side=edge,
        rect=side,
        color=stream,
        dtype=dtype,
        shape=(1, outputs.extent),
        count=as_expr(outputs.tile),
        indices=(as_expr(0), outputs.index(Name(along), Name("e"))),
    )
    with builder.when(Name(summed).eq(0)):
        builder.emit("send", y, color=stream)
