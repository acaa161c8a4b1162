"""The IR core: SSA values, operations with regions and attributes, source locations.

One core serves the three levels (graph, tile, mesh); what differs is the dialect, that
is, which operations and attributes are legal (see :mod:`meshc.ir.verifier` and
:mod:`meshc.dialects`). The text form is read and written by :mod:`meshc.ir.parser` and
:mod:`meshc.ir.printer`, and ``parse(print(module))`` equals the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshrt.diagnostics import Place


@dataclass(frozen=True, slots=True)
class Location:
    """Where an operation comes from: the user's source line, and the module path that ran it.

    ``file`` is relative to its package (``transformers/models/llama/modeling_llama.py``).
    """

    file: str = ""
    line: int = 0
    scope: str = ""

    def __bool__(self) -> bool:
        return bool(self.file or self.scope)

    @property
    def place(self) -> Place | None:
        """Where a diagnostic points: None where no file is known."""
        return Place(self.file, self.line) if self.file else None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else ""
        return f"{place} ({self.scope})" if place and self.scope else place or self.scope


UNKNOWN = Location()


@dataclass(frozen=True, slots=True)
class Type:
    """Base of all value types; dialects derive from it."""


@dataclass(frozen=True, slots=True)
class TensorType(Type):
    """A whole tensor: extents and dtype (``f32 f16 bf16 i32 i64 i1``), as ``tensor<1x64x576xf32>``."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def rank(self) -> int:
        return len(self.shape)


class Value:
    """An SSA value: one definition (an operation's result or a block's argument), any number of uses.

    ``name`` is a hint for the printer, which makes names unique.
    """

    __slots__ = ("type", "name", "owner", "index")

    def __init__(self, type: Type, name: str = "", owner: Operation | Block | None = None, index: int = 0):
        self.type = type
        self.name = name
        self.owner = owner
        self.index = index

    @property
    def op(self) -> Operation | None:
        """The operation that defines it, or None for a block argument."""
        return self.owner if isinstance(self.owner, Operation) else None

    def __repr__(self) -> str:
        return f"<Value %{self.name or '?'}: {self.type}>"


#: Attribute values: None, bool, int, float, str, Type, index expressions, program views, tuples and dicts of these.
Attribute = Any


class Operation:
    """One operation: ``results = name(operands) {attributes} (regions) loc(location)``."""

    __slots__ = ("name", "operands", "results", "attributes", "regions", "location", "parent")

    def __init__(
        self,
        name: str,
        operands: Sequence[Value] = (),
        result_types: Sequence[Type] = (),
        attributes: Mapping[str, Attribute] | None = None,
        regions: Sequence[Block] = (),
        location: Location = UNKNOWN,
        result_names: Sequence[str] = (),
    ):
        self.name = name
        self.operands: list[Value] = list(operands)
        names = list(result_names) + [""] * (len(result_types) - len(result_names))
        self.results = [Value(t, n, self, i) for i, (t, n) in enumerate(zip(result_types, names, strict=True))]
        self.attributes: dict[str, Attribute] = dict(attributes or {})
        self.regions: list[Block] = list(regions)
        for block in self.regions:
            block.parent = self
        self.location = location
        self.parent: Block | None = None

    @property
    def result(self) -> Value:
        """The only result. Raises ValueError where there is none or more than one."""
        (only,) = self.results
        return only

    @property
    def dialect(self) -> str:
        """The part of the name before the first dot."""
        return self.name.partition(".")[0]

    def walk(self) -> Iterator[Operation]:
        """This operation and every one inside its regions, in text order."""
        yield self
        for block in self.regions:
            for op in list(block.ops):
                yield from op.walk()

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"


class Block:
    """A region's single block: arguments and operations in order."""

    __slots__ = ("args", "ops", "parent")

    def __init__(self, arg_types: Sequence[Type] = (), arg_names: Sequence[str] = ()):
        names = list(arg_names) + [""] * (len(arg_types) - len(arg_names))
        self.args = [Value(t, n, self, i) for i, (t, n) in enumerate(zip(arg_types, names, strict=True))]
        self.ops: list[Operation] = []
        self.parent: Operation | None = None

    def append(self, op: Operation) -> Operation:
        """Add an operation at the end."""
        op.parent = self
        self.ops.append(op)
        return op

    def insert_before(self, anchor: Operation, op: Operation) -> Operation:
        """Add an operation before another of this block."""
        op.parent = self
        self.ops.insert(self._index(anchor), op)
        return op

    def erase(self, op: Operation) -> None:
        """Remove an operation; its results must have no uses left."""
        del self.ops[self._index(op)]
        op.parent = None

    def _index(self, op: Operation) -> int:
        for i, candidate in enumerate(self.ops):
            if candidate is op:
                return i
        raise ValueError(f"{op!r} is not in this block")


@dataclass(slots=True)
class Module:
    """A whole IR text: its level (``graph``, ``tile`` or ``mesh``), attributes and top-level operations.

    At the graph and tile levels ``body`` holds one ``func`` operation per phase; module
    attributes carry what belongs to the whole model (weight names are operations).
    """

    level: str
    body: Block = field(default_factory=Block)
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def walk(self) -> Iterator[Operation]:
        for op in list(self.body.ops):
            yield from op.walk()


class Builder:
    """Appends operations to a block with one current location."""

    def __init__(self, block: Block, location: Location = UNKNOWN):
        self.block = block
        self.location = location
        self._before: Operation | None = None

    @classmethod
    def before(cls, anchor: Operation) -> Builder:
        """A builder that inserts before an operation and takes over its location."""
        assert anchor.parent is not None
        builder = cls(anchor.parent, anchor.location)
        builder._before = anchor
        return builder

    def create(
        self,
        name: str,
        operands: Sequence[Value] = (),
        result_types: Sequence[Type] = (),
        attributes: Mapping[str, Attribute] | None = None,
        regions: Sequence[Block] = (),
        result_names: Sequence[str] = (),
    ) -> Operation:
        """Build an operation and insert it."""
        op = Operation(name, operands, result_types, attributes, regions, self.location, result_names)
        if self._before is not None:
            return self.block.insert_before(self._before, op)
        return self.block.append(op)


def uses(module_or_block: Module | Block) -> dict[Value, list[tuple[Operation, int]]]:
    """Every use of every value: value -> [(user, operand index)], in text order."""
    block = module_or_block.body if isinstance(module_or_block, Module) else module_or_block
    found: dict[Value, list[tuple[Operation, int]]] = {}
    for top in block.ops:
        for op in top.walk():
            for i, operand in enumerate(op.operands):
                found.setdefault(operand, []).append((op, i))
    return found


def replace_uses(module_or_block: Module | Block, replacements: Mapping[Value, Value]) -> None:
    """Replace values everywhere they are used (chains of replacements are followed)."""
    block = module_or_block.body if isinstance(module_or_block, Module) else module_or_block

    def resolve(value: Value) -> Value:
        while value in replacements:
            value = replacements[value]
        return value

    for top in block.ops:
        for op in top.walk():
            op.operands = [resolve(v) for v in op.operands]


def erase_dead(module: Module, has_side_effects: Callable[[Operation], bool]) -> None:
    """Remove operations whose results nobody uses, until none is left."""
    while True:
        used = uses(module)
        dead = [
            op
            for op in module.walk()
            if op.parent is not None
            and op.results
            and not has_side_effects(op)
            and not any(r in used for r in op.results)
        ]
        if not dead:
            return
        for op in dead:
            assert op.parent is not None
            op.parent.erase(op)
