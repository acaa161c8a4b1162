"""A move without elements takes its launch and nothing else, however often."""

from __future__ import annotations

import pytest

from meshrt.program.parser import parse_program
from meshrt.run import ENGINES, RunOptions, run_program
from meshrt.target import load_target

PROGRAM = """mesh 1

region main 16 x 16 at (0, 0) {{
  buffer (0:16, 0:16) a: f32[4] @ 8192
  route (0:16:2, 0:16) color 0: RAMP -> E
  route (1:16:2, 0:16) color 0: W -> RAMP
  code (0:16:2, 0:16) sender {{
    for i in 0..{rounds} {{
      send a[0](0), color=0{launch}
    }}
  }}
  code (1:16:2, 0:16) receiver {{
    for i in 0..{rounds} {{
      recv a[0](0), color=0{launch}
    }}
  }}
}}
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_moves_without_elements(engine, asynchronous):
    # More moves in all than the batched engine has room for messages.
    target, rounds = load_target("tiny"), 700
    launch = ", async=h\n      wait handle=h" if asynchronous else ""
    program = parse_program(PROGRAM.format(rounds=rounds, launch=launch))
    clocks = run_program(program, target, options=RunOptions(engine=engine)).clocks
    each = target.loop_cycles + target.issue_cycles
    if asynchronous:
        each += target.async_launch_cycles + target.issue_cycles + target.task_wakeup_cycles
    else:
        each += target.vector_setup_cycles + target.vector_issue_cycles
    assert set(clocks.tolist()) == {target.issue_cycles + rounds * each}
