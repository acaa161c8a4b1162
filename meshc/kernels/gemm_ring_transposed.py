"""``gemm.ring_transposed``: A Bᵀ without a transpose (WaferLLM section 4.1), B riding the y ring.

C[m, n] = sum over k of A[m, k] B[n, k]; A lies with m over y and k over x, B with n over y
and k over x. In step s the PE at logical row r holds the B block of logical row r + s,
multiplies it with its A tile, and the row reduces the partial product to the column that
the block belongs to: a root that moves at every step and differs from row to row, served
by four static chain colors. No alignment is needed, because k does not move.

The block may be cut into chunks that go round one after another, so that the second
buffer and the partial product stay small. Critical path: H steps of a tile product and a
chain of W PEs. Memory: two chunks of B, one partial product. Colors: 4 on y, 4 on x.
"""

from __future__ import annotations

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import chain_reduce, whole_axis
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import logical_position, physical, ring
from meshc.kernels.table import chunking, place_table
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, maximum, minimum


class TransposedProduct:
    """The sizes and buffers of one A Bᵀ while its code is appended."""

    def __init__(self, op: Operation, lowering: Lowering):
        self.lowering, self.builder = lowering, lowering.builder
        builder = self.builder
        x, result = op.operands[0], op.result
        self.rows, inner = shard_of(x).tile
        layout = shard_of(result).x
        self.block, self.columns = ceil_div(layout.extent, lowering.height), layout.tile
        start, stop = op.attributes["start"], op.attributes["stop"]
        self.table = place_table(lowering, op.operands[1], shard_of(x).x, op.attributes["order"], start, stop)
        self.tile = lowering.temporary("x_tile", lowering.operand, self.rows, inner)
        builder.emit("copy", self.tile, lowering.buffer_of(x))
        self.output = lowering.result_buffer(result, "logits")
        if len(op.operands) > 2:
            bias = lowering.vector(op.operands[2], layout, "bias", start, stop)
            builder.emit("copy", self.output, bias.view((self.rows, 0), (self.columns, 1)))
        else:
            builder.emit("fill", self.output, value=0.0)
        self.count, self.chunk = chunking(lowering, self.block, inner)
        self.b_tile = lowering.temporary("b_tile", lowering.operand, self.chunk, inner)
        self.b_next = lowering.temporary("b_next", lowering.operand, self.chunk, inner)
        self.along_x = whole_axis(builder, "x")
        # Rows without a token whose result leaves the wafer have nothing to do.
        self.wanted = lowering.holds_tokens() if lowering.logits == "all" else last_token_row(lowering)

    def partial(self, name: str) -> MeshBuffer:
        """A buffer for the product with one chunk of B."""
        return self.lowering.temporary(name, self.lowering.other, self.rows, self.chunk)

    def start_chunk(self, which: Expr) -> None:
        """Take a chunk of this row's block of B from the table."""
        size = self.b_tile.elements
        self.builder.emit("copy", self.b_tile, self.table.view(*self.b_tile.shape, offset=which * size))

    def launch_shift(self) -> list[str]:
        """Begin to move B on; gives the handles to settle."""
        return shift(self.builder, [(ring(self.builder, "y"), self.b_tile, self.b_next)])

    def settle_shift(self, handles: list[str]) -> None:
        """Go over to the chunk that came."""
        settle(self.builder, handles)
        self.builder.emit("rotate", self.b_tile, self.b_next)

    def source(self, step: ExprLike) -> Expr:
        """The row of PEs whose block of B is here in a step."""
        at, height = logical_position(self.builder, "y"), self.lowering.height
        return physical((at + step) % height, height)

    def root(self, source: Expr) -> Expr:
        """The column where the product with the block of row ``source`` belongs."""
        return source % self.lowering.width if self.lowering.height > self.lowering.width else source

    def multiply(self, partial: MeshBuffer) -> None:
        """The product with the chunk that is here."""
        self.builder.emit("fill", partial, value=0.0)
        self.builder.emit("gemm_t", partial, self.tile, self.b_tile, vector="n" if self.chunk >= self.rows else "m")

    def keep(self, which: Expr, source: Expr, partial: MeshBuffer) -> None:
        """At the root: add the reduced product to the result."""
        tall = self.lowering.height > self.lowering.width
        with self.builder.when(Name("x").eq(self.root(source))):
            slot = source // self.lowering.width * self.block if tall else as_expr(0)
            # The last chunk may be filled up; only its real rows are results.
            whole = self.count * self.chunk == self.block
            real = self.chunk if whole else minimum(self.chunk, self.block - which * self.chunk)
            target = self.output.at(slot + which * self.chunk, (self.rows, self.columns), (real, 1))
            self.builder.emit("add", target, target, partial.at(0, (self.rows, self.chunk), (real, 1)))

    def step(self, which: Expr, source: Expr, partial: MeshBuffer) -> None:
        """Multiply with the chunk of row ``source`` and reduce to the column that it belongs to."""
        with self.builder.when(self.wanted):
            self.multiply(partial)
            chain_reduce(self.builder, self.along_x, self.root(source), partial, "add")
            self.keep(which, source, partial)


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder, height = lowering.builder, lowering.height
    product = TransposedProduct(op, lowering)
    partial = product.partial("partial")
    with builder.loop("c", product.count) as which:
        product.start_chunk(which)
        if height == 1:
            product.step(which, as_expr(0), partial)
        else:
            with builder.loop("s", height) as s:
                handles = product.launch_shift()
                product.step(which, product.source(s), partial)
                product.settle_shift(handles)


def last_token_row(lowering: Lowering) -> Expr:
    """Whether this row holds the last prompt token of some sequence."""
    found: Expr = as_expr(0)
    for sequence in range(lowering.batch):
        token = lowering.length + (sequence * lowering.sequence - 1)
        found = maximum(found, Name("y").eq(token // lowering.tokens.tile))
    return found


KERNEL = Kernel(
    "gemm.ring_transposed", "tile.gemm_transposed", "B rides the y ring, rows reduce to a moving root", emit
)
