"""Who listens to output ports hears every message once, while the run goes on, and changes nothing."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest

from meshrt.engines.listening import Heard
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.meshrt.machine import test_machine_rules as machine

TARGET = load_target(machine.HERE / "machine.toml")
ENGINES = ("batched", "reference")

#: Two ports: the left PE counts rounds, the right one sends pairs, of f16 too.
TEXT = """mesh 1
region main 2 x 1 at (0, 0) {
  buffer (0:2, 0) n: i32[1] @ 1024
  buffer (0:2, 0) h: f16[3] @ 1028
  route (0, 0) color 21: RAMP -> W
  route (1, 0) color 22: RAMP -> E
  port out counts side W (0, 0) color 21: i32[9] most 9 at [e]
  port out halves side E (1, 0) color 22: f16[4, 3] count 12 at [e // 3, e % 3]
  code (0, 0) left {
    for t in 0..5 {
      index n, value=t * t
      send n, color=21
    }
  }
  code (1, 0) right {
    for t in 0..4 {
      index h, value=10 * t + i0
      send h, color=22
    }
  }
}
"""


def heard_of(text: str, **options) -> tuple[list[Heard], object]:
    heard: list[Heard] = []
    result = run_program(parse_program(text), TARGET, options=RunOptions(**options), listener=heard.append)
    return heard, result


@pytest.mark.parametrize("options", [{"engine": e} for e in ENGINES] + [{"timing_only": True}], ids=str)
def test_messages_come_one_by_one_with_their_cycles(options):
    heard, result = heard_of(TEXT, **options)
    by_port: dict[str, list[Heard]] = defaultdict(list)
    for each in heard:
        by_port[each.port].append(each)
    assert [h.first for h in by_port["counts"]] == [0, 1, 2, 3, 4]
    assert [h.first for h in by_port["halves"]] == [0, 3, 6, 9]
    assert {h.pe for h in by_port["counts"]} == {(0, 0)} and {h.pe for h in by_port["halves"]} == {(1, 0)}
    if not options.get("timing_only"):
        assert np.concatenate([h.values for h in by_port["counts"]]).tolist() == [0, 1, 4, 9, 16]
        assert (
            np.concatenate([h.values for h in by_port["halves"]]).tolist() == result.outputs["halves"].ravel().tolist()
        )
    for each in by_port.values():
        cycles = [h.cycle for h in each]
        assert cycles == sorted(cycles)
        # Every round takes as long.
        assert len({b - a for a, b in itertools.pairwise(cycles)}) == 1
    assert max(h.cycle for h in heard) == result.report["cycles"]


def test_both_engines_tell_the_same_messages_in_the_same_cycles():
    told = [
        sorted((h.port, h.first, h.cycle, h.values.tolist()) for h in heard_of(TEXT, engine=engine)[0])
        for engine in ENGINES
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_listening_changes_nothing(engine):
    heard, listened = heard_of(TEXT, engine=engine)
    again, _ = heard_of(TEXT, engine=engine)
    alone = run_program(parse_program(TEXT), TARGET, options=RunOptions(engine=engine))
    assert listened.report == alone.report and listened.clocks.tolist() == alone.clocks.tolist()
    assert [(h.port, h.first) for h in heard] == [(h.port, h.first) for h in again]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_listener_hears_before_the_run_has_ended(engine):
    class Enough(Exception):
        pass

    heard: list[Heard] = []

    def listener(each: Heard) -> None:
        heard.append(each)
        if len(heard) == 3:
            raise Enough

    with pytest.raises(Enough):
        run_program(parse_program(TEXT), TARGET, options=RunOptions(engine=engine), listener=listener)
    assert len(heard) == 3
