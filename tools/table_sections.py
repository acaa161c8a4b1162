"""Pages that are written by hand but for tables drawn from the code.

Such a table stands between two comments, ``<!-- begin: NAME .. -->`` and ``<!-- end: NAME -->``;
``make docs`` replaces what is between them and leaves the rest alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from meshc.kernels.collectives.registry import collectives
from meshc.kernels.registry import kernels
from meshrt.program.instructions import INSTRUCTIONS, InstructionSpec
from meshrt.program.signature import signature
from meshrt.target import SECTIONS, Key, Rates, Target, load_target

DOCS = Path(__file__).resolve().parent.parent / "docs"
_ROLE_MARKS = {"in": "", "out": "\\*", "inout": "+"}
_PRESETS = ("wse2", "wse3", "tiny", "ideal")


def instruction_table() -> str:
    """The instruction table of ``docs/program.md``, one table for each group."""
    lines: list[str] = []
    groups = dict.fromkeys(spec.group for spec in INSTRUCTIONS.values())
    for group in groups:
        lines += [f"### {group.capitalize()}", "", "| instruction | operands | cost | meaning |", "|---|---|---|---|"]
        lines += [_instruction_row(spec) for spec in INSTRUCTIONS.values() if spec.group == group]
        lines.append("")
    return "\n".join(lines).rstrip()


def _instruction_row(spec: InstructionSpec) -> str:
    operands = ", ".join(f"{name}{_ROLE_MARKS[role]}" for name, role in spec.operands)
    cells = (f"`{signature(spec)}`", operands, spec.cost, spec.meaning)
    return (
        "| " + " | ".join(cell.replace("|", "\\|") if i == 0 else _escaped(cell) for i, cell in enumerate(cells)) + " |"
    )


def _escaped(cell: str) -> str:
    return re.sub(r"(?<!\\)\*", r"\\*", cell.replace("|", "\\|"))


def key_table() -> str:
    """Every key of a target file with its kind and meaning, by section."""
    lines = ["| key | value | meaning |", "|---|---|---|"]
    for section in SECTIONS:
        lines.append(f"| **{section.title}** | | |")
        lines += [f"| `{key.name}` | {_kind(key)} | {key.meaning} |" for key in section.keys]
    return "\n".join(lines)


def _kind(key: Key) -> str:
    if key.kind == "rates":
        return f"a rate each for {', '.join(key.dtypes)}"
    return f"integer, at least {key.least:g}"


def preset_table() -> str:
    """The numbers of the presets in columns; what their sources call an assumption is marked."""
    targets = [load_target(name) for name in _PRESETS]
    lines = [f"| key | {' | '.join(_PRESETS)} |", "|---|" + "---:|" * len(_PRESETS)]
    keys = [key for section in SECTIONS for key in section.keys]
    names = [name for key in keys for name in [f"{key.name}.{dtype}" for dtype in key.dtypes] or [key.name]]
    lines += [f"| `{name}` | {' | '.join(_value(target, name) for target in targets)} |" for name in names]
    return "\n".join(lines)


def _value(target: Target, name: str) -> str:
    key, _, dtype = name.partition(".")
    value = getattr(target, key)
    number = value[dtype] if isinstance(value, Rates) else value
    mark = "°" if dict(target.sources)[name].startswith("assumption") else ""
    return f"{number:,g}{mark}" if isinstance(number, float) else f"{number:,}{mark}"


def kernel_table() -> str:
    """The built-in kernels by the operation that each carries out."""
    found = [kernel for kernel in kernels().values() if kernel.emit.__module__.startswith("meshc.kernels.")]
    found.sort(key=lambda kernel: (kernel.operation, kernel.rank, kernel.name))
    rows = [f"| `{kernel.operation}` | `{kernel.name}` | {kernel.meaning} |" for kernel in found]
    return "\n".join(["| operation | kernel | what it does |", "|---|---|---|", *rows])


def scaling_table() -> str:
    """How the demands of the kernels that declare it grow with the grid."""
    found = [(kernel.name, kernel.scaling) for kernel in kernels().values() if kernel.scaling is not None]
    rows = [f"| `{name}` | {s.memory} | {s.paths} | {s.hops} | {s.stages} | {s.paper} |" for name, s in found]
    head = "| kernel | tiles in each PE | PEs whose words cross a router | hops of a message | steps | from |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def collective_table() -> str:
    """The built-in collectives: what each does, and how its demands grow with the line."""
    found = [each for each in collectives().values() if each.emit.__module__.startswith("meshc.kernels.")]
    rows = [
        f"| `{each.name}` | {each.meaning} | {s.memory} | {s.paths} | {s.hops} | {s.stages} | {s.paper} |"
        for each in found
        for s in [each.scaling]
    ]
    head = "| collective | what happens | data in each PE | messages in a router | hops of a message | stages | from |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def with_tables(page: str, tables: dict[str, Callable[[], str]]) -> str:
    """The text of a page with its tables brought up to date."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, table in tables.items():
        pattern = re.compile(rf"(<!-- begin: {name}\b[^\n]*-->\n).*?(<!-- end: {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"docs/{page} has no place for the table {name!r}")
        content = table()
        text = pattern.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    return text


def program_page() -> str:
    """The text of ``docs/program.md``."""
    return with_tables("program.md", {"instructions": instruction_table})


def targets_page() -> str:
    """The text of ``docs/targets.md``."""
    return with_tables("targets.md", {"keys": key_table, "presets": preset_table})


def kernels_page() -> str:
    """The text of ``docs/kernels.md``."""
    return with_tables(
        "kernels.md", {"kernels": kernel_table, "scaling": scaling_table, "collectives": collective_table}
    )
