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
from meshc.kernels.chain import chain_reduce, whole_axis
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import logical_position, physical, ring
from meshc.kernels.table import chunking, place_table
from meshrt.program.expr import Expr, Name, as_expr, maximum, minimum


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    width, height = builder.width, builder.height
    x, result = op.operands[0], op.result
    rows, inner = shard_of(x).tile
    layout = shard_of(result).x
    block, columns = ceil_div(layout.extent, height), layout.tile
    start, stop = op.attributes["start"], op.attributes["stop"]
    table = place_table(lowering, op.operands[1], shard_of(x).x, op.attributes["order"], start, stop)
    tile = lowering.temporary("x_tile", lowering.operand, rows, inner)
    builder.emit("copy", tile, lowering.buffer_of(x))
    output = lowering.result_buffer(result, "logits")
    if len(op.operands) > 2:
        bias = lowering.vector(op.operands[2], layout, "bias", start, stop)
        builder.emit("copy", output, bias.view((rows, 0), (columns, 1)))
    else:
        builder.emit("fill", output, value=0.0)
    count, chunk = chunking(lowering, block, inner)
    b_tile = lowering.temporary("b_tile", lowering.operand, chunk, inner)
    b_next = lowering.temporary("b_next", lowering.operand, chunk, inner)
    partial = lowering.temporary("partial", lowering.other, rows, chunk)
    along_x = whole_axis(builder, "x")
    # Rows without a token whose result leaves the wafer have nothing to do.
    wanted = lowering.holds_tokens() if lowering.logits == "all" else last_token_row(lowering)

    def step(which: Expr, source: Expr) -> None:
        """Multiply with the block of row ``source`` and reduce to that block's column."""
        with builder.when(wanted):
            builder.emit("fill", partial, value=0.0)
            builder.emit("gemm_t", partial, tile, b_tile, vector="n" if chunk >= rows else "m")
            root = source % width if height > width else as_expr(source)
            chain_reduce(builder, along_x, root, partial, "add")
            with builder.when(Name("x").eq(root)):
                slot = source // width * block if height > width else as_expr(0)
                # The last chunk may be filled up; only its real rows are results.
                real = chunk if count * chunk == block else minimum(chunk, block - which * chunk)
                target = output.at(slot + which * chunk, (rows, columns), (real, 1))
                builder.emit("add", target, target, partial.at(0, (rows, chunk), (real, 1)))

    with builder.loop("c", count) as which:
        builder.emit("copy", b_tile, table.view(chunk, inner, offset=which * (chunk * inner)))
        if height == 1:
            step(which, as_expr(0))
        else:
            at = logical_position(builder, "y")
            with builder.loop("s", height) as s:
                handles = shift(builder, [(ring(builder, "y"), b_tile, b_next)])
                step(which, physical((at + s) % height, height))
                settle(builder, handles)
                builder.emit("rotate", b_tile, b_next)


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
