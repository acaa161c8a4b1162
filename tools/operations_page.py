"""The reference page of the IR's operations, drawn from the tables of the three levels."""

from __future__ import annotations

from itertools import groupby

from meshc.dialects.levels import LEVELS
from meshc.ir.spec import AttributeSpec, Count, OpSpec

_HEAD = """\
# The operations of the IR

One row for each operation of each level: what the verifier asks for. How a text is written is in [ir.md](ir.md).
Attributes in *italics* may be left out.
"""

#: Longer lists of words are not written out.
_MOST_WORDS = 6


def operations_page() -> str:
    """The text of ``docs/operations.md``."""
    lines = [_HEAD]
    for level, dialect in LEVELS.items():
        lines.append(f"## Level `{level}`\n")
        lines.append("| operation | operands | results | attributes | meaning |")
        lines.append("|---|---|---|---|---|")
        for _, rows in groupby(dialect.ops.values(), _shape):
            lines.append(_row(list(rows)))
        lines.append("")
    return "\n".join(lines)


def _shape(spec: OpSpec) -> tuple[object, ...]:
    """What rows that stand together have in common: all but their names."""
    meaning = spec.meaning.replace(spec.name.partition(".")[2], "…") if "." in spec.name else spec.meaning
    return spec.operands, spec.results, spec.regions, spec.attributes, meaning


def _row(specs: list[OpSpec]) -> str:
    first = specs[0]
    names = ", ".join(f"`{spec.name}`" for spec in specs)
    meaning = first.meaning if len(specs) == 1 else str(_shape(first)[-1])
    if first.regions.most != 0:
        meaning += f" ({_count(first.regions)} region{'' if first.regions.most == 1 else 's'}"
        meaning += f", ending with `{first.ends_with}`)" if first.ends_with else ")"
    attributes = "<br>".join(map(_attribute, first.attributes))
    meaning = meaning.replace("|", "\\|").replace("*", "\\*")
    cells = (names, _count(first.operands), _count(first.results), attributes, meaning)
    return f"| {' | '.join(cells)} |"


def _attribute(spec: AttributeSpec) -> str:
    kind = " or ".join(spec.kinds) if not spec.words else " or ".join(spec.words)
    if len(spec.words) > _MOST_WORDS:
        kind = "a word"
    elif {"float", "int"} <= set(spec.kinds):
        kind = "number"
    return f"`{spec.name}`: {kind}" if spec.required else f"*`{spec.name}`: {kind}*"


def _count(count: Count) -> str:
    return {(0, 0): "", (0, None): "any"}.get((count.least, count.most), str(count))
