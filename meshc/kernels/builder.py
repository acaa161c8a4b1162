"""Builds mesh-level IR: the one place where kernels create buffers, streams and instructions.

A kernel never sees an address or a color. It asks for buffers and for streams by name
and appends instructions; later passes plan memory and allocate colors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass

from meshc.ir.core import Block, Location, Operation
from meshrt.program.expr import Expr, ExprLike, Int, Name, as_expr
from meshrt.program.model import Dim, Rect, View

#: Names of the element indices of placements, from the first dimension on.
ELEMENT_NAMES = ("i", "j", "k", "n")
#: Names that mean something else in expressions: coordinates, element indices, numbers.
_TAKEN = re.compile(r"[xyeijkn]|i[0-9]+|inf|nan")


@dataclass(frozen=True, slots=True)
class MeshBuffer:
    """A handle to a buffer of the region: name, dtype and shape (elements)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def whole(self) -> View:
        """The whole buffer in its own shape."""
        return View(self.name)

    def at(self, offset: ExprLike, *dims: ExprLike | tuple[ExprLike, ExprLike]) -> View:
        """A view from ``offset`` (elements); a dimension without a stride is row-major over those after it."""
        built: list[Dim] = []
        step: Expr = Int(1)
        for dim in reversed(dims):
            extent, stride = dim if isinstance(dim, tuple) else (dim, step)
            built.insert(0, Dim(as_expr(extent), as_expr(stride)))
            step = as_expr(extent) * as_expr(stride)
        return View(self.name, as_expr(offset), tuple(built))


def rect_attribute(rect: Rect) -> tuple[int, ...]:
    """A rectangle as an attribute: [x0, x1, y0, y1, xs, ys]."""
    return rect.x0, rect.x1, rect.y0, rect.y1, rect.xs, rect.ys


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """One configuration of a stream: in the routers of ``rect``, from one port to others."""

    rect: Rect
    source: str
    destinations: tuple[str, ...]


