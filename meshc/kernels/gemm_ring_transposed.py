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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import chain_reduce, whole_axis
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_pace import LinePace
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import logical_position, physical, ring
from meshc.kernels.schedule import Schedule, schedule_of, vectors
from meshc.kernels.table import chunking, place_table
from meshrt.program.cost import element_cycles, gemm_cycles
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, maximum, minimum


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tiles of one A Bᵀ: A[rows, inner], C[rows, columns], and B[block, inner] in ``count`` chunks of ``chunk`` rows.

    ``vector`` is the dimension of the tile product's vector operations.
    """

    rows: int
    inner: int
    columns: int
    block: int
    count: int
    chunk: int
    vector: str

    @classmethod
    def of(cls, op: Operation, height: int, chunk_elements: int) -> Sizes:
        """Those of an operation on so many rows of PEs."""
        rows, inner = shard_of(op.operands[0]).tile
        layout = shard_of(op.result).x
        block = ceil_div(layout.extent, height)
        count, chunk = chunking(chunk_elements, block, inner)
        vector = schedule_of(op).get("vector", "n" if chunk >= rows else "m")
        return cls(rows, inner, layout.tile, block, count, chunk, vector)


def schedules(op: Operation, width: int, height: int) -> Sequence[Schedule]:
    """The loop orders of the tile product: vectors along the rows of B first where there are more of them."""
    return vectors("n" if ceil_div(shard_of(op.result).x.extent, height) >= shard_of(op.operands[0]).y.tile else "m")


class TransposedProduct:
    """The sizes and buffers of one A Bᵀ while its code is appended."""

    def __init__(self, op: Operation, lowering: Lowering):
        self.lowering, self.builder = lowering, lowering.builder
        builder = self.builder
        x, result = op.operands[0], op.result
        sizes = Sizes.of(op, lowering.height, lowering.chunk_elements)
        self.rows, inner, self.columns, self.block = sizes.rows, sizes.inner, sizes.columns, sizes.block
        self.count, self.chunk, self.vector = sizes.count, sizes.chunk, sizes.vector
        layout = shard_of(result).x
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
        self.builder.emit("gemm_t", partial, self.tile, self.b_tile, vector=self.vector)

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


#: So many steps make up for what the first of them wait.
MANY_STEPS = 32


@dataclass(slots=True)
class TransposedPace:
    """The clocks of a row of PEs that has tokens, beside rows that keep step with it."""

    op: Operation
    site: Site
    line: LinePace = field(init=False)
    sizes: Sizes = field(init=False)

    def __post_init__(self) -> None:
        self.line = LinePace(self.site, self.site.width)
        self.sizes = Sizes.of(self.op, self.site.height, self.site.chunk_elements)

    @property
    def asked(self) -> int:
        """Whether the row has tokens, where some have none."""
        tokens = shard_of(self.op.operands[0]).y
        return 0 if ceil_div(tokens.extent, tokens.tile) == self.site.height else self.site.branch

    def roots(self) -> list[int]:
        """The columns where the products of the steps belong, as one row meets them."""
        width, height = self.site.width, self.site.height
        ring = [min(max(2 * o - 1, 0), 2 * (height - o)) for o in range(height)]
        return [source % width if height > width else source for source in ring]

    def spend(self, cycles: int) -> None:
        """Everyone does something by itself."""
        self.line.now = self.line.now + cycles

    def begin(self) -> None:
        """What comes before the chunks."""
        s, site = self.sizes, self.site
        self.spend(site.move(s.rows * s.inner) + site.move(s.rows * s.columns, site.other) + site.issue)

    def launch(self) -> None:
        """B moves on."""
        elements = self.sizes.chunk * self.sizes.inner
        self.line.launch_shift(self.site.words(elements), min(self.site.height - 1, 2))

    def multiply(self) -> None:
        """The product with a chunk."""
        s, site = self.sizes, self.site
        product = gemm_cycles(site.target, 1, s.rows, s.inner, s.chunk, site.other, site.operand, s.vector)
        self.spend(site.move(s.rows * s.chunk, site.other) + product)

    def keep(self, root: int) -> None:
        """The root adds the sum to the result."""
        self.spend(self.site.branch)
        self.line.now[root] += element_cycles(
            self.site.target, "add", self.sizes.rows * self.sizes.chunk, self.site.other
        )

    def chunks(self, step_through: Callable[[], None]) -> int:
        """The cycles of all chunks, each of which takes ``step_through``.

        Those behind the second are like it; where a chunk takes many steps, those behind the first.
        """
        ends = [self.line.end]
        for _ in range(min(self.sizes.count, 2 if self.site.height < MANY_STEPS else 1)):
            self.spend(self.site.round + self.site.move(self.sizes.chunk * self.sizes.inner))
            step_through()
            ends.append(self.line.end)
        return ends[-1] + (self.sizes.count - len(ends) + 1) * (ends[-1] - ends[-2])

    def estimate(self, cycles: int, partials: int) -> Estimate:
        """The prediction, with so many partial products."""
        s, site = self.sizes, self.site
        operands = (s.count + (2 if site.height > 1 else 1)) * s.chunk * s.inner + s.rows * s.inner
        if len(self.op.operands) > 2:
            operands += s.columns
        steps = s.count * site.height
        colors = min(site.width - 1, 2) * 2 + (min(site.height, 3) if site.height > 1 else 0)
        return Estimate(
            cycles,
            site.bytes(operands, partials * s.rows * s.chunk),
            colors,
            steps * max(site.width - 1, min(site.height - 1, 2)),
            steps * max(site.width - 1, min(site.height - 1, 1)),
        )


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction for a row of PEs that has tokens."""
    pace = TransposedPace(op, site)
    roots = pace.roots()
    elements = pace.sizes.rows * pace.sizes.chunk

    def one(root: int) -> None:
        pace.spend(pace.asked)
        pace.multiply()
        pace.line.reduce(root, elements, site.other)
        pace.keep(root)

    def all_steps() -> None:
        if site.height == 1:
            one(0)
            return
        pace.spend(site.issue)
        for root in roots:
            pace.spend(site.round)
            pace.launch()
            one(root)
            pace.line.settle_shift()
            pace.spend(site.issue)

    pace.begin()
    return pace.estimate(pace.chunks(all_steps), partials=1)


KERNEL = Kernel(
    "gemm.ring_transposed",
    "tile.gemm_transposed",
    "B rides the y ring, rows reduce to a moving root",
    emit,
    estimate=estimate,
    schedules=schedules,
)
