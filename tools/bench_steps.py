"""How fast the batched engine keeps time: PE-steps (one PE executing one instruction) per second of processor time.

Programs are all steps (:mod:`tools.step_programs`), run without values. Building them and
loading the mesh is apart, and so is loading the engine's compiled code, which a small
program does first. Seconds are those of the processor, one thread. The result is JSON
(``--json FILE``, else standard output), schema ``meshc.bench-steps/1``.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshrt.engines.batched.machine import Machine
from meshrt.program.model import Program
from meshrt.progress import Progress
from meshrt.target import load_target
from tools.step_programs import ring_gemm, tree_gemv

#: Tiles (m, k, n) of a ring step, f16: those whose product takes longer than their shifts, and the reverse.
COMPUTE, COMMUNICATE = (8, 8, 8), (1, 6, 32)
LARGE, SMALL = 720, 96
#: Bytes in what the kernel counts the peak of a process in.
RSS_UNIT = 1024


@dataclass(frozen=True)
class Case:
    """A program, whether loops that repeat themselves are skipped, and how many steps are run."""

    program: Callable[[], Program]
    fast_forward: bool = False
    steps: int = 1


CASES = {
    "ring-96": Case(lambda: ring_gemm(SMALL, COMMUNICATE, 960), steps=960),
    "ring-720": Case(lambda: ring_gemm(LARGE, COMMUNICATE, LARGE), steps=LARGE),
    "ring-720-slow-row": Case(lambda: ring_gemm(LARGE, COMPUTE, LARGE, slow_row=LARGE // 2), steps=LARGE),
    "ring-720-compute-bound-skipped": Case(lambda: ring_gemm(LARGE, COMPUTE, LARGE), True, LARGE),
    "gemv-720": Case(lambda: tree_gemv(LARGE, 24, (8, 8))),
}


def timed(case: Case) -> dict[str, Any]:
    """Seconds of one run, and what it did."""
    target = load_target("wse2")
    program = case.program()
    start = time.process_time()
    machine = Machine(program, target, {}, {}, {}, timing_only=True, fast_forward=case.fast_forward)
    loaded = time.process_time()
    finished = machine.run(Progress())
    seconds = time.process_time() - loaded
    instructions = sum(row.instructions for row in finished.rows)
    return {
        "seconds": round(seconds, 3),
        "load_seconds": round(loaded - start, 3),
        "pe_steps": instructions,
        "pe_steps_per_second": round(instructions / seconds),
        "steps": case.steps,
        "milliseconds_per_step": round(1000 * seconds / case.steps, 3),
        "cycles": finished.cycles,
        "skips": case.fast_forward,
    }


def main() -> None:
    """Time the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (all of them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    arguments = parser.parse_args()
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"there is no case {name!r}")
    for program in (ring_gemm(4, COMPUTE, 40), tree_gemv(8, 4, (2, 2))):
        # Compiled code is loaded, or compiled, once for the process.
        for fast_forward in (False, True):
            machine = Machine(program, load_target("wse2"), {}, {}, {}, timing_only=True, fast_forward=fast_forward)
            machine.run(Progress())
    result = {
        "schema": "meshc.bench-steps/1",
        "cases": {name: timed(CASES[name]) for name in arguments.cases or CASES},
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT,
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json is None:
        print(text, end="")
    else:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
