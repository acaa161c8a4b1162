"""Pipelines: their text, and running them with the verifier between the passes.

The text names passes in order, each with its options: ``canonicalize,tile{width=8, height=8}``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lark import Token

from meshc.dialects.levels import LEVELS
from meshc.ir.core import Module
from meshc.ir.parser import read_attribute
from meshc.ir.printer import print_module
from meshc.ir.spec import Dialect
from meshc.ir.syntax import StepNode, parse_text
from meshc.ir.typed_values import convert, word_text
from meshc.ir.verifier import first_violation, verify, violation_error
from meshc.passes.base import Pass, PassContext
from meshc.passes.pass_options import given_options, options_of
from meshc.passes.registry import PassRegistry
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.diagnostics.suggest import did_you_mean

#: How diagnostics name a pipeline's text.
_FILE = "<pipeline>"


def parse_pipeline(text: str, passes: Mapping[str, type[Pass]] | None = None) -> tuple[Pass, ...]:
    """The passes that a pipeline text names, in order, with their options.

    ``passes`` are those to choose from, by default all that are registered. Raises M0660
    for text that is no pipeline, M0661 for an unknown pass and M0662 for an option that a
    pass does not take; each points into the text.
    """
    source = SourceText(text, _FILE)
    reader = _Reader(source, PassRegistry() if passes is None else passes)
    try:
        steps = parse_text(source, "pipeline")
    except MeshError as error:
        diagnostic = error.diagnostic
        helps = diagnostic.helps or ("a pipeline is written: first,second{option=value, other=[1, 2]}",)
        raise MeshError("M0660", diagnostic.message, place=diagnostic.place, helps=helps) from None
    return tuple(reader.step(step) for step in steps)


def pipeline_text(passes: Iterable[Pass]) -> str:
    """The text of a pipeline: ``parse_pipeline`` gives the same passes back. Defaults are left out."""
    return ",".join(pass_text(each) for each in passes)


def pass_text(instance: Pass) -> str:
    """One pass with its options."""
    given = ", ".join(f"{name}={word_text(value)}" for name, value in given_options(instance).items())
    return f"{instance.name}{{{given}}}" if given else instance.name


class _Reader:
    """Makes passes of the syntax nodes of one text."""

    def __init__(self, source: SourceText, passes: Mapping[str, type[Pass]]):
        self._source = source
        self._passes = passes

    def step(self, node: StepNode) -> Pass:
        name = str(node.token)
        if name not in self._passes:
            raise self._error(
                "M0661", f"there is no pass {name!r}", node.token, did_you_mean(name, self._passes, "passes")
            )
        cls = self._passes[name]
        known = options_of(cls)
        values = {}
        for entry in node.options:
            if entry.key not in known:
                takes = did_you_mean(entry.key, known, "options") or (f"{name} takes no options",)
                raise self._error("M0662", f"{name} has no option {entry.key!r}", entry.token, takes)
            if entry.key in values:
                raise self._error("M0662", f"{entry.key!r} is given twice", entry.token)
            try:
                values[entry.key] = convert(read_attribute(entry.value, self._source), known[entry.key].type)
            except ValueError as error:
                raise self._error("M0662", f"{entry.key} of {name} must be {error}", entry.token) from None
        return cls(**values)

    def _error(self, code: str, message: str, token: Token, helps: Sequence[str] = ()) -> MeshError:
        place = self._source.place(token.line or 0, token.column or 0)
        return MeshError(code, message, place=place, helps=helps)


@dataclass(frozen=True, slots=True)
class PassTiming:
    """What one pass took: seconds for itself and for the verifier after it, and how many operations it left."""

    name: str
    seconds: float
    verify_seconds: float
    operations: int


def run_pipeline(
    module: Module,
    passes: Sequence[Pass],
    context: PassContext | None = None,
    *,
    dump_dir: Path | None = None,
    done: int = 0,
    levels: Mapping[str, Dialect] = LEVELS,
    observe: Callable[[Pass, Module], None] | None = None,
) -> tuple[PassTiming, ...]:
    """Run passes on a module, which they change, and give back what each took.

    The verifier runs on the input and after each pass; ``observe`` then sees the pass and
    what it left. With ``dump_dir`` the IR is written there before the first pass and after
    each one, also the illegal IR of a guilty one: ``00-input.mir``, ``01-canonicalize.mir``.
    A caller that runs a pipeline in parts says with ``done`` how many passes ran before, so
    that the files go on counting. Raises M0210 to M0216 for illegal input, M0404 for a pass of
    another level, M0220 naming the pass that left illegal IR, and what the passes raise.
    """
    context = context if context is not None else PassContext()
    dump = _Dump(dump_dir)
    if not done:
        dump.write(module, 0, "input")
    verify(module, levels, "the input")
    timings: list[PassTiming] = []
    for number, each in enumerate(passes, start=done + 1):
        if each.level not in (None, module.level):
            raise MeshError(
                "M0404",
                f"the pass {each.name} works on the {each.level} level, and the IR is at the {module.level} level",
                helps=["`meshc passes` lists the passes with what each needs"],
            )
        started = time.perf_counter()
        each.run(module, context)
        ran = time.perf_counter()
        violation = first_violation(module, levels)
        verified = time.perf_counter()
        timings.append(PassTiming(each.name, ran - started, verified - ran, sum(1 for _ in module.walk())))
        if violation is None:
            dump.write(module, number, each.name)
        else:
            # What it left may have no text form; the diagnostic matters more than the file.
            with contextlib.suppress(MeshError):
                dump.write(module, number, each.name)
            raise _guilty(each, violation_error(module, violation, f"the IR after {each.name}"))
        if observe is not None:
            observe(each, module)
    return tuple(timings)


def timing_table(timings: Sequence[PassTiming]) -> str:
    """The timings as aligned text, one pass per line, the sum last."""
    rows = [(t.name, f"{t.seconds:.3f}", f"{t.verify_seconds:.3f}", str(t.operations)) for t in timings]
    total = (sum(t.seconds for t in timings), sum(t.verify_seconds for t in timings))
    rows.append(("total", f"{total[0]:.3f}", f"{total[1]:.3f}", ""))
    rows.insert(0, ("pass", "seconds", "verifier", "operations"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ("  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _guilty(each: Pass, error: MeshError) -> MeshError:
    """The verifier's diagnostic as that of the pass that caused it."""
    diagnostic = error.diagnostic
    return MeshError(
        "M0220",
        f"the pass {each.name} left IR that is not legal: {diagnostic.message}",
        place=diagnostic.place,
        notes=[*diagnostic.notes, f"the rule is {diagnostic.code}; the pass ran as {pass_text(each)}"],
        helps=diagnostic.helps,
    )


class _Dump:
    """Writes numbered IR files, or nothing where no folder was asked for."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, module: Module, number: int, name: str) -> None:
        if self._folder is not None:
            path = self._folder / f"{number:02}-{name}.mir"
            path.write_text(print_module(module), encoding="utf-8")
