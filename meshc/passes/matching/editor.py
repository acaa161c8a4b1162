"""Editing a block in time linear in its size: uses are kept up to date, insertions and removals applied at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshc.ir.core import Attribute, Block, Location, Module, Operation, TensorType, Value


class Editor:
    """Rewrites the operations of one block (regions inside it are left alone, but their uses are seen).

    New operations go before an anchor and are seen at once through use-def chains; the block's list of
    operations changes only at :meth:`commit`. An operation that loses its last use is removed, and so are
    those that only it used.
    """

    def __init__(self, block: Block):
        self.block = block
        self._users: dict[Value, dict[Operation, None]] = {}
        self._pending: dict[Operation, list[Operation]] = {}
        self._dead: set[Operation] = set()
        for op in block.ops:
            self._note_uses(op)

    def ops(self) -> Iterator[Operation]:
        """The block's operations in order, without those removed or added since the last commit."""
        for op in list(self.block.ops):
            if op not in self._dead:
                yield op

    def users(self, value: Value) -> list[Operation]:
        """The operations that use a value (each once), in no particular order but always the same."""
        return list(self._users.get(value, ()))

    def only_user(self, value: Value) -> Operation | None:
        """The operation that uses a value, where there is exactly one."""
        users = self._users.get(value, {})
        return next(iter(users)) if len(users) == 1 else None

    def insert(
        self,
        anchor: Operation,
        name: str,
        operands: Sequence[Value],
        shape: Sequence[int],
        dtype: str = "f32",
        /,
        *,
        location: Location | None = None,
        **attributes: Attribute,
    ) -> Value:
        """Add ``graph.<name>`` with one result before the anchor, whose location it takes unless given."""
        op = Operation(
            f"graph.{name}",
            operands,
            [TensorType(tuple(shape), dtype)],
            attributes,
            location=anchor.location if location is None else location,
        )
        op.parent = self.block
        self._pending.setdefault(anchor, []).append(op)
        self._note_uses(op)
        return op.result

    def move(
        self, anchor: Operation, name: str, value: Value, shape: tuple[int, ...], dims: tuple[int, ...] | None = None
    ) -> Value:
        """Add a reshape or expand to ``shape``, or a permute by ``dims`` that gives it."""
        if dims is not None:
            return self.insert(anchor, name, [value], shape, dtype_of(value), dims=dims)
        return self.insert(anchor, name, [value], shape, dtype_of(value), shape=shape)

    def replace(self, old: Value, new: Value) -> None:
        """Let every user of ``old`` use ``new``; what is no longer used goes."""
        if old is new:
            return
        users = self._users.pop(old, {})
        for user in users:
            _substitute(user, old, new)
            self._users.setdefault(new, {})[user] = None
        if isinstance(old.owner, Operation):
            self.drop_if_unused(old.owner)

    def set_operands(self, op: Operation, operands: Sequence[Value]) -> None:
        """Give an operation other operands."""
        before = list(op.operands)
        op.operands = list(operands)
        self._note_uses(op)
        for value in before:
            if value not in op.operands:
                self._forget(value, op)

    def commit(self) -> None:
        """Write the changes into the block."""
        ordered: list[Operation] = []
        for op in self.block.ops:
            stack = [(op, False)]
            while stack:
                current, expanded = stack.pop()
                if expanded:
                    if current in self._dead:
                        current.parent = None
                    else:
                        ordered.append(current)
                    continue
                stack.append((current, True))
                stack += [(added, False) for added in reversed(self._pending.pop(current, []))]
        self.block.ops = ordered
        self._dead.clear()

    def _note_uses(self, op: Operation) -> None:
        for inner in op.walk():
            for value in inner.operands:
                self._users.setdefault(value, {})[op] = None

    def _forget(self, value: Value, user: Operation) -> None:
        users = self._users.get(value)
        if users is not None:
            users.pop(user, None)
        if isinstance(value.owner, Operation):
            self.drop_if_unused(value.owner)

    def drop_if_unused(self, op: Operation) -> None:
        """Remove an operation whose results nobody uses, and what only it used."""
        stack = [op]
        while stack:
            current = stack.pop()
            if current in self._dead or not current.results or current.parent is not self.block:
                continue
            if any(self._users.get(result) for result in current.results):
                continue
            self._dead.add(current)
            for inner in current.walk():
                for value in inner.operands:
                    users = self._users.get(value)
                    if users is not None and current in users:
                        del users[current]
                    if isinstance(value.owner, Operation):
                        stack.append(value.owner)


def _substitute(user: Operation, old: Value, new: Value) -> None:
    for op in user.walk():
        op.operands = [new if value is old else value for value in op.operands]


def blocks(module: Module) -> Iterator[Block]:
    """The bodies of a module's functions and of the loops inside them, outer before inner."""
    for op in module.walk():
        yield from op.regions


def drop_unused(editor: Editor) -> None:
    """Remove operations whose results nobody uses."""
    for op in reversed(list(editor.ops())):
        editor.drop_if_unused(op)


def made_by(value: Value, *names: str) -> Operation | None:
    """The operation that defines a value, where it is ``graph.<one of names>``."""
    op = value.op
    return op if op is not None and op.name.removeprefix("graph.") in names else None


def shape_of(value: Value) -> tuple[int, ...]:
    """A tensor value's extents."""
    assert isinstance(value.type, TensorType), value
    return value.type.shape


def dtype_of(value: Value) -> str:
    """A tensor value's dtype."""
    assert isinstance(value.type, TensorType), value
    return value.type.dtype
