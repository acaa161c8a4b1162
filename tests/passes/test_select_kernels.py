"""The choice of kernels: the fewest predicted cycles with which the whole program fits, and what was pinned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from meshc.dialects.levels import parse_module
from meshc.ir.clone import clone
from meshc.ir.core import Module
from meshc.ir.printer import print_module
from meshc.options import CompileOptions
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.candidates import Choice
from meshc.passes.choice_table import choice_table
from meshc.passes.fit_choices import lower
from meshc.passes.place import Place
from meshc.passes.select_kernels import SelectKernels
from meshc.passes.tile import Tile
from meshrt.diagnostics import MeshError
from meshrt.target import Target, load_target
from tests.kernels.harness import transformer

TINY = load_target("tiny")


def tiled(width: int = 4, height: int = 4) -> Module:
    """The tile level of one layer of a transformer."""
    graph, result = transformer()
    module = graph.module(result)
    Tile(width=width, height=height, dtype="f32").run(module, PassContext())
    return module


def chosen(target: Target = TINY, module: Module | None = None, strategy: str = "auto") -> tuple[Module, list]:
    module = module or tiled()
    context = PassContext(target=target, options=CompileOptions(strategy=strategy))
    SelectKernels().run(module, context)
    return module, [choice for choice in context.extra["select-kernels"] if len(choice.candidates) > 1]


def cycles(choices: list[Choice]) -> int:
    return sum(choice.cycles for choice in choices)


def peak(module: Module, target: Target = TINY) -> int:
    trial = lower(module.body.ops[0], PassContext(target=target))
    assert trial.error is None
    return trial.peak


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (5, 2)])
def test_with_room_for_everything_the_fewest_cycles_win(grid):
    _, choices = chosen(module=tiled(*grid))
    assert choices
    for choice in choices:
        known = [c.estimate.cycles for c in choice.possible if c.estimate]
        if known:
            assert choice.cycles == choice.rounds * min(known)
            assert not choice.unfit


def test_where_memory_is_short_what_is_faster_and_was_not_taken_does_not_fit():
    roomy, free = chosen()
    least = min(peak(chosen(strategy=pin)[0]) for pin in ("gemm.ring", "gemm.summa{overlap=false}", "gemm.all_gather"))
    assert least < peak(roomy)
    tight = dataclasses.replace(TINY, sram_bytes=least)
    module, choices = chosen(tight)
    assert peak(module, tight) <= least
    assert cycles(choices) > cycles(free)
    for choice in choices:
        for candidate in choice.possible:
            if candidate.estimate and candidate.cost < choice.chosen.cost:
                assert "does not fit" in choice.unfit[candidate.order]
    table = choice_table(choices)
    assert "the fewest cycles that fit" in table and "bytes too many" in table


def test_where_nothing_fits_the_diagnostic_is_that_of_the_memory():
    with pytest.raises(MeshError, match="would need") as caught:
        chosen(dataclasses.replace(TINY, sram_bytes=6000))
    assert caught.value.diagnostic.code == "M0401"


def test_where_colors_are_short_what_takes_fewer_is_chosen():
    """Routers that turn slowly make multicasts slow, but they take two colors only."""
    slow = dataclasses.replace(TINY, route_write_cycles=500)
    _, free = chosen(slow)
    assert "gemm.summa" not in {choice.chosen.kernel.name for choice in free}
    few = dataclasses.replace(slow, colors=colors(chosen(strategy="gemm.summa")[0]) + TINY.host_colors)
    module, choices = chosen(few)
    assert lower(module.body.ops[0], PassContext(target=few)).error is None
    assert {c.chosen.kernel.name for c in choices if c.op.name == "tile.gemm"} <= {"gemm.summa", "gemm.all_gather"}
    assert "colors for streams between PEs, and the target has" in choice_table(choices)
    with pytest.raises(MeshError, match="colors") as caught:
        lowered = lower(chosen(few, strategy="gemm.cannon")[0].body.ops[0], PassContext(target=few))
        raise lowered.error or AssertionError
    assert caught.value.diagnostic.code == "M0406"


def colors(module: Module) -> int:
    """How many colors the streams between the PEs of the program take."""
    copy, context = clone(module), PassContext(target=TINY)
    Place().run(copy, context)
    AllocateColors().run(copy, context)
    streams = [op for op in copy.walk() if op.name == "mesh.stream"]
    return 1 + max(s.attributes["color"] for s in streams if s.attributes["color"] < TINY.program_colors)


def test_the_strategy_pins_kernels_and_the_ir_pins_before_it():
    module = tiled()
    first = next(op for op in module.walk() if op.name == "tile.gemm")
    first.attributes["algorithm"] = "gemm.cannon"
    _, choices = chosen(module=module, strategy="waferllm,gemm.summa{vector=m}")
    gemms = [choice.chosen for choice in choices if choice.op.name == "tile.gemm"]
    assert gemms[0].kernel.name == "gemm.cannon"
    assert {c.kernel.name for c in gemms[1:]} == {"gemm.summa"}
    assert {c.schedule["vector"] for c in gemms[1:]} == {"m"}
    assert "gemm.cannon is pinned" in choice_table(choices)


def test_the_same_choice_again_and_after_a_round_through_text():
    module, choices = chosen()
    again, other = chosen()
    assert print_module(module) == print_module(again)
    assert choice_table(choices) == choice_table(other)
    parsed = parse_module(print_module(module))
    assert print_module(chosen(module=parsed)[0]) == print_module(module)


def test_a_strategy_that_is_unknown_says_what_it_may_be():
    with pytest.raises(MeshError, match="waferlm") as caught:
        chosen(strategy="waferlm")
    assert caught.value.diagnostic.helps == ("did you mean 'waferllm'?",)


def test_a_pinned_kernel_beyond_the_sram_is_named():
    with pytest.raises(MeshError) as caught:
        chosen(dataclasses.replace(TINY, sram_bytes=16000), module=tiled(2, 3), strategy="gemm.all_gather")
    golden = Path(__file__).parent / "select_kernels" / "pinned_beyond_the_sram.err"
    assert str(caught.value) + "\n" == golden.read_text(encoding="utf-8")
