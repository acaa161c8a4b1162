"""Runs the commands that pages show and writes what they print below them: ``make docs``.

A command is an indented line that starts with ``$ ``; the indented lines up to the next one
are its output. A test runs the same commands and compares the text.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
#: Pages whose commands are run; of a page that names a heading, those of that section.
PAGES = {
    README: "## A short tour",
    ROOT / "docs" / "bench.md": None,
    ROOT / "docs" / "kernels.md": "## Choice",
}
_INDENT = "    "
_PROMPT = "    $ "


@dataclass(frozen=True)
class Step:
    """A command, the output that the page shows, and the page's lines (half open) that hold this output."""

    command: str
    output: str
    first: int
    last: int


def steps(text: str, section: str | None = None) -> list[Step]:
    """The commands of a page, or of a section by its heading, in order."""
    lines = text.splitlines()
    start, end = 0, len(lines)
    if section is not None:
        start = lines.index(section) + 1
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("## ")), len(lines))
    found: list[Step] = []
    for i in range(start, end):
        if not lines[i].startswith(_PROMPT):
            continue
        last = i + 1
        # Empty lines belong to the output when more of it follows.
        for j in range(i + 1, end):
            if lines[j].startswith(_PROMPT) or (lines[j] and not lines[j].startswith(_INDENT)):
                break
            if lines[j]:
                last = j + 1
        output = "".join(f"{line.removeprefix(_INDENT)}\n" for line in lines[i + 1 : last])
        found.append(Step(lines[i].removeprefix(_PROMPT), output, i + 1, last))
    return found


def run(command: str, folder: Path) -> str:
    """What a command prints, on either stream, in a folder that has the checkout's examples."""
    examples = folder / "examples"
    if not examples.exists():
        examples.symlink_to(ROOT / "examples")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=kept | {"PATH": path, "COLUMNS": "116", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def refreshed(text: str, folder: Path, section: str | None = None) -> str:
    """A page with the output of every command as it is now. Ends where one has a traceback."""
    lines = text.splitlines()
    outputs = [(step, run(step.command, folder)) for step in steps(text, section)]
    for step, output in reversed(outputs):
        if "Traceback (most recent call last)" in output:
            sys.exit(f"$ {step.command}\n{output}")
        lines[step.first : step.last] = [f"{_INDENT}{line}".rstrip() for line in output.splitlines()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Rewrite the pages."""
    for page, section in PAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            text = page.read_text(encoding="utf-8")
            page.write_text(refreshed(text, Path(folder), section), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
