"""A region and its two halves as regions that touch: the same values in the same cycles, wherever it is cut."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import load_target
from tests.meshrt.splitting import split

MACHINE = Path(__file__).parents[1] / "machine"
TARGET = load_target(MACHINE / "machine.toml")
CUT = [
    (path, column)
    for path in sorted(MACHINE.glob("*.mesh"))
    for program in [parse_program(path.read_text(encoding="utf-8"))]
    if len(program.regions) == 1
    for column in range(1, program.regions[0].width)
]


@pytest.mark.parametrize("engine", ["batched", "reference"])
@pytest.mark.parametrize(("path", "column"), CUT, ids=lambda value: getattr(value, "stem", str(value)))
def test_the_halves_do_the_same(path, column, engine):
    whole = parse_program(path.read_text(encoding="utf-8"))
    halves = split(whole, column)
    check_program(halves, TARGET)
    said = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    weights, inputs = ({n: np.array(v, np.float32) for n, v in said.get(k, {}).items()} for k in ("weights", "inputs"))

    def run(program) -> RunResult:
        return run_program(program, TARGET, weights, inputs, options=RunOptions(engine=engine, checked=True))

    one, two = run(whole), run(halves)
    assert {n: v.tobytes() for n, v in two.outputs.items()} == {n: v.tobytes() for n, v in one.outputs.items()}
    region = whole.regions[0]
    clocks = np.split(two.clocks, [column * region.height])
    side_by_side = np.hstack([part.reshape(region.height, -1) for part in clocks])
    off = np.abs(side_by_side - one.clocks.reshape(region.height, -1)).max()
    waited = said["contended_words"] + said["stalled_words"] > 0
    # In which order messages meet on a link may follow from the codes' order in the batched engine.
    assert off <= (said["tolerance"]["cycles"] if engine == "batched" and waited else 0)
    assert two.report["host"] == one.report["host"]
    if engine == "batched" and waited:
        return
    for key in ("colors_peak", "route_writes", "max_link_words", "contended_words", "stalled_words"):
        assert two.report["routing"][key] == one.report["routing"][key]
    for key in ("critical_hops", "critical_stages"):
        assert two.report["latency"][key] == one.report["latency"][key]
