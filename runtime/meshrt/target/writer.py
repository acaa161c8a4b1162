"""Writes a whole target as the text of a target file."""

from __future__ import annotations

import json

from meshrt.target.model import Rates, Target
from meshrt.target.schema import SECTIONS, Key


def target_to_toml(target: Target) -> str:
    """The text of a target file that reads back as the same target, sources included."""
    sources = dict(target.sources)
    lines = [f"name = {_string(target.name)}"]
    tables: list[str] = []
    for section in SECTIONS:
        numbers = [key for key in section.keys if key.kind != "rates"]
        lines += ["", f"# {section.title}"]
        lines += [_entry(key.name, getattr(target, key.name), sources.get(key.name, "")) for key in numbers]
        for key in section.keys:
            if key.kind == "rates":
                tables += ["", f"[{key.name}]", *_rates(key, getattr(target, key.name), sources)]
    return "\n".join(lines + tables) + "\n"


def _rates(key: Key, rates: Rates, sources: dict[str, str]) -> list[str]:
    return [_entry(dtype, rate, sources.get(f"{key.name}.{dtype}", "")) for dtype, rate in rates.items()]


def _entry(name: str, value: int | float, source: str) -> str:
    return f"{name} = {{ value = {value!r}, source = {_string(source or 'not given')} }}"


def _string(text: str) -> str:
    """A basic string of TOML; JSON's escapes are a subset of its."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
