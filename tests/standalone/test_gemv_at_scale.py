"""GEMV on hundreds of PEs to a side of a WSE-2, time only: what the chosen all-reduce brings."""

from __future__ import annotations

import pytest

from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import choose
from meshc.standalone import GemvChain
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

WSE2 = load_target("wse2")
#: Groups of the two-level tree of WaferLLM's decode kernels, by the side of the grid.
PAPER_GROUPS = {360: 18, 540: 20, 720: 24}


def cycles(side: int, size: int, algorithm: str, parameters) -> int:
    """Of x[1, size] W[size, size]; every column takes as long as the one that is run."""
    chain = GemvChain(
        1, side, (size, -(-size // side)), algorithm=algorithm, parameters=parameters, dtype="f16", kept=True
    )
    ran = int(run_program(chain.program(WSE2), WSE2, options=RunOptions(timing_only=True)).clocks.max())
    (predicted,) = chain.estimates(WSE2)
    assert abs(predicted.cycles - ran) <= 0.02 * ran
    return ran


def compare(side: int, size: int) -> tuple[int, int, int]:
    """Cycles with the chosen all-reduce, with two levels in the paper's groups, and with a chain to one end."""
    payload = Payload(-(-size // side), "f16", "add", WSE2)
    best = choose("all_reduce", side, payload)[0]
    groups = (side // PAPER_GROUPS[side], PAPER_GROUPS[side])
    return (
        cycles(side, size, best.collective.algorithm, best.parameters),
        cycles(side, size, "k_tree", {"groups": groups}),
        cycles(side, size, "chain", {}),
    )


def test_at_720_it_is_four_times_faster_than_the_one_sided_chain():
    chosen, two_levels, chain = compare(720, 16384)
    assert chain >= 4 * chosen
    assert chosen <= two_levels


@pytest.mark.slow
@pytest.mark.parametrize("side", PAPER_GROUPS)
@pytest.mark.parametrize("size", [2048, 4096, 8192, 16384])
def test_it_is_never_slower_than_two_levels_in_the_groups_of_the_paper(side, size):
    chosen, two_levels, chain = compare(side, size)
    assert chosen <= two_levels
    assert chain >= (4 if side == 720 else 2.5) * chosen
