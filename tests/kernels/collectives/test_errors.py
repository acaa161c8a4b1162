"""Bad input to the collectives: a diagnostic with a code, its text beside the case.

``errors/NAME.err`` is what the case of that name prints.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshc.kernels.collectives.all_reduce import all_reduce, broadcast, reduce
from meshc.kernels.collectives.line import Line, whole
from meshc.kernels.collectives.registry import collective
from meshc.standalone import GemvChain
from meshc.standalone.region import assemble
from meshrt.diagnostics import MeshError
from meshrt.target import load_target

ERRORS = Path(__file__).parent / "errors"
WSE2 = load_target("wse2")


def on(width: int, height: int, append: Callable, elements: int = 8) -> Callable[[], object]:
    return lambda: assemble(
        width, height, WSE2, lambda builder: append(builder, builder.buffer("data", "f32", elements))
    )


CASES: dict[str, Callable[[], object]] = {
    "groups_that_leave_pes": on(12, 1, lambda b, d: all_reduce(b, whole(b, "x"), d, algorithm="k_tree", groups=(3, 3))),
    "groups_of_none": on(12, 1, lambda b, d: all_reduce(b, whole(b, "x"), d, algorithm="k_tree", groups=(12, 0))),
    "no_groups": on(12, 1, lambda b, d: all_reduce(b, whole(b, "x"), d, algorithm="k_tree", groups=())),
    "no_such_algorithm": on(4, 1, lambda b, d: all_reduce(b, whole(b, "x"), d, algorithm="chain_one_sided")),
    "no_such_operation": lambda: collective("all_gather.ring"),
    "a_line_longer_than_the_region": on(6, 2, lambda b, d: all_reduce(b, Line("x", 4, (0, 2), repeat=2), d)),
    "rows_that_are_not_there": on(6, 2, lambda b, d: all_reduce(b, Line("x", 6, (1, 3)), d)),
    "a_root_off_the_line": on(6, 1, lambda b, d: reduce(b, whole(b, "x"), d, root=6)),
    "a_broadcast_from_off_the_line": on(6, 1, lambda b, d: broadcast(b, whole(b, "x"), d, root=-1)),
    "a_payload_beyond_the_sram": on(4, 1, lambda b, d: all_reduce(b, whole(b, "x"), d), elements=12_000),
    "weights_beyond_the_sram": lambda: GemvChain(2, 2, (400, 400), algorithm="chain").program(WSE2),
    "more_colors_than_there_are": on(
        750, 1, lambda b, d: [all_reduce(b, whole(b, "x"), d, algorithm=name) for name in ("tree", "two_phase")]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name):
    with pytest.raises(MeshError) as caught:
        CASES[name]()
    assert caught.value.diagnostic.render() == (ERRORS / f"{name}.err").read_text(encoding="utf-8")


def test_every_golden_has_its_case():
    assert {path.stem for path in ERRORS.glob("*.err")} == set(CASES)
