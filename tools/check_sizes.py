"""Check that files stay one subject long, and that their names say which.

Past 400 lines a file is named in a warning; past 700, or under a name that says nothing
(``utils``, ``helpers``), it fails the check.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("meshc", "runtime", "grammar", "tools", "tests", "examples")
SUFFIXES = (".py", ".lark")
WARN_LINES = 400
FAIL_LINES = 700
EMPTY_NAMES = ("util", "utils", "helper", "helpers", "misc", "common")


def main() -> int:
    """Print what is too long or badly named; 1 when something fails."""
    failed = False
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT)
            if "__pycache__" in name.parts:
                continue
            if path.stem in EMPTY_NAMES:
                failed = True
                print(f"{name}: the name does not say what is inside", file=sys.stderr)
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            lines = path.read_text(encoding="utf-8").count("\n")
            if lines > FAIL_LINES:
                failed = True
                print(f"{name}: {lines} lines; past {FAIL_LINES}: split it by subject", file=sys.stderr)
            elif lines > WARN_LINES:
                print(f"{name}: {lines} lines (warning: past {WARN_LINES})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
