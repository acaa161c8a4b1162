"""What is sound is accepted, and how little of it has to be run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshrt.program.model import Region, Scalar
from meshrt.program.parser import parse_program
from meshrt.program.proofs import prove
from meshrt.program.proofs.scalars import choices
from meshrt.target import load_target
from tests.meshrt.engines.two_regions import hand_over
from tests.meshrt.engines.two_regions import ring as ring_of

MACHINE = Path(__file__).parents[2] / "machine"
TARGET = load_target(MACHINE / "machine.toml")
TINY = load_target("tiny")

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
    (found,) = prove(ring("length", 1_000_000), TARGET).findings
    assert found.code == "M0360"


def test_scalars_that_decide_nothing_take_no_part():
    (region,) = prove(ring("3", 1_000_000, "fill b, value=0.0, where=i0 < length"), TARGET).regions
    assert (region.classes, region.choices) == (1, 1_000_000)


COUNTED = """mesh 1
region main 2 x 1 at (0, 0) {
  scalar steps from 1 to 40
  scalar length from 1 to 1000000
  buffer (0:2, 0) done: f32[1] @ 1024
  buffer (0:2, 0) b: f32[4] @ 1028
  buffer (0:2, 0) c: f32[4] @ 1044
  place (0:2, 0) done[i: 0..1] = "a"[i]
  route (0, 0) color 0: RAMP -> E
  route (1, 0) color 0: W -> RAMP
  route (1, 0) color 21: RAMP -> E
  port out n side E (1, 0) color 21: f32[40] most 40 at [e]
  code (0:2, 0) main {
    for t in 0..steps until done {
      INSIDE
      if x == 0 {
        send b[0](1 + t % 4), color=0
      } else {
        recv b[0](1 + t % 4), color=0
        fill done, value=1.0, where=t > length
        send done, color=21
      }
    }
    AFTER
  }
}
"""


def counted(inside: str = "", after: str = ""):
    return prove(parse_program(COUNTED.replace("INSIDE", inside).replace("AFTER", after)), TARGET)


def test_a_counted_loop_with_a_flag_may_end_after_any_round():
    proof = counted(after="if x == 0 {\n send b, color=0\n } else {\n recv b, color=0\n }")
    assert not proof.findings
    # To end by the stop is to end by the flag, so that one execution decides for all values of the scalar.
    assert (proof.regions[0].classes, proof.regions[0].choices) == (1, 40_000_000)


def first_to_steps(high: int, after: str = ""):
    """The loop begins at one scalar and ends at another, or does not begin at all."""
    text = COUNTED.replace("INSIDE", "").replace("AFTER", after).replace("in 0..steps", "in first..steps")
    text = text.replace("  scalar length", f"  scalar first from 0 to {high - 1}\n  scalar length")
    text = text.replace("1 to 40\n", f"1 to {high}\n").replace("most 40", f"most {high}").replace("[40]", f"[{high}]")
    return prove(parse_program(text), TARGET)


def test_a_loop_from_one_scalar_to_another_takes_the_ends_of_the_other():
    """For each value of the first, one class with rounds and one without."""
    proof = first_to_steps(12)
    assert not proof.findings
    assert (proof.regions[0].classes, proof.regions[0].choices) == (2 * 12 - 1, 12 * 12 * 1_000_000)


def test_a_scalar_at_stops_has_two_choices():
    scalars = (Scalar("first", 0, 1999), Scalar("steps", 1, 2000), Scalar("seed", 0, 10**9))
    region = Region("main", (0, 0), 1, 1, scalars=scalars)
    assert choices(region, {"first", "steps"}) is None
    rows = choices(region, {"first"}, {"steps"})
    assert rows is not None and rows.shape == (4000, 3)
    assert np.unique(rows[:, 1]).tolist() == [1, 2000] and (rows[:, 2] == 10**9).all()


def test_a_loop_that_may_have_no_round_is_looked_at_without():
    words = "if x == 0 {\n send b, color=0\n } else {\n recv b[0](select(steps > first, 4, 3)), color=0\n }"
    (found,) = first_to_steps(6, words).findings
    assert found.code == "M0518"


def test_rounds_that_end_alike_are_looked_at_once():
    short, long = counted().regions[0], counted(after="fill b, value=0.0").regions[0]
    assert long.steps - short.steps < 10


def test_rounds_may_leave_buffers_differently():
    assert not counted(inside="if t == 1 {\n rotate b, c\n }").findings


UNTIL = """mesh 1
region main 3 x 1 at (0, 0) {
  buffer (0:3, 0) done: f32[1] @ 1024
  buffer (0:3, 0) a: f32[4] @ 1028
  buffer (0:3, 0) b: f32[4] @ 1044
  place (0:3, 0) done[i: 0..1] = "a"[i + 1]
  place (0:3, 0) a[i: 0..4] = "a"[i]
  place (0:3, 0) b[i: 0..4] = "a"[i]
  route (0, 0) color 0: RAMP -> E
  route (1, 0) color 0: W -> E, RAMP
  route (2, 0) color 0: W -> RAMP
  route (0:2, 0) color 1: RAMP -> E
  route (2, 0) color 1: W -> RAMP
  code (0:3, 0) main {
    BODY
  }
}
"""
TELL = "if x == 0 {\n send done, color=0\n } else {\n recv done, color=0\n }"
#: Words in every round, and buffers that only every second round leaves as they were.
EVERY_ROUND = f"if x == 1 {{\n send a, color=1\n }} else if x == 2 {{\n recv b, color=1\n }}\n rotate a, b\n {TELL}"


def until(body: str):
    return prove(parse_program(UNTIL.replace("BODY", body)), TARGET)


@pytest.mark.parametrize(
    "body",
    [
        f"until done {{\n {TELL}\n }}",
        f"until done {{\n {EVERY_ROUND}\n }}",
        f"until done {{\n until done {{\n {EVERY_ROUND}\n }}\n {TELL}\n }}",
        f"for l in 0..300 {{\n until done {{\n {EVERY_ROUND}\n }}\n }}",
        f"until done {{\n for l in 0..1000000 {{\n {EVERY_ROUND}\n }}\n {TELL}\n }}",
    ],
    ids=["the flag alone", "words and a rotation", "one in another", "in a loop", "around a loop"],
)
def test_an_until_is_decided(body):
    proof = until(body)
    assert not proof.findings
    assert proof.regions[0].steps < 100_000


def test_one_bound_for_all_or_one_by_one():
    """PEs that leave a loop by bounds of their own do so, whatever the flag: then PE 1 is told in vain."""
    (found,) = until(f"for t in 0..2 + (x == 0) until done {{\n {TELL}\n }}").findings
    assert found.code in ("M0500", "M0518")
    assert not until(f"for t in 0..2 + 0 * x until done {{\n {TELL}\n }}").findings


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


@pytest.mark.parametrize("widths", [[3, 3], [2, 3, 1]])
def test_linked_regions_are_proven_together(widths):
    """As one region of the same PEs is: the same words and the same rounds by induction."""
    apart, together = (prove(parse_program(ring_of(parts, "1000")), TINY) for parts in (widths, [6]))
    assert not apart.findings
    (one,), (all_parts,) = together.regions, apart.regions
    assert all_parts.region == " + ".join(f"r{i}" for i in range(len(widths)))
    assert (all_parts.pes, all_parts.words, all_parts.rounds_skipped) == (6, one.words, one.rounds_skipped)


def test_what_is_handed_over_a_border_is_proven():
    proof = prove(parse_program(hand_over(3, 2, 2)), TINY)
    assert not proof.findings and [region.region for region in proof.regions] == ["a + b"]


def test_regions_without_links_are_proven_one_by_one():
    text = hand_over(1, 1, 1).replace("at (1, 0)", "at (2, 0)")
    assert [region.region for region in prove(parse_program(text), TINY).regions] == ["a", "b"]


def test_linked_regions_share_the_scalars_of_one_name():
    """Both go round as often as the scalar says: so many choices, not as many for each."""
    text = ring_of([3, 3], "length").replace(
        "  buffer (0:3, 0) v", "  scalar length from 1 to 300\n  buffer (0:3, 0) v"
    )
    (both,) = prove(parse_program(text), TINY).regions
    assert both.choices == 300 and both.classes < 10


def test_tables_and_parameters_of_one_name_are_each_regions_own():
    text = """mesh 1
region a 2 x 1 at (0, 0) {
  table t [2, 1]
  param (0:2, 0) n = t[x]
  buffer (0:2, 0) v: f32[4] @ 16384
  place (0:2, 0) v[i: 0..4] = "v"[i]
  route (1, 0) color 0: RAMP -> E
  code (1, 0) gives {
    send v[0](n), color=0
  }
}
region b 2 x 1 at (2, 0) {
  table t [1, 7, 0]
  param (0:2, 0) n = 3 // (x + 1)
  param (1, 0) m = 6 // n
  buffer (0:2, 0) v: f32[4] @ 16384
  route (0, 0) color 0: W -> RAMP
  code (0, 0) takes {
    recv v[0](t[n // 4]), color=0
  }
}
"""
    assert not prove(parse_program(text), TINY).findings
    # Entry 2 instead of entry 0: it takes nothing of what comes.
    (found,) = prove(parse_program(text.replace("t[n // 4]", "t[n // 3 * 2]")), TINY).findings
    assert found.code == "M0518"
