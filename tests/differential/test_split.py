"""Generated programs of one region, and the same cut in two regions that touch: the same bits, and the same cycles.

On the reference engine cycles are equal always. Of the batched engine, whose words meet on links in the order of the
codes, they are where no word waits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.differential.agreement import run_both, same_bits
from tests.differential.case import Case
from tests.differential.programs import SCALAR, build, numbers, plans
from tests.meshrt.splitting import split


@st.composite
def cut(draw) -> tuple[Case, Case]:
    """A case of one region that is wide enough, and the same of two."""
    # A color of the host needs a port in each half: those at the edges, and none that a whole row shares.
    plan = replace(draw(plans.filter(lambda plan: plan.width > 1)), exit="edges", from_host=False)
    case = build((plan,), draw(numbers), draw(st.integers(*SCALAR[1])))
    halves = split(case.program, draw(st.integers(1, plan.width - 1)))
    given = {region.name: next(iter(case.scalars.values())) for region in halves.regions}
    return case, replace(case, program=halves, scalars=given)


@given(cut())
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_halves_of_generated_programs_do_the_same(cases):
    # The halves are given what the whole is given: their ports have its names.
    one, two = (run_both(c.program, c.target, cases[0].weights, cases[0].inputs, c.scalars) for c in cases)
    region = cases[0].program.regions[0]
    column = cases[1].program.regions[0].width
    for whole, halves, exact in ((one.reference, two.reference, True), (one.batched, two.batched, one.quiet)):
        assert whole.outputs.keys() == halves.outputs.keys()
        for name, values in whole.outputs.items():
            assert same_bits(values, halves.outputs[name]).all()
        assert whole.report["host"] == halves.report["host"]
        if exact:
            parts = np.split(halves.clocks, [column * region.height])
            beside = np.hstack([part.reshape(region.height, -1) for part in parts])
            assert beside.tolist() == whole.clocks.reshape(region.height, -1).tolist()