class MeshBuilder:
    """Appends to one region of a mesh-level module."""

    def __init__(self, region: Operation, width: int, height: int):
        self.width = width
        self.height = height
        self.region = region
        self.everywhere = Rect(0, width, 0, height)
        #: The side of PE (0, 0) at which the host comes in: in the west there may be another region.
        self.inlet = "N" if region.attributes["origin"][0] else "W"
        self._declarations = region.regions[0]
        self._code = Operation(
            "mesh.code", attributes={"rect": rect_attribute(self.everywhere), "name": "main"}, regions=[Block()]
        )
        self._block = self._code.regions[0]
        self._before = Block()
        self._buffers: set[str] = set()
        self._streams: set[str] = set()
        # Names of index expressions: parameters by value, scalars (None), and counters of open and closed loops.
        self._expressions: dict[str, Expr | None] = {}
        self._tables: dict[str, tuple[int, ...]] = {}
        self._counters: list[str] = []
        self._closed_counters: set[str] = set()
        self._answered: Operation | None = None
        self.location = Location()

    # ---- declarations -------------------------------------------------------------

    def _declare(self, opcode: str, **attributes: object) -> Operation:
        return self._declarations.append(Operation(f"mesh.{opcode}", attributes=attributes))

    def buffer(self, hint: str, dtype: str, *shape: int, kept: bool = False) -> MeshBuffer:
        """A buffer in every PE of the region, named after the hint.

        SRAM is planned later from its uses; what is ``kept`` has its place from the beginning to the end.
        """
        buffer = MeshBuffer(_fresh(hint, self._buffers), dtype, shape)
        self._buffers.add(buffer.name)
        keep = {"kept": True} if kept else {}
        self._declare(
            "buffer", rect=rect_attribute(self.everywhere), name=buffer.name, dtype=dtype, shape=shape, **keep
        )
        return buffer

    def place(
        self,
        buffer: MeshBuffer,
        ranges: Sequence[tuple[str, int, int]],
        tensor: str,
        indices: Sequence[ExprLike],
    ) -> None:
        """What lies in the buffer before the run; see :class:`meshrt.program.model.Placement`."""
        self._declare(
            "place",
            rect=rect_attribute(self.everywhere),
            buffer=buffer.name,
            ranges=tuple(tuple(r) for r in ranges),
            tensor=tensor,
            indices=tuple(as_expr(i) for i in indices),
        )

    def param(self, name: str, value: ExprLike) -> Expr:
        """A per-PE integer of about that name; the same name and value asked for again are the same one."""
        value = as_expr(value)
        if isinstance(value, Int | Name):
            return value
        others = {n for n, known in self._expressions.items() if known != value}
        name = _fresh(name, others.union(self._counters, self._closed_counters))
        if name not in self._expressions:
            self._expressions[name] = value
            self._declare("param", rect=rect_attribute(self.everywhere), name=name, value=value)
        return Name(name)

    def table(self, name: str, entries: Sequence[int]) -> str:
        """The name of a table of integers, about that one; the same entries asked for again are the same table."""
        wanted = tuple(entries)
        name = _fresh(name, {n for n, known in self._tables.items() if known != wanted})
        if name not in self._tables:
            self._tables[name] = wanted
            self._declare("table", name=name, entries=wanted)
        return name

    def scalar(self, name: str, low: int, high: int) -> Expr:
        """A runtime scalar, declared once per name."""
        if name not in self._expressions:
            self._expressions[name] = None
            self._declare("scalar", name=name, low=low, high=high)
        return Name(name)

    def stream(self, name: str, routes: Sequence[StreamRoute], across: bool = False) -> Expr:
        """A stream (one color once allocated) with its static routes; declared once per name.

        Streams of one name that go ``across`` the borders of regions are one stream.
        """
        if name not in self._streams:
            self._streams.add(name)
            crossing = {"across": True} if across else {}
            listed = tuple((rect_attribute(r.rect), r.source, r.destinations) for r in routes)
            self._declare("stream", name=name, routes=listed, **crossing)
        return Name(f"@{name}")

    def port(self, name: str, direction: str, **attributes: object) -> None:
        """A host port; attributes as in :class:`meshrt.program.model.Port`, the color as a stream."""
        rect = attributes.pop("rect")
        assert isinstance(rect, Rect)
        self._declare("port", name=name, direction=direction, rect=rect_attribute(rect), **attributes)

    # ---- code ---------------------------------------------------------------------

    def emit(self, opcode: str, *args: MeshBuffer | View | float, **options: object) -> None:
        """Append an instruction; a buffer stands for the whole of it, ``async_``/``in_`` for the keywords."""
        views = tuple(a.whole if isinstance(a, MeshBuffer) else a for a in args)
        attributes: dict[str, object] = {"args": views}
        for key, value in options.items():
            if value is None:
                continue
            attributes[key.rstrip("_")] = as_expr(value) if isinstance(value, int) else value
        self._block.append(Operation(f"mesh.{opcode}", attributes=attributes, location=self.location))

    @contextmanager
    def _inside(self, block: Block) -> Iterator[None]:
        outer, self._block = self._block, block
        yield
        self._block = outer

    @contextmanager
    def loop(self, hint: str, stop: ExprLike, start: ExprLike = 0, until: MeshBuffer | None = None) -> Iterator[Name]:
        """``for counter in start..stop``; yields the counter, whose name is the hint where that is free.

        The loop also ends after a round in which the one element of ``until`` is not zero.
        """
        counter = _fresh(hint, {*self._expressions, *self._counters})
        attributes: dict[str, object] = {"counter": counter, "start": as_expr(start), "stop": as_expr(stop)}
        if until is not None:
            attributes["until"] = until.whole
        op = self._block.append(Operation("mesh.for", attributes=attributes, regions=[Block()]))
        self._counters.append(counter)
        with self._inside(op.regions[0]):
            yield Name(counter)
        self._closed_counters.add(self._counters.pop())

    @contextmanager
    def when(self, condition: ExprLike) -> Iterator[None]:
        """``if condition { .. }``; a constant condition leaves no branch behind."""
        op = Operation("mesh.if", attributes={"condition": as_expr(condition)}, regions=[Block(), Block()])
        with self._inside(op.regions[0]):
            yield
        self._close(op, op.regions[0])
        self._answered = op

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """The other side of the ``when`` just closed."""
        op = self._answered
        assert op is not None
        with self._inside(op.regions[1]):
            yield
        self._close(op, op.regions[1])

    def _close(self, op: Operation, side: Block) -> None:
        """Append a branch once one of its sides holds something; of a constant condition, the side that is taken."""
        condition = op.attributes["condition"]
        if isinstance(condition, Int):
            if (side is op.regions[0]) == bool(condition.value):
                for inner in side.ops:
                    self._block.append(inner)
        elif side.ops and op.parent is None:
            self._block.append(op)

    @contextmanager
    def before(self) -> Iterator[None]:
        """Statements that run once, before all others."""
        with self._inside(self._before):
            yield

    @contextmanager
    def scope(self, source: int) -> Iterator[None]:
        """Statements that belong to entry ``source`` of the op table."""
        op = Operation("mesh.scope", attributes={"op": source}, regions=[Block()])
        self._block.append(op)
        with self._inside(op.regions[0]):
            yield
        if not op.regions[0].ops:
            self._block.erase(op)

    def finish(self) -> None:
        """Close the region: its code follows the declarations."""
        main = self._code.regions[0]
        for op in self._before.ops:
            op.parent = main
        main.ops[:0] = self._before.ops
        self._declarations.append(self._code)


def _fresh(hint: str, others: Set[str]) -> str:
    """A name like the hint that the program's text can hold and no other has."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", hint)
    if not re.match(r"[A-Za-z_]", stem):
        stem = f"v{stem}"
    name, n = stem, 1
    while name in others or _TAKEN.fullmatch(name):
        n += 1
        name = f"{stem}_{n}"
    return name
