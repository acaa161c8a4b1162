"""The verifier: is the structure sound, and is every operation legal at its level?

Structure: each operation and value stands in one place, every operand is defined before
its use in the same region or around it. Legality: the row of each operation in its level's
table (:mod:`meshc.ir.spec`). A failure is shown inside the printed IR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshc.ir.attributes import kind_of
from meshc.ir.core import Block, Module, Operation, Type, Value
from meshc.ir.printer import module_lines
from meshc.ir.spec import AttributeSpec, Count, Dialect, OpSpec
from meshrt.diagnostics import MeshError, Place
from meshrt.diagnostics.suggest import did_you_mean

#: How many lines of the IR are shown on each side of the guilty one.
_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a module is not legal: the diagnostic's code and message, and the operation to blame."""

    code: str
    message: str
    op: Operation | None = None
    helps: tuple[str, ...] = ()


def verify(module: Module, dialects: Mapping[str, Dialect], title: str = "") -> None:
    """Raise M0210 to M0216 where the module is not legal at its level.

    ``title`` says in the diagnostic which IR this is (``after canonicalize``, say).
    """
    violation = first_violation(module, dialects)
    if violation is not None:
        raise violation_error(module, violation, title)


def violation_error(module: Module, violation: Violation, title: str = "") -> MeshError:
    """The diagnostic of a violation: its line of the printed IR, the lines around it, where it comes from."""
    name = title or f"the {module.level} IR"
    try:
        lines = list(module_lines(module)) if violation.op is not None else []
    except MeshError:
        # Something else in the module has no text form: the message has to do without the lines around.
        lines = []
    at = next((i for i, line in enumerate(lines) if line.op is violation.op), None)
    if at is None:
        return MeshError(violation.code, violation.message, place=Place(name), helps=violation.helps)
    text = lines[at].text
    column = len(text) - len(text.lstrip()) + 1
    around = range(max(0, at - _CONTEXT), min(len(lines), at + _CONTEXT + 1))
    excerpt = [f"{'>' if i == at else ' '} {i + 1:4} | {lines[i].text}".rstrip() for i in around]
    notes = ["in the IR\n" + "\n".join(f"  {line}" for line in excerpt)]
    if violation.op is not None and violation.op.location:
        notes.append(f"it comes from {violation.op.location}")
    return MeshError(
        violation.code,
        violation.message,
        place=Place(name, at + 1, column, text),
        notes=notes,
        helps=violation.helps,
    )


def first_violation(module: Module, dialects: Mapping[str, Dialect]) -> Violation | None:
    """The first violation in text order, or None where the module is legal."""
    dialect = dialects.get(module.level)
    if dialect is None:
        return Violation(
            "M0216", f"unknown level {module.level!r}", helps=did_you_mean(module.level, dialects, "levels")
        )
    return _Verifier(dialect).module(module)


class _IllegalError(Exception):
    """Carries the first violation out of the walk."""

    def __init__(self, violation: Violation):
        super().__init__(violation.message)
        self.violation = violation


