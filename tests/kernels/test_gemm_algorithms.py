"""Every GEMM kernel is right on any grid, its estimate near what a run takes, and its complexity that of its paper."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch

from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.estimate import Site
from meshc.kernels.inner_walk import Cut
from meshc.kernels.registry import kernels
from meshc.kernels.schedule import schedule_text
from meshrt.target import load_target
from meshrt.target.model import Rates
from tests.kernels.gemm_program import Product
from tests.kernels.harness import Graph, assert_near, run_graph
from tests.kernels.transposed_program import Transposed
from tests.meshrt.naive_interpreter import Interpreter

GEMM = ["gemm.all_gather", "gemm.cannon", "gemm.ring", "gemm.summa"]
TRANSPOSED = ["gemm.ring_transposed", "gemm.ring_transposed_overlapped"]
#: One PE, lines, squares, primes, one side a multiple of the other, and neither.
GRIDS = [(1, 1), (1, 3), (5, 1), (2, 2), (4, 2), (2, 6), (5, 3), (3, 7)]
WSE2 = dataclasses.replace(load_target("wse2"), sram_bytes=1 << 23)


@pytest.mark.parametrize("kernel", GEMM)
@pytest.mark.parametrize("grid", GRIDS)
def test_two_linears_with_biases(kernel, grid):
    graph = Graph(batch=1, sequence=7)
    x = graph.embedding(11)
    a = graph.op("linear", [x, graph.tensor("a", 9, 11), graph.tensor("a_bias", 9)], 9, weight="nk")
    b = graph.op("linear", [x, graph.tensor("b", 11, 9), graph.tensor("b_bias", 9)], 9, weight="kn")
    found = run_graph(graph, graph.op("mul", [a, b], 9), *grid, pin=(kernel,))
    w = graph.weights
    e = w["table"][graph.ids]
    assert_near(found, (e @ w["a"].T + w["a_bias"]) * (e @ w["b"] + w["b_bias"]))


def generated(count: int, seed: int = 7) -> list[Product]:
    """Kernels, schedules, grids, sizes and arithmetic, drawn once."""
    draw = random.Random(seed)
    cases = []
    for number in range(count):
        kernel = (*GEMM, *TRANSPOSED)[number % 6]
        grid = draw.randint(1, 7), draw.randint(1, 7)
        if kernel.endswith("overlapped"):
            grid = max(grid[0], 2), max(grid[1], 2)
        size = draw.randint(1, 24), draw.randint(1, 24), draw.randint(1, 24)
        schedule: dict[str, object] = {"vector": draw.choice("mn")}
        if kernel == "gemm.summa" and grid != (1, 1):
            schedule["overlap"] = draw.choice([True, False])
        kind = Transposed if kernel in TRANSPOSED else Product
        cases.append(kind(kernel, grid, size, draw.choice(["f32", "mixed", "f16", "bf16"]), schedule))
    return cases


def case(product: Product) -> str:
    grid, size = ("x".join(map(str, extents)) for extents in (product.grid, product.size))
    return f"{product.kernel}-{grid}-{size}-{product.dtype}-{schedule_text(product.schedule)}"


@pytest.mark.parametrize("product", generated(48), ids=case)
def test_small_integers_are_exact_on_both_engines(product):
    draw = np.random.default_rng(sum(product.size))
    x, w = draw.integers(-2, 3, product.size[:2]), draw.integers(-2, 3, product.size[1:])
    for engine in ("batched", "reference"):
        assert (product.run(WSE2, x, w, engine) == x @ w).all(), engine


@pytest.mark.parametrize("product", generated(24, seed=8), ids=case)
def test_torch_agrees_in_f32(product):
    draw = torch.Generator().manual_seed(5)
    x, w = (torch.randn(shape, generator=draw) for shape in (product.size[:2], product.size[1:]))
    found = dataclasses.replace(product, dtype="f32").run(WSE2, x.numpy(), w.numpy())
    assert_near(found, x @ w)


@pytest.mark.parametrize("kernel", TRANSPOSED)
@pytest.mark.parametrize("grid", [(2, 2), (3, 3), (5, 2), (2, 5), (4, 6)])
@pytest.mark.parametrize("chunk", [8, 1024])
def test_transposed_products(kernel, grid, chunk):
    graph = Graph(batch=2, sequence=3, vocabulary=23)
    x = graph.embedding(7)
    bias = graph.tensor("bias", 23)
    head = graph.op("linear", [x, x.op.operands[0], bias], 23, weight="nk")
    found = run_graph(graph, head, *grid, pin=(kernel,), chunk_elements=chunk)
    w = graph.weights
    assert_near(found, w["table"][graph.ids] @ w["table"].T + w["bias"])


def test_the_overlapped_reduction_leaves_what_other_kernels_find_on_its_colors():
    """Two products one after the other, with the last token's logits only."""
    graph = Graph(batch=2, sequence=4, vocabulary=23)
    x = graph.embedding(7)
    head = graph.op("linear", [x, graph.tensor("head", 23, 7), graph.tensor("bias", 23)], 23, weight="nk")
    found = run_graph(graph, head, 3, 3, logits="last", pin=("gemm.ring_transposed_overlapped", "gemm.summa"))
    e = graph.weights["table"][graph.ids]
    assert_near(found, (e @ graph.weights["head"].T + graph.weights["bias"])[:, -1:])


