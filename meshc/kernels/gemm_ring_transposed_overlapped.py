"""``gemm.ring_transposed_overlapped``: A Bᵀ whose reduction to a moving root runs under the next step's product.

As :mod:`meshc.kernels.gemm_ring_transposed` (WaferLLM section 4.1), but the words of one
step's partial products pass through the row while the next step multiplies: the chains are
asynchronous, and a second partial product takes turns with the first. The last step's
reduction has nothing to hide behind.

Memory: two chunks of B, three partial products. Colors: 4 on y, 4 on x.
"""

from __future__ import annotations

from meshc.ir.core import Operation
from meshc.kernels.chain import chain_reduce, launch_chain_reduce, settle_chain_reduce
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemm_ring_transposed import TransposedPace, TransposedProduct, schedules
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering


def applies(op: Operation, width: int, height: int) -> str | None:
    """Why the kernel cannot run the operation on that grid, or None."""
    if width == 1 or height == 1:
        return "with one row or one column there is no reduction beside a next step"
    return None


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder, height = lowering.builder, lowering.height
    product = TransposedProduct(op, lowering)
    along_x, wanted = product.along_x, product.wanted
    partial, following, above = (product.partial(name) for name in ("partial", "partial_next", "partial_above"))
    with builder.loop("c", product.count) as which:
        product.start_chunk(which)
        handles = product.launch_shift()
        with builder.when(wanted):
            product.multiply(partial)
        product.settle_shift(handles)
        with builder.loop("s", height, start=1) as s:
            source = product.source(s - 1)
            with builder.when(wanted):
                launch_chain_reduce(builder, along_x, product.root(source), partial, above, "add")
            with builder.when(s.lt(height - 1)):
                product.launch_shift()
            with builder.when(wanted):
                product.multiply(following)
                settle_chain_reduce(builder, along_x, product.root(source), partial, above, "add")
                product.keep(which, source, partial)
            with builder.when(s.lt(height - 1)):
                product.settle_shift(handles)
            builder.emit("rotate", partial, following)
        source = product.source(height - 1)
        with builder.when(wanted):
            chain_reduce(builder, along_x, product.root(source), partial, "add")
            product.keep(which, source, partial)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction for a row of PEs that has tokens."""
    pace = TransposedPace(op, site)
    roots, line = pace.roots(), pace.line
    elements = pace.sizes.rows * pace.sizes.chunk

    def all_steps() -> None:
        pace.launch()
        pace.spend(pace.asked)
        pace.multiply()
        line.settle_shift()
        pace.spend(2 * site.issue)
        for number, root in enumerate(roots[:-1], start=1):
            more = number < site.height - 1
            pace.spend(site.round + 2 * pace.asked + 2 * site.branch)
            done = line.launch_reduce(root, elements, site.other)
            if more:
                pace.launch()
            pace.multiply()
            line.settle_reduce(root, done, elements, site.other)
            pace.keep(root)
            if more:
                line.settle_shift()
            pace.spend((1 + more) * site.issue)
        pace.spend(pace.asked)
        line.reduce(roots[-1], elements, site.other)
        pace.keep(roots[-1])

    pace.begin()
    return pace.estimate(pace.chunks(all_steps), partials=3)


KERNEL = Kernel(
    "gemm.ring_transposed_overlapped",
    "tile.gemm_transposed",
    "B rides the y ring, rows reduce to a moving root under the next step",
    emit,
    applies,
    rank=1,
    estimate=estimate,
    schedules=schedules,
)
