"""Relayouts put every element where the new layout wants it, zero elsewhere, in bounded memory, on any grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.dialects.layout import Block, Cyclic, Heads, Layout, Replicated
from meshc.dialects.levels import parse_module
from meshc.dialects.shard import ShardType
from meshc.emit.program import emit_program
from meshc.ir.equality import equal
from meshc.ir.printer import print_module
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.registry import kernels
from meshc.kernels.relayout_limits import exchange_bytes
from meshc.kernels.relayout_plan import elements, exchanges
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.pipeline import run_pipeline
from meshc.passes.place import Place
from meshc.passes.plan_memory import PlanMemory
from meshc.passes.select_kernels import SelectKernels
from meshrt.program.check import check_program
from meshrt.program.printer import print_program
from meshrt.run import run_program
from meshrt.target import load_target
from tests.kernels.relayout_harness import KINDS, Case
from tests.meshrt.naive_interpreter import Interpreter

TINY = load_target("tiny")
FEW = settings(max_examples=25, deadline=None, derandomize=True)
GRIDS = [(1, 1), (1, 5), (6, 1), (2, 2), (3, 3), (4, 4), (5, 3), (2, 7), (3, 4)]


def integers(shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Numbers that every dtype holds exactly, none of them zero."""
    numbers = np.random.default_rng(0).integers(1, 2000, shape)
    return numbers.astype(KINDS[dtype] if dtype == "i32" else np.float32)


def assert_relayout(case: Case) -> None:
    """The program is legal, and every PE ends with the tile that it should hold."""
    program = case.program()
    check_program(program, TINY)
    tensor = integers(case.source.shape, case.source.dtype)
    tiles = Interpreter(program, {"tensor": tensor}, {}).run({})["tiles"]
    assert np.array_equal(tiles, case.wanted(tensor))


# ---- generated: any layouts, rectangles, grids, dtypes -------------------------------------