@pytest.mark.parametrize("kernel", ["gemm.all_gather", "gemm.summa"])
def test_routers_are_left_as_they_were(kernel):
    """A chain of products in one program: the second finds the routes of the first."""
    graph = Graph(batch=1, sequence=5)
    x = graph.embedding(6)
    y = graph.linear(graph.linear(graph.linear(x, "a", 8), "b", 7), "c", 5)
    found = run_graph(graph, graph.op("mul", [y], 5, scalar=1.0), 3, 4, pin=(kernel,))
    w = graph.weights
    assert_near(found, w["table"][graph.ids] @ w["a"].T @ w["b"].T @ w["c"].T)


def test_a_cut_finds_its_tiles():
    for total, parts in [(12, 5), (12, 4), (7, 7), (3, 5), (143, 11)]:
        cut = Cut(total, parts)
        boundaries = [cut.boundary(j) for j in range(2 * parts + 1)]
        assert boundaries[parts] == total
        assert boundaries[parts:] == [b + total for b in boundaries[: parts + 1]]
        assert max(b - a for a, b in pairwise(boundaries)) == cut.size
        for q in range(total):
            assert cut.from_on(q) == min(j for j, b in enumerate(boundaries) if b >= q)
            assert cut.holding(q) == max(j for j, b in enumerate(boundaries) if b <= q)
            assert cut.within(q) == q - boundaries[cut.holding(q)]


# ---- what the kernels say of themselves ---------------------------------------------------


def estimate(product: Product, target):
    found = kernels()[product.kernel].estimate
    assert found is not None
    return found(product.operation(target), Site(*product.grid, *DTYPE_POLICY[product.dtype], target))


SIZES = [("f32", (64, 64, 64)), ("f16", (16, 512, 32)), ("mixed", (30, 20, 10))]


@pytest.mark.parametrize("kernel", GEMM)
@pytest.mark.parametrize("grid", [(1, 1), (4, 1), (7, 7), (6, 4), (7, 13), (16, 16)])
def test_predicted_cycles_lie_within_a_tenth_of_emulated_ones(kernel, grid):
    for dtype, size in SIZES:
        product = Product(kernel, grid, size, dtype)
        cycles = product.cycles(WSE2)
        assert abs(estimate(product, WSE2).cycles - cycles) <= 0.1 * cycles, (dtype, size, cycles)


