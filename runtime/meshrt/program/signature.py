"""How instructions are written, from the instruction table."""

from __future__ import annotations

from meshrt.program.instructions import InstructionSpec

_PLACEHOLDERS = {"expr": "<expr>", "number": "<number>", "handle": "<handle>", "port": "<port>", "ports": "[<ports>]"}


def signature(spec: InstructionSpec) -> str:
    """The form of an instruction: operands, options, and behind them in brackets what may be left out."""
    required = [name for name, _ in spec.operands]
    optional = []
    for option in spec.options:
        value = "|".join(option.words) or _PLACEHOLDERS.get(option.kind, f"<{option.kind}>")
        (required if option.required else optional).append(f"{option.name}={value}")
    text = f"{spec.opcode} {', '.join(required)}".rstrip()
    return text + "".join(f" [, {option}]" for option in optional)
