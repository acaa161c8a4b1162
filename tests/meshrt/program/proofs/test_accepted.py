"""What is sound is accepted, and how little of it has to be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshrt.program.parser import parse_program
from meshrt.program.proofs import prove
from meshrt.target import load_target

MACHINE = Path(__file__).parents[2] / "machine"
TARGET = load_target(MACHINE / "machine.toml")

RING = """mesh 1
region main 4 x 1 at (0, 0) {{
  scalar length from 1 to {high}
  buffer (0:4, 0) a: f32[5] @ 1024
  buffer (0:4, 0) b: f32[5] @ 1044
  place (0:4, 0) a[i: 0..5] = "a"[i]
  route (0:3:2, 0) color 0: RAMP -> E
  route (1:4:2, 0) color 0: W -> RAMP
  route (1, 0) color 1: RAMP -> E
  route (2, 0) color 1: W -> RAMP
  route (3, 0) color 2: RAMP -> W
  route (1:3, 0) color 2: E -> W
  route (0, 0) color 2: E -> RAMP
  code (0:4, 0) main {{
    for l in 0..{rounds} {{
      recv b, color=select(x == 0, 2, (x - 1) % 2), async=in
      send a, color=select(x == 3, 2, x % 2), async=out
      wait handle=in
      wait handle=out
      rotate a, b
      {inside}
    }}
  }}
}}
"""


def ring(rounds: str, high: int = 8, inside: str = ""):
    return parse_program(RING.format(rounds=rounds, high=high, inside=inside))


@pytest.mark.parametrize("path", sorted(MACHINE.glob("*.mesh")), ids=lambda path: path.stem)
def test_the_examples_of_the_machine_are_proven(path):
    proof = prove(parse_program(path.read_text(encoding="utf-8")), TARGET)
    assert not proof.findings


def test_a_long_loop_is_proven_by_induction():
    short, long = (prove(ring(rounds), TARGET).regions[0] for rounds in ("10", "1000000"))
    assert short.steps == long.steps
    assert long.rounds_skipped - short.rounds_skipped == 999_990


def test_a_loop_as_long_as_a_scalar_says_needs_few_classes():
    (region,) = prove(ring("length", 2048), TARGET).regions
    assert region.choices == 2048 and region.classes == 5


def test_a_condition_on_a_scalar_divides_its_values():
    proof = prove(
        ring(
            "3",
            8,
            "if length < 3 {\n send a, color=select(x == 3, 2, x % 2)\n "
            "recv b, color=select(x == 0, 2, (x - 1) % 2)\n }",
        ),
        TARGET,
    )
    assert not proof.findings
    assert proof.regions[0].classes == 2


def test_too_many_values_of_scalars_are_not_accepted():
    (found,) = prove(ring("3", 1_000_000), TARGET).findings
    assert found.code == "M0360"


def test_deeper_queues_make_a_deadlock_go_away():
    text = (Path(__file__).parent / "rejected" / "deadlock_ring.mesh").read_text(encoding="utf-8")
    assert prove(parse_program(text), TARGET).findings
    assert not prove(parse_program(text.replace("f32[20]", "f32[6]")), TARGET).findings


def test_an_until_whose_rounds_are_alike_is_proven():
    text = """mesh 1
region main 2 x 1 at (0, 0) {
  buffer (0:2, 0) a: f32[1] @ 1024
  place (0:2, 0) a[i: 0..1] = "a"[i]
  route (0, 0) color 0: RAMP -> E
  route (1, 0) color 0: W -> RAMP
  code (0:2, 0) main {
    until a {
      if x == 0 {
        send a, color=0
      } else {
        recv a, color=0
      }
    }
  }
}
"""
    assert not prove(parse_program(text), TARGET).findings


def test_the_same_again():
    text = (Path(__file__).parent / "rejected" / "deadlock_ring.mesh").read_text(encoding="utf-8")
    assert prove(parse_program(text), TARGET) == prove(parse_program(text), TARGET)