@pytest.mark.parametrize("kernel", ["gemm.cannon", "gemm.ring"])
@pytest.mark.parametrize("parts", [3, 8])
def test_where_shifts_take_longer_than_products_on_a_square_grid(kernel, parts):
    """A machine whose products cost next to nothing; the reference shares the RAMP between both rings word by word."""
    rates = Rates(tuple((dtype, 64.0) for dtype in ("f32", "mixed", "f16", "bf16")))
    target = dataclasses.replace(
        WSE2, vector_setup_cycles=0, vector_issue_cycles=0, hop_cycles=3, fma_elements_per_cycle=rates
    )
    for size in [(64, 64, 64), (96, 160, 32)]:
        product = Product(kernel, (parts, parts), size)
        cycles = product.cycles(target, "reference")
        assert abs(estimate(product, target).cycles - cycles) <= 0.1 * cycles, (size, cycles)


@pytest.mark.parametrize("kernel", GEMM)
@pytest.mark.parametrize("grid", [(1, 1), (4, 1), (1, 2), (2, 2), (3, 5), (6, 6)])
@pytest.mark.parametrize("dtype", ["f32", "mixed", "f16"])
def test_declared_memory_and_colors_are_those_of_the_program(kernel, grid, dtype):
    product = Product(kernel, grid, (13, 19, 17), dtype)
    found = estimate(product, WSE2)
    (region,) = product.program(WSE2).regions
    assert found.bytes == sum(b.bytes for b in region.buffers if b.name not in ("position", "positions"))
    colors = defaultdict(set)
    for route in region.routes:
        for x in range(route.rect.x0, route.rect.x1, route.rect.xs):
            for y in range(route.rect.y0, route.rect.y1, route.rect.ys):
                colors[x, y].add(route.color)
    assert found.colors == max(map(len, colors.values()), default=0)


class Tracer(Interpreter):
    """Notes whose words cross each router, and how far each goes."""

    def run(self, inputs):
        self.sent, self.paths, self.farthest = [], defaultdict(set), 0
        return super().run(inputs)

    def _travel(self, pe, color, arrival, data):
        if arrival == "RAMP" and not any(message is data for message, _ in self.sent[-4:]):
            self.sent.append((data, pe))
        config = self.routes.get((pe, color))
        if config is not None and config[0] == arrival:
            source = next(origin for message, origin in reversed(self.sent) if message is data)
            self.paths[pe].add(source)
            if "RAMP" in config[1]:
                self.farthest = max(self.farthest, abs(pe[0] - source[0]) + abs(pe[1] - source[1]))
        super()._travel(pe, color, arrival, data)


def traced(kernel: str, parts: int) -> tuple[int, int]:
    """Paths in the router that most cross, and the hops of the longest message, on a square grid."""
    program = Product(kernel, (parts, parts), (parts, parts, parts)).program(WSE2)
    weights = {name: np.ones((parts, parts), np.float32) for name in "xw"}
    tracer = Tracer(program, weights, {"length": parts})
    tracer.run({})
    return max(map(len, tracer.paths.values())), tracer.farthest


@pytest.mark.parametrize("kernel", GEMM)
def test_measured_complexity_is_that_of_the_literature(kernel):
    scaling = kernels()[kernel].scaling
    assert scaling is not None
    measured = {parts: traced(kernel, parts) for parts in (5, 8, 9)}
    for parts, (paths, farthest) in measured.items():
        assert paths == (measured[5][0] if scaling.paths == "O(1)" else 2 * parts - 1)
        assert farthest == (2 if kernel == "gemm.ring" else parts - 1)
        assert str(farthest) == scaling.hops.replace("N - 1", str(parts - 1))
    assert (scaling.paths == "O(1)") == (kernel in ("gemm.ring", "gemm.cannon"))


@pytest.mark.parametrize("kernel", GEMM)
def test_the_critical_path_of_a_run_is_no_longer_than_the_one_declared(kernel):
    for grid in [(4, 4), (9, 9), (6, 4)]:
        product = Product(kernel, grid, (36, 36, 36))
        latency = product.time(WSE2).report["latency"]
        found = estimate(product, WSE2)
        assert latency["critical_stages"] <= found.stages
        assert latency["critical_hops"] <= found.hops
