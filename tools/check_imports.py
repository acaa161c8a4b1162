"""Check that imports point one way between the parts of meshc and meshrt.

The table below is the contract of the layout: each part may import itself, the parts
listed beside it and third-party packages that are not forbidden to it. A module belongs
to the part with the longest matching prefix. Exit status 1 when an import breaks it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Where each import package lives.
PACKAGES = {"meshc": ROOT / "meshc", "meshrt": ROOT / "runtime" / "meshrt"}

_BASE = ("meshrt.diagnostics", "meshrt.target", "meshrt.program", "meshrt.grammar", "meshrt.entry_points")
_REPORT = ("meshrt.figures", "meshrt.report_schema", "meshrt.report_table", "meshrt.report_phase_table")
_RUNTIME = (*_BASE, *_REPORT, "meshrt.compiled", "meshrt.progress", "meshrt.weights", "meshrt")
_IR = (*_BASE, "meshc.ir")
_DIALECTS = (*_IR, "meshc.dialects", "meshc.options")
_KERNELS = (*_DIALECTS, "meshc.kernels")
_PASSES = (*_KERNELS, "meshc.passes")
_EMIT = (*_PASSES, "meshc.emit")

#: Part -> the other parts of this project that it may import.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "meshrt.diagnostics": (),
    "meshrt.grammar": ("meshrt.diagnostics",),
    "meshrt.entry_points": ("meshrt.diagnostics",),
    "meshrt.compiled": (),
    "meshrt.progress": (),
    "meshrt.weights": ("meshrt.diagnostics",),
    "meshrt.target": _BASE,
    "meshrt.program": (*_BASE, "meshrt.compiled", "meshrt.progress"),
    "meshrt.report_schema": ("meshrt.diagnostics",),
    "meshrt.figures": (),
    "meshrt.report_phase_table": ("meshrt.figures",),
    "meshrt.report_table": ("meshrt.diagnostics", *_REPORT),
    "meshrt": _RUNTIME,
    "meshc.options": _BASE,
    "meshc.ir": _BASE,
    "meshc.dialects": _IR,
    "meshc.kernels": _DIALECTS,
    "meshc.frontend": (*_DIALECTS, "meshrt.progress"),
    "meshc.passes": _KERNELS,
    "meshc.emit": (*_PASSES, "meshrt.weights"),
    "meshc.report": ("meshrt.diagnostics", *_REPORT),
    "meshc.cli": (*_RUNTIME, *_EMIT, "meshc.frontend", "meshc.report", "meshc"),
    "meshc.__main__": ("meshc.cli",),
    # The package's own front door and the driver that runs the pipeline.
    "meshc": (*_RUNTIME, *_EMIT, "meshc.frontend", "meshc.report"),
}

#: Part -> top-level packages that neither it nor what lies inside it may import.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "meshrt": ("meshc", "transformers", "tokenizers", "gguf"),
    "meshc.ir": ("torch", "transformers"),
    "meshc.report": ("torch", "transformers"),
}


def part_of(module: str) -> str:
    """The part of the project that a module belongs to, or ``""`` for a third-party module."""
    while module and module not in MAY_IMPORT:
        module = module.rpartition(".")[0]
    return module


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, also inside functions, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from meshrt import target` imports meshrt.target.
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield node.lineno, longer if longer in MAY_IMPORT else node.module


def violations() -> list[str]:
    """One line of text for each import that points the wrong way."""
    found: list[str] = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            module = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            here, dotted = part_of(module), f"{module}."
            banned = {name for part, names in FORBIDDEN.items() if dotted.startswith(f"{part}.") for name in names}
            for line, imported in imports_of(path):
                there = part_of(imported)
                if imported.partition(".")[0] in banned or (there and there != here and there not in MAY_IMPORT[here]):
                    found.append(f"{path.relative_to(ROOT)}:{line}: {here} must not import {imported}")
    return found


def main() -> int:
    """Print the violations; 1 when there is one."""
    found = violations()
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
