"""Generated programs on both engines: the same bits, the same cycles where no word waits, and near elsewhere.

The programs follow from fixed seeds, ``PER_SEED`` from each: hypothesis varies what it has drawn before, so many
seeds give more different programs than many examples of one. ``--programs N`` runs more of them. A program on which
the engines differ is made as small as it can be, saved and printed, with the command that runs it again.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from meshrt.diagnostics import MeshError
from tests.differential.agreement import SAVED, Comparison, rerun_command, run_case
from tests.differential.case import Case
from tests.differential.programs import cases

#: Programs from one seed.
PER_SEED = 50
#: The part of the programs whose cycles must be within the tolerance.
WITHIN = 0.95
WORST = 5

SETTINGS = settings(
    max_examples=PER_SEED,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def held_together(case: Case) -> Comparison:
    """The comparison of a case on which the engines agree; else the failure shows the program."""
    try:
        pair = run_case(case)
        found = pair.differences()
    except MeshError as error:
        pair, found = None, [error.diagnostic.render()]
    if pair is None or found:
        path = case.save(SAVED / "smallest.mesh")
        said = "\n".join(found)
        pytest.fail(f"the engines differ:\n{said}\n\n{case.text}\nrun it again with: {rerun_command(path)}", False)
    return pair.comparison("")


@pytest.mark.timeout(1800)
def test_generated_programs(pytestconfig, record_property):
    """Fails on the first program whose engines differ in what they must not, or where too many are not near."""
    compared: list[tuple[Comparison, Case]] = []

    def test(case: Case) -> None:
        compared.append((held_together(case), case))

    for number in range(-(-pytestconfig.getoption("programs") // PER_SEED)):
        seed(number)(SETTINGS(given(cases)(test)))()
    assert len(compared) >= pytestconfig.getoption("programs")
    apart = sorted(
        ((comparison, case) for comparison, case in compared if not comparison.quiet), key=lambda c: -abs(c[0].part)
    )
    outside = [comparison for comparison, _ in apart if not comparison.within]
    equal = sum(comparison.off == 0 for comparison, _ in compared)
    lines = [
        f"{len(compared)} generated programs: bit-identical values; {equal} have equal cycles, among them all "
        f"{len(compared) - len(apart)} in which no word waits; {len(outside)} differ by more than 5 % or 16 cycles"
    ]
    for number, (comparison, case) in enumerate(apart[:WORST]):
        path = case.save(SAVED / f"worst-{number + 1}.mesh")
        lines.append(f"  {comparison} {path}")
    record_property("agreement", "\n".join(lines))
    assert len(outside) <= (1 - WITHIN) * len(compared), "\n".join(map(str, outside))
