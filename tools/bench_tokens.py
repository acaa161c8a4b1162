"""How long the batched engine takes for one decoded token: ``make bench``.

A model is compiled for decode and writes, with values; the first token, which also loads the
weights, is apart. Seconds are those of the processor, and of the clock on the wall. The result
is JSON (``--json FILE``, else standard output), schema ``meshc.bench-tokens/1``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from meshrt.build import read_build
from meshrt.generation import NewToken, Request, generate
from meshrt.run import RunOptions
from tools.bench import Case, measured, smollm2_file

PROMPT = (1, 2, 3)
CASES = (
    Case(
        "llama-tiny", "examples/tiny_models.py:llama", ("--target", "tiny", "--grid", "8x8", "--dtype", "f32"), 8, 256
    ),
    Case("smollm2-135m", smollm2_file(), ("--target", "wse2", "--dtype", "mixed"), 12, 49152),
)
#: Positions of the builds.
CONTEXT = 64


def timed(case: Case, folder: Path, plain: bool) -> dict[str, Any]:
    """Compile one model for decode and let it write ``case.tokens`` tokens."""
    model, build = folder / "model.pt2", folder / "build"
    measured("trace", case.source, "-o", model, "--seq", str(CONTEXT))
    measured("compile", model, "-o", build, *case.options, "--phase", "decode", "--context", str(CONTEXT))
    processor, wall = [time.process_time()], [time.monotonic()]

    def on_token(token: NewToken) -> None:
        processor.append(time.process_time())
        wall.append(time.monotonic())

    options = RunOptions(fast_forward=not plain)
    report = generate(read_build(build), Request((PROMPT,), case.tokens), options, on_token).report
    each = [statistics.median(b - a for a, b in pairwise(at[1:])) for at in (processor, wall)]
    return {
        "processor_seconds_per_token": round(each[0], 3),
        "wall_seconds_per_token": round(each[1], 3),
        "first_token_processor_seconds": round(processor[1] - processor[0], 3),
        "tokens": case.tokens,
        "pes": report["parallelism"]["pes"],
        "cycles": report["cycles"],
        "skips": not plain,
    }


def main() -> None:
    """Time the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)} (all of them)")
    parser.add_argument("--plain", action="store_true", help="skip over nothing that repeats itself")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.cases if name not in names]:
        parser.error(f"there is no case {unknown[0]!r}; there are {', '.join(names)}")
    results: dict[str, Any] = {}
    for case in CASES:
        if (arguments.cases and case.name not in arguments.cases) or not case.source:
            continue
        with tempfile.TemporaryDirectory() as folder:
            results[case.name] = timed(case, Path(folder), arguments.plain)
        told = results[case.name]
        print(f"{case.name}: {told['processor_seconds_per_token']:.2f} s a token", file=sys.stderr)
    text = json.dumps({"schema": "meshc.bench-tokens/1", "cases": results}, indent=2) + "\n"
    if arguments.json is None:
        print(text, end="")
    else:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
