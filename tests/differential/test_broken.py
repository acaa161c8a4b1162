"""The static check against both engines, on generated programs as they are and broken on purpose.

Both directions are held:

- What the check accepts runs to its end on both engines, for every value of the runtime scalar and after however many
  rounds flags end loops: no deadlock, no word left over, no diagnostic of any kind.
- What breaks a rule of the text is told, whether or not a run would meet it: two routes of one color, say.
- What it rejects for how it would run is broken: run anyway, with buffers watched, it ends in a diagnostic on at least
  one engine for at least one value of the scalar or number of rounds. Two kinds of fault may stay hidden in one timing,
  so there the check has the last word: a route that is rewritten under another PE's words (M0504), and a move's buffer
  that is touched too early (M0509), where the engines took another order.

What the check cannot decide (M0360) it does not accept; no generated program is such.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st

from meshrt.diagnostics import MeshError
from meshrt.program.check import diagnose
from meshrt.program.parser import parse_program
from meshrt.program.proofs import prove
from meshrt.run import RunOptions, run_program
from tests.differential.acts.structure import UNTIL_ROUNDS
from tests.differential.agreement import SAVED, rerun_command
from tests.differential.case import Case
from tests.differential.mutations import MUTATIONS, Mutation
from tests.differential.programs import SCALAR, cases

#: Faults that a run shows only if its timing is unlucky.
HIDDEN = ("M0504", "M0509")
ENGINES = ("reference", "batched")
#: After how many rounds flags end their loops.
ROUNDS = (1, UNTIL_ROUNDS, 5)
#: Broken programs of each kind.
EACH = 12
#: Edits after which most programs still run.
RARELY = ("one word to a queue", "drop a stream-through", "swap two moves")
#: Sound programs.
SOUND = 20
SETTINGS = settings(
    max_examples=EACH,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def has_flags(case: Case) -> bool:
    """Whether a flag may end some loop."""
    return "until" in case.text


def ending_after(case: Case, rounds: int) -> Case:
    """The same case with flags that are raised after so many rounds."""
    text = re.sub(rf"(index ticks\d+, value=)-{UNTIL_ROUNDS}$", rf"\g<1>-{rounds}", case.text, flags=re.M)
    return replace(case, program=parse_program(text))


def failures(case: Case) -> list[str]:
    """How the runs end that do not come to their end: the code, the engine, the runtime scalar and the rounds."""
    found = []
    low, high = SCALAR[1]
    for size, rounds in itertools.product(range(low, high + 1), ROUNDS if has_flags(case) else (UNTIL_ROUNDS,)):
        scalars = {region.name: {SCALAR[0]: size} for region in case.program.regions}
        program = ending_after(case, rounds).program
        for engine in ENGINES:
            options = RunOptions(engine=engine, checked=True)
            try:
                run_program(program, case.target, case.weights, case.inputs, scalars, options=options)
            except MeshError as error:
                found.append(f"{error.diagnostic.code} on {engine} for {SCALAR[0]} = {size}, {rounds} rounds")
    return found


def refuse(case: Case, said: str) -> None:
    """Fail, and leave the program behind."""
    path = case.save(SAVED / "check.mesh")
    pytest.fail(f"{said}\n\n{case.text}\nrun it again with: {rerun_command(path)}", pytrace=False)


def judge(case: Case) -> str | None:
    """Hold the check against the engines; the code of its finding, None where it accepts."""
    if unlawful := diagnose(case.program, case.target):
        return unlawful[0].code
    found, failed = prove(case.program, case.target).findings, failures(case)
    if not found and failed:
        refuse(case, f"the check accepts a program that fails: {', '.join(failed)}")
    if found and not failed and found[0].code not in HIDDEN:
        refuse(case, f"the check rejects a program that runs: {found[0].render()}")
    return found[0].code if found else None


@pytest.mark.parametrize("flags", [False, True], ids=["any", "with flags"])
def test_generated_programs_are_accepted(flags: bool):
    @seed(0)
    @settings(SETTINGS, max_examples=SOUND)
    @given(cases)
    def test(case: Case) -> None:
        assume(has_flags(case) or not flags)
        code = judge(case)
        if code is not None:
            refuse(case, f"the check rejects a sound program with {code}")

    test()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_broken_programs(mutation: Mutation):
    verdicts: Counter[str | None] = Counter()

    @seed(1)
    @SETTINGS
    @given(cases, st.integers(0, 9999))
    def test(case: Case, number: int) -> None:
        broken = mutation.apply(case, number)
        if broken is None:
            return
        code = judge(broken)
        assert code in (None, *HIDDEN, *mutation.codes), code
        verdicts[code] += 1

    test()
    assert verdicts.total(), "the edit fits no program"
    if mutation.name not in RARELY:
        assert any(code is not None for code in verdicts), f"no program was broken: {verdicts}"