class _Verifier:
    """Walks a module once, in text order."""

    def __init__(self, dialect: Dialect):
        self._dialect = dialect
        self._seen_ops: set[Operation] = set()
        self._visible: set[Value] = set()
        self._defined: set[Value] = set()

    def module(self, module: Module) -> Violation | None:
        try:
            self._attribute_values(module.attributes, None)
            self._block(module.body, None, None)
        except _IllegalError as found:
            return found.violation
        return None

    def _block(self, block: Block, owner: Operation | None, spec: OpSpec | None) -> None:
        if block.parent is not owner:
            raise self._illegal("M0210", "a region does not know the operation that it belongs to", owner)
        added = [self._define(value, block, i, owner) for i, value in enumerate(block.args)]
        for i, op in enumerate(block.ops):
            if op in self._seen_ops:
                raise self._illegal("M0210", f"{op.name} stands in two places", op)
            self._seen_ops.add(op)
            if op.parent is not block:
                raise self._illegal("M0210", f"{op.name} does not know the region that it stands in", op)
            added += self._operation(op, is_last=i == len(block.ops) - 1, inside=owner)
        if spec is not None and spec.ends_with and (not block.ops or block.ops[-1].name != spec.ends_with):
            raise self._illegal("M0215", f"a region of {spec.name} must end with {spec.ends_with}", owner)
        self._visible.difference_update(added)

    def _operation(self, op: Operation, *, is_last: bool, inside: Operation | None) -> list[Value]:
        for value in op.operands:
            if value not in self._visible:
                raise self._illegal("M0210", f"%{value.name or '?'} is used where it is not defined", op)
        spec = self._legal(op)
        self._place(op, spec, is_last=is_last, inside=inside)
        self._counts(op, spec)
        self._attributes(op, spec)
        for block in op.regions:
            self._block(block, op, spec)
        if spec.check is not None and (reason := spec.check(op)) is not None:
            raise self._illegal("M0214", f"{op.name}: {reason}", op)
        return [self._define(value, op, i, op) for i, value in enumerate(op.results)]

    def _define(self, value: Value, owner: Operation | Block, index: int, shown: Operation | None) -> Value:
        if value in self._defined:
            raise self._illegal("M0210", f"%{value.name or '?'} is defined in two places", shown)
        if value.owner is not owner or value.index != index:
            raise self._illegal("M0210", f"%{value.name or '?'} does not know where it is defined", shown)
        if not isinstance(value.type, Type):
            raise self._illegal("M0210", f"%{value.name or '?'} has no type", shown)
        self._defined.add(value)
        self._visible.add(value)
        return value

    def _legal(self, op: Operation) -> OpSpec:
        spec = self._dialect.ops.get(op.name)
        if spec is None:
            raise self._illegal(
                "M0211",
                f"{op.name} is no operation of the {self._dialect.level} level",
                op,
                did_you_mean(op.name, self._dialect.ops),
            )
        return spec

    def _place(self, op: Operation, spec: OpSpec, *, is_last: bool, inside: Operation | None) -> None:
        if spec.top_level and inside is not None:
            raise self._illegal("M0215", f"{op.name} stands at the top level, not inside {inside.name}", op)
        if not spec.terminator:
            return
        if not is_last:
            raise self._illegal("M0215", f"{op.name} ends a region, but more operations follow", op)
        outer = self._dialect.ops[inside.name].ends_with if inside is not None else ""
        if outer != op.name:
            where = f"a region of {inside.name}" if inside is not None else "the top level"
            raise self._illegal("M0215", f"{op.name} does not end {where}" + (f", {outer} does" if outer else ""), op)

    def _counts(self, op: Operation, spec: OpSpec) -> None:
        for verb, thing, allowed, number in (
            ("takes", "operand", spec.operands, len(op.operands)),
            ("gives", "result", spec.results, len(op.results)),
            ("has", "region", spec.regions, len(op.regions)),
        ):
            if number not in allowed:
                raise self._illegal("M0212", f"{op.name} {verb} {_things(allowed, thing)}, not {number}", op)

    def _attributes(self, op: Operation, spec: OpSpec) -> None:
        self._attribute_values(op.attributes, op)
        for name, value in op.attributes.items():
            row = spec.attribute(name)
            if row is None and not spec.more_attributes:
                known = [each.name for each in spec.attributes]
                raise self._illegal(
                    "M0213", f"{op.name} has no attribute {name!r}", op, did_you_mean(name, known, "attributes")
                )
            if row is not None and (reason := _wrong_value(row, value)) is not None:
                raise self._illegal("M0213", f"{op.name}: {reason}", op)
        for row in spec.attributes:
            if row.required and row.name not in op.attributes:
                raise self._illegal("M0213", f"{op.name} lacks the attribute {row.name!r}", op, (f"it is {row}",))

    def _attribute_values(self, values: Mapping[str, object], op: Operation | None) -> None:
        for name, value in values.items():
            if (unknown := _no_attribute(value)) is not None:
                # The text cannot show it: the operation's attribute is named instead of its line.
                where = f"the attribute {name!r} of {op.name}" if op is not None else f"the module's attribute {name!r}"
                raise self._illegal("M0208", f"{where} holds a value of class {unknown}", None)

    def _illegal(self, code: str, message: str, op: Operation | None, helps: tuple[str, ...] = ()) -> _IllegalError:
        return _IllegalError(Violation(code, message, op, helps))


def _no_attribute(value: object) -> str | None:
    """The class of the first value, in depth, that is no attribute value."""
    match kind_of(value), value:
        case None, _:
            return value.__class__.__name__
        case "list", (tuple() | list()) as items:
            return next((name for item in items if (name := _no_attribute(item)) is not None), None)
        case "dict", Mapping() as entries:
            inner = (
                key.__class__.__name__ if not isinstance(key, str) else _no_attribute(item)
                for key, item in entries.items()
            )
            return next((name for name in inner if name is not None), None)
    return None


def _wrong_value(row: AttributeSpec, value: object) -> str | None:
    kind = kind_of(value)
    if kind not in row.kinds:
        return f"{row.name} must be {' or '.join(row.kinds)}, not {kind}"
    if row.words and kind == "string" and value not in row.words:
        return f"{row.name} must be one of {', '.join(row.words)}, not {value}"
    return None


def _things(allowed: Count, thing: str) -> str:
    plural = "" if (allowed.least, allowed.most) == (1, 1) else "s"
    return f"{'no' if allowed.most == 0 else allowed} {thing}{plural}"
