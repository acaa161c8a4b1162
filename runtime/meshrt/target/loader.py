"""Reads targets: presets by name, plug-in targets by entry point, and files by path.

A target file is TOML. Every number is ``key = { value = .., source = ".." }``; a table of
rates has one such entry per dtype. A key that is unknown, missing, of the wrong type or
out of range is an error (M0611 to M0615) that names the key and, where it can, the line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshrt.diagnostics import MeshError, Place
from meshrt.diagnostics.source_text import SourceText
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.entry_points import entry_points, load
from meshrt.target.model import Rates, Target
from meshrt.target.schema import KEYS, Key

ENTRY_POINT_GROUP = "meshc.targets"
_PRESETS = Path(__file__).resolve().parent / "presets"


def available_targets() -> dict[str, Path]:
    """The files of the targets that a name finds, by name.

    Presets and plug-ins register alike, in the entry point group ``meshc.targets``: a
    function without arguments that returns the path of its target file. The presets are
    found even where the package lies without its metadata.
    """
    found = {path.stem: path for path in sorted(_PRESETS.glob("*.toml"))}
    found |= {name: Path(load(entry)()) for name, entry in entry_points(ENTRY_POINT_GROUP).items()}
    return dict(sorted(found.items()))


def load_target(name_or_path: str | Path) -> Target:
    """The target of a preset's name (``wse2``), a plug-in's name or the path of a TOML file.

    A name that ends in ``.toml`` or holds a path separator is a path. Raises M0610 where
    there is no such target, and what :func:`parse_target` raises.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or "\\" in text:
        path = Path(name_or_path)
        shown = text
    else:
        known = available_targets()
        if text not in known:
            raise MeshError(
                "M0610",
                f"there is no target {text!r}",
                notes=[f"targets: {', '.join(sorted(known))}"],
                helps=[*did_you_mean(text, known, "targets"), "a path to a target file must end in .toml"],
            )
        path, shown = known[text], known[text].name
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MeshError("M0610", f"cannot read the target file {shown!r}: {reason}") from error
    return parse_target(content, shown)


def parse_target(text: str, file: str = "target.toml") -> Target:
    """Read the text of a target file; see the module for its form and the errors."""
    source = SourceText(text, file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MeshError(
            "M0611", f"the target file is not TOML: {_sentence(error)}", place=_toml_place(source, error)
        ) from error
    return _Reader(source).target(data)


class _Reader:
    """Turns the decoded file into a target; ``source`` gives the places of errors."""

    def __init__(self, source: SourceText):
        self.source = source
        self.sources: list[tuple[str, str]] = []

    def target(self, data: Mapping[str, Any]) -> Target:
        for key in data:
            if key not in KEYS and key != "name":
                raise self.error("M0612", f"a target has no key {key!r}", key, did_you_mean(key, [*KEYS, "name"]))
        name = data.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise self.error(
                "M0614" if "name" in data else "M0613",
                "the target needs a name of letters, digits, '-', '_' and '.'",
                "name" if "name" in data else "",
                ('write: name = "mine"',),
            )
        missing = [key for key in KEYS if key not in data]
        if missing:
            raise self.error(
                "M0613",
                f"the target {name!r} lacks {_list(missing)}",
                "",
                (
                    f"{missing[0]}: {KEYS[missing[0]].meaning}",
                    "meshc targets wse2 --toml prints a whole target to start from",
                ),
            )
        values: dict[str, Any] = {key.name: self.value(key, data[key.name]) for key in KEYS.values()}
        target = Target(name=name, **values, sources=tuple(self.sources))
        if target.host_colors >= target.colors:
            raise self.error("M0614", "host_colors must be less than colors", "host_colors")
        if target.runtime_bytes >= target.sram_bytes:
            raise self.error("M0614", "runtime_bytes must be less than sram_bytes", "runtime_bytes")
        return target

    def value(self, key: Key, entry: Any) -> float | Rates:
        if key.kind != "rates":
            return self.number(key, key.name, entry, int if key.kind == "count" else float)
        if not isinstance(entry, dict):
            raise self.error("M0614", f"{key.name} must be a table with {_list(key.dtypes)}", key.name)
        for dtype in entry:
            if dtype not in key.dtypes:
                raise self.error("M0612", f"{key.name} has no dtype {dtype!r}", dtype, did_you_mean(dtype, key.dtypes))
        missing = [dtype for dtype in key.dtypes if dtype not in entry]
        if missing:
            raise self.error("M0613", f"{key.name} lacks {_list(missing)}", key.name, (key.meaning,))
        return Rates(
            tuple((dtype, float(self.number(key, f"{key.name}.{dtype}", entry[dtype], float))) for dtype in key.dtypes)
        )

    def number(self, key: Key, name: str, entry: Any, kind: type) -> Any:
        word = name.rpartition(".")[2]
        example = f'{word} = {{ value = {"1" if kind is int else "1.0"}, source = "where it comes from" }}'
        if not isinstance(entry, dict) or "value" not in entry:
            raise self.error("M0614", f"{name} needs a value and a source", word, (f"write: {example}",))
        for part in entry:
            if part not in ("value", "source"):
                raise self.error("M0612", f"{name} has no key {part!r}", word, did_you_mean(part, ("value", "source")))
        value, source = entry["value"], entry.get("source")
        if not isinstance(source, str) or not source.strip():
            raise self.error("M0615", f"{name} does not say where its value comes from", word, (f"write: {example}",))
        allowed = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            wanted = "an integer" if kind is int else "a number"
            raise self.error("M0614", f"{name} must be {wanted}, not {value!r}", word)
        in_range = value >= key.least if kind is int else 0 < value < float("inf")
        if not in_range:
            wanted = f"at least {key.least:g}" if kind is int else "finite and greater than 0"
            raise self.error("M0614", f"{name} must be {wanted}, not {value!r}", word)
        self.sources.append((name, source.strip()))
        return kind(value)

    def error(self, code: str, message: str, word: str, helps: tuple[str, ...] = ()) -> MeshError:
        """A diagnostic at the line where ``word`` is defined (the file as a whole when it is in none)."""
        pattern = re.compile(rf"(?:^|[\[.{{,]\s*|^\s*){re.escape(word)}(?=\s*[=\].])") if word else None
        for number, line in enumerate(self.source.lines, start=1):
            match = pattern.search(line) if pattern else None
            if match:
                column = match.end() - len(word) + 1
                return MeshError(code, message, place=self.source.place(number, column), helps=helps)
        return MeshError(code, message, place=Place(self.source.file), helps=helps)


def _list(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _sentence(error: Exception) -> str:
    return re.sub(r" \(at .*\)$", "", str(error))[:200].replace("\n", " ")


def _toml_place(source: SourceText, error: Exception) -> Place:
    at = re.search(r"line (\d+), column (\d+)", str(error))
    return source.place(int(at[1]), int(at[2])) if at else Place(source.file)