@st.composite
def layouts(draw, extent: int, parts: int) -> Layout:
    kind = draw(st.sampled_from(["block", "cyclic", "heads", "replicated"]))
    if kind == "block":
        return Block(extent, parts)
    if kind == "replicated":
        return Replicated(extent, parts)
    if kind == "cyclic":
        return Cyclic(extent, parts, draw(st.integers(1, 9)))
    heads = draw(st.sampled_from([n for n in range(1, extent + 1) if extent % n == 0]))
    kv = draw(st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
    rotary = 2 * draw(st.integers(0, extent // heads // 2))
    return Heads(parts, kv, heads // kv, extent // heads, rotary, draw(st.booleans()))


@st.composite
def shards(draw, shape: tuple[int, int], grid: tuple[int, int], transposed: bool, dtype: str, whole: bool = False):
    """A value of these tokens and features on a part of the grid (on all of it where ``whole``)."""
    spans = []
    for length in grid:
        start = 0 if whole else draw(st.integers(0, length - 1))
        spans.append((start, length if whole else draw(st.integers(1, length - start))))
    (column, columns), (row, rows) = spans
    along_y, along_x = reversed(shape) if transposed else shape
    return ShardType(
        dtype, draw(layouts(along_y, rows)), draw(layouts(along_x, columns)), transposed, origin=(column, row)
    )


@st.composite
def cases(draw, kernel: str) -> Case:
    grid = draw(st.sampled_from([g for g in GRIDS if g[0] == g[1]] if kernel == "relayout.diagonal" else GRIDS))
    shape = draw(st.integers(1, 13)), draw(st.sampled_from([1, 5, 8, 12, 16, 18, 24]))
    transposed, dtype = draw(st.booleans()), draw(st.sampled_from(sorted(KINDS)))
    source = draw(shards(shape, grid, transposed, dtype, whole=kernel == "relayout.diagonal"))
    target = draw(shards(shape, grid, transposed != (kernel != "relayout.exchange"), dtype))
    return Case(source, target, grid[0], grid[1], kernel)


@FEW
@given(cases("relayout.exchange"))
def test_any_exchange(case):
    assert_relayout(case)


@FEW
@given(cases("relayout.diagonal"))
def test_any_transposition_over_the_diagonal(case):
    assert_relayout(case)


@FEW
@given(cases("relayout.turn"))
def test_any_transposition_by_pivots(case):
    assert_relayout(case)


# ---- every pair of layouts --------------------------------------------------------------


FEATURES = {
    "block": Block(24, 4),
    "cyclic": Cyclic(24, 4, 7),
    "heads": Heads(4, 2, 2, 6, 4),
    "interleaved": Heads(4, 3, 1, 8, 4, interleaved=True),
    "replicated": Replicated(24, 4),
    "gathered": Block(24, 1),
}


@pytest.mark.parametrize("new", FEATURES)
@pytest.mark.parametrize("old", FEATURES)
def test_every_pair_of_feature_layouts(old, new):
    source, target = (ShardType("f32", Block(7, 3), FEATURES[name]) for name in (old, new))
    assert_relayout(Case(source, target, 4, 3))


@pytest.mark.parametrize("new", ["block", "heads", "replicated"])
@pytest.mark.parametrize("old", ["block", "heads", "replicated"])
def test_every_pair_of_feature_layouts_the_other_way_round(old, new):
    source = ShardType("f32", Block(7, 4), FEATURES[old])
    target = ShardType("f32", FEATURES[new], Block(7, 4), transposed=True)
    assert_relayout(Case(source, target, 4, 4, "relayout.diagonal"))
    assert_relayout(Case(source, target, 4, 4, "relayout.turn"))


# ---- on the engine: cycles, contention, memory ---------------------------------------------


def report(case: Case) -> dict:
    """The engine's report of the relayout alone, once it gave the right tiles."""
    tensor = integers(case.source.shape, case.source.dtype)
    tiles = run_program(case.program(), TINY, {"tensor": tensor}).outputs["tiles"]
    assert np.array_equal(tiles, case.wanted(tensor))
    return run_program(case.program(given_out=False), TINY, {"tensor": tensor}).report


def held_bytes(case: Case) -> int:
    """SRAM from the first buffer's begin to the last one's end."""
    buffers = case.program(given_out=False).regions[0].buffers
    return max(b.address + b.bytes for b in buffers) - min(b.address for b in buffers)


def shard(y: Layout, x: Layout, **options) -> ShardType:
    return ShardType("f32", y, x, **options)


def moves(parts: int) -> dict[str, tuple[ShardType, ShardType]]:
    """Relayouts on a square grid with tiles of 4 x 6 elements, or lines of them."""
    tokens, features = Block(4 * parts, parts), Block(6 * parts, parts)
    blocks, column, row = shard(tokens, features), Block(6 * parts, 1), Block(4 * parts, 1)
    return {
        "permute": (blocks, shard(tokens, Cyclic(6 * parts, parts, 2 * parts))),
        "by heads": (blocks, shard(tokens, Heads(parts, 2, 1, 3 * parts, 0))),
        "all-gather": (blocks, shard(tokens, Replicated(6 * parts, parts))),
        "gather": (blocks, shard(tokens, column, origin=(parts // 2, 0))),
        "scatter": (shard(tokens, column), blocks),
        "broadcast": (shard(tokens, column), shard(tokens, Replicated(6 * parts, parts))),
        "from a row to a column": (shard(row, features), shard(tokens, column)),
        "from the west to the east": (
            shard(tokens, Block(3 * parts, parts // 2)),
            shard(tokens, Block(3 * parts, parts // 2), origin=(parts // 2, 0)),
        ),
    }


@pytest.mark.parametrize("name", moves(2))
def test_no_word_waits_for_another_ones_link_in_an_exchange(name):
    routing = report(Case(*moves(6)[name], 6, 6))["routing"]
    assert routing["contended_words"] == 0
    # A ring and, for a broadcast, one stream for each axis.
    assert routing["colors_peak"] <= (1 if name == "broadcast" else 4 if name != "from a row to a column" else 8)


@pytest.mark.parametrize("name", moves(2))
def test_a_pe_holds_a_few_tiles_whatever_the_tensor(name):
    """Its memory is what the check against the SRAM counts: at most five tiles of the ends, and a list of places."""
    for parts in (4, 12):
        source, target = moves(parts)[name]
        counted = exchange_bytes(exchanges(source, target))
        assert counted <= 5 * 4 * max(elements(source), elements(target)) + 4 * target.x.tile
        # The tile that the test places beforehand is never given up.
        assert held_bytes(Case(source, target, parts, parts)) <= counted + 4 * elements(source)


@pytest.mark.parametrize("kernel", ["relayout.diagonal", "relayout.turn"])
def test_a_transposition_takes_time_in_proportion_to_the_side(kernel):
    """P steps of n words on x and as many on y, which share a RAMP; no link carries more than P n words."""
    found = {}
    for parts in (4, 8):
        source = shard(Block(8 * parts, parts), Block(8 * parts, parts))
        target = shard(Block(8 * parts, parts), Block(8 * parts, parts), transposed=True)
        case = Case(source, target, parts, parts, kernel)
        found[parts] = report(case)
        assert found[parts]["routing"]["max_link_words"] <= 2 * 64 * parts
        assert held_bytes(case) <= 6 * 4 * 64
    assert found[8]["cycles"] <= 2.5 * found[4]["cycles"]
    assert found[8]["routing"]["colors_peak"] <= 8


def predicted(case: Case) -> Estimate:
    """The kernel's own prediction."""
    estimate = kernels()[case.kernel].estimate
    assert estimate is not None
    dtype = case.source.dtype
    return estimate(case.operation(), Site(case.width, case.height, dtype, dtype, TINY))


@pytest.mark.parametrize("name", moves(2))
def test_cycles_of_an_exchange_are_predicted(name):
    case = Case(*moves(7)[name], 7, 7)
    assert report(case)["cycles"] == pytest.approx(predicted(case).cycles, rel=0.1)


@pytest.mark.parametrize("kernel", ["relayout.diagonal", "relayout.turn"])
def test_cycles_of_a_transposition_are_predicted(kernel):
    source, target = shard(Block(40, 5), Block(30, 5)), shard(Block(30, 5), Block(40, 5), transposed=True)
    case = Case(source, target, 5, 5, kernel)
    assert report(case)["cycles"] == pytest.approx(predicted(case).cycles, rel=0.1)


def test_words_travel_in_the_narrower_dtype():
    case = Case(shard(Block(6, 3), Block(12, 3)), replace(shard(Block(6, 3), Cyclic(12, 3, 6)), dtype="f16"), 3, 3)
    program = case.program()
    tensor = integers((6, 12), "f32")
    assert np.array_equal(Interpreter(program, {"tensor": tensor}, {}).run({})["tiles"], case.wanted(tensor))
    (region,) = program.regions
    assert {b.name: b.dtype for b in region.buffers}["tile"] == "f16"
    back = Case(case.target, case.source, 3, 3).program()
    assert np.array_equal(
        Interpreter(back, {"tensor": tensor}, {}).run({})["tiles"], Case(case.target, case.source, 3, 3).wanted(tensor)
    )


# ---- in a model ------------------------------------------------------------------------------

WAY = """module tile

func() {name = "forward", width = W, height = H, dtype = "f32", batch = 1, sequence = 7} (%ids: tensor<1x7xi64>) {
  %t = tile.weight() {name = "positions"} : tensor<7x10xf32>
  %a = tile.position_embedding(%t) {sequence = 7} : shard<"f32", block<7, H>, block<10, W>>
  %b = tile.relayout(%a) : shard<"f32", block<10, H>, block<7, W>, transposed = true>
  %c = tile.relayout(%b) : shard<"f32", replicated<10, 1>, cyclic<7, 2, 5>, transposed = true, origin = [1, 1]>
  %d = tile.relayout(%c) : shard<"f32", cyclic<7, H, 4>, heads<W, 5, 1, 2, 2>>
  %e = tile.relayout(%d) : shard<"f32", block<7, H>, block<10, W>>
  %f = tile.binary(%e, %a) {function = "add"} : shard<"f32", block<7, H>, block<10, W>>
  tile.output(%f) {names = ["logits"], shapes = [[1, 7, 10]]}
  return()
}
"""


@pytest.mark.parametrize(("width", "height"), [(3, 3), (4, 2), (3, 5)])
def test_from_layout_to_layout_and_home_again(width, height):
    module = parse_module(WAY.replace("W", str(width)).replace("H", str(height)))
    assert equal(parse_module(print_module(module)), module)
    run_pipeline(module, [SelectKernels(), Place(), AllocateColors(), PlanMemory(sram_bytes=1 << 20)])
    program = emit_program(module)
    check_program(program, TINY)
    positions = np.random.default_rng(1).standard_normal((7, 10)).astype(np.float32)
    found = Interpreter(program, {"positions": positions}, {"length": 7}).run({})["logits"]
    assert np.array_equal(found[0], 2 * positions)


# ---- what must not grow -----------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["relayout.exchange", "relayout.diagonal", "relayout.turn"])
def test_neither_text_nor_code_grows_with_the_grid(kernel):
    lines, code = set(), set()
    for parts in (6, 30):
        heads, blocks = Heads(parts, 2, 1, 3 * parts, 0), Block(4 * parts, parts)
        target = shard(blocks, heads) if kernel == "relayout.exchange" else shard(heads, blocks, transposed=True)
        program = Case(shard(blocks, Block(6 * parts, parts)), target, parts, parts, kernel).program()
        text = print_program(program)
        lines.add(len(text.splitlines()) - text.count("\n  route "))
        code.add(text.count("\n      "))
        assert text.count("\n  route ") <= 60
    assert len(lines) == len(code) == 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_what_lies_between_two_stages_is_no_larger_than_the_ends(data):
    grid = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    shape = data.draw(st.integers(1, 99)), data.draw(st.integers(1, 99))
    source, target = (data.draw(shards(shape, grid, False, "f32")) for _ in range(2))
    way = exchanges(source, target)
    assert (way[0], way[-1]) == (source, target)
    assert max(map(elements, way)) == max(elements(source), elements(target))
