"""What a kernel works with: the builder, where values lie, and how weights are placed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshc.dialects.layout import Block, Layout
from meshc.dialects.tile import ShardType
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshrt.program.expr import Expr, ExprLike, Int, Name, as_expr, binary, minimum, select
from meshrt.program.model import View

_TEMPLATE = re.compile(r"\{")


@dataclass(frozen=True, slots=True)
class Element:
    """An element index of a weight buffer: its name in the placement, and how far it runs."""

    name: str
    extent: int


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a weight buffer that comes from one tensor.

    ``start`` and ``extent`` say which stretch of the last buffer dimension it fills (all
    of it by default); ``indices`` gives the tensor's index for the element expressions.
    """

    weight: Value
    indices: Callable[[list[Expr]], Sequence[ExprLike]]
    start: int = 0
    extent: int | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """A placed weight: its buffer, and the first element of this layer's part."""

    buffer: MeshBuffer
    offset: Expr
    shape: tuple[int, ...]

    def view(self, *dims: ExprLike | tuple[ExprLike, ExprLike], offset: ExprLike = 0) -> View:
        """A view into this layer's part; its own shape without ``dims``."""
        return self.buffer.at(self.offset + offset, *(dims or self.shape))


@dataclass(slots=True)
class Lowering:
    """One lowering of a tile-level function to a region of PEs."""

    builder: MeshBuilder
    operand: str
    other: str
    batch: int
    sequence: int
    tokens: Block
    logits: str = "all"
    values: dict[Value, MeshBuffer] = field(default_factory=dict)
    inputs: dict[Value, MeshBuffer] = field(default_factory=dict)
    counter: tuple[str, int] | None = None
    #: Values whose last use is the operation being lowered: their buffers may be overwritten.
    dying: frozenset[Value] = frozenset()
    _weights: dict[object, Weight] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return self.builder.width

    @property
    def height(self) -> int:
        return self.builder.height

    def buffer_of(self, value: Value) -> MeshBuffer:
        """The buffer that holds a value's shard."""
        return self.values[value]

    def result_buffer(self, value: Value, hint: str = "") -> MeshBuffer:
        """A new buffer for a result, of its shard's tile and dtype."""
        type = value.type
        assert isinstance(type, ShardType)
        buffer = self.builder.buffer(_identifier(value.name or hint or "v"), type.dtype, *type.tile)
        self.values[value] = buffer
        return buffer

    def reuse_or_result(self, op: Operation, *candidates: Value) -> MeshBuffer:
        """An operand's buffer where it dies here and fits the result, else a new one."""
        result = op.result
        for value in candidates:
            if value in self.dying and value.type == result.type:
                self.values[result] = self.values[value]
                return self.values[result]
        return self.result_buffer(result)

    def temporary(self, hint: str, dtype: str, *shape: int) -> MeshBuffer:
        """A scratch buffer; the memory planner lets others have its place before and after."""
        return self.builder.buffer(hint, dtype, *shape)

    # ---- weights ------------------------------------------------------------------------

    def place(
        self, hint: str, dtype: str, shape: Sequence[int], sections: Sequence[Section], names: Sequence[str] = ()
    ) -> Weight:
        """Place tensors into a buffer of ``shape`` per layer; the same placement twice is one buffer.

        Sections index their tensors by expressions over the element indices (named
        ``names``, by default i, j, k, ..). Tensors named by a template over the loop
        counter give the buffer a leading dimension with one entry per layer.
        """
        elements = [Name(n) for n in (names or ("i", "j", "k", "n")[: len(shape)])]
        layered = any(_TEMPLATE.search(_tensor_name(s.weight)) for s in sections)
        assert not layered or self.counter is not None
        built = []
        for section in sections:
            extent = section.extent if section.extent is not None else shape[-1] - section.start
            ranges = [(e.name, 0, n) for e, n in zip(elements, shape, strict=True)]
            ranges[-1] = (elements[-1].name, section.start, section.start + extent)
            local = [*elements[:-1], elements[-1] - section.start]
            indices = tuple(as_expr(i) for i in section.indices(local))
            if layered and self.counter is not None:
                ranges.insert(0, (self.counter[0], 0, self.counter[1]))
            built.append((tuple(ranges), _tensor_name(section.weight), indices))
        key = (dtype, tuple(shape), tuple(built))
        known = self._weights.get(key)
        if known is not None:
            return known
        size = 1
        for extent in shape:
            size *= extent
        offset: Expr = Int(0)
        full = tuple(shape)
        if layered and self.counter is not None:
            offset = Name(self.counter[0]) * size
            full = (self.counter[1], *shape)
        buffer = self.builder.buffer(hint, dtype, *full)
        for ranges, tensor, indices in built:
            self.builder.place(buffer, ranges, tensor, indices)
        weight = Weight(buffer, offset, tuple(shape))
        self._weights[key] = weight
        return weight

    def vector(self, value: Value, layout: Layout, hint: str = "w", start: int = 0, stop: int | None = None) -> Weight:
        """A feature vector ([F] weight or bias) placed like the features of ``layout``, alike in every row."""
        total = _shape(value)[0]
        stop = total if stop is None else stop

        def indices(e: list[Expr]) -> list[ExprLike]:
            return [sliced(layout.index(Name("x"), e[0]), layout, start, stop, total)]

        return self.place(hint, self.operand, (layout.tile,), [Section(value, indices)])

    def matrix(
        self, value: Value, order: str, start: int, stop: int, k: Callable[[Expr], Expr], n: Callable[[Expr], Expr],
        n_layout: Layout, n_first: bool = False,
    ) -> Callable[[list[Expr]], list[ExprLike]]:
        """Index function of a [k, n] tile (or [n, k] when ``n_first``) of a linear weight.

        ``k`` and ``n`` give the global input and output feature of a local index; ``order``
        says how the tensor is stored (``nk``: torch's [out, in]; ``kn``).
        """
        shape = _shape(value)
        total = shape[0] if order == "nk" else shape[1]

        def indices(e: list[Expr]) -> list[ExprLike]:
            row, column = (e[1], e[0]) if n_first else (e[0], e[1])
            inputs = k(row)
            outputs = sliced(n(column), n_layout, start, stop, total)
            return [outputs, inputs] if order == "nk" else [inputs, outputs]

        return indices


def sliced(index: Expr, layout: Layout, start: int, stop: int, total: int) -> Expr:
    """Shift an output index into the stretch [start, stop) of a tensor, padding kept outside the tensor."""
    if start == 0 and stop == total:
        return index
    if layout.padded == layout.extent:
        return index + start
    valid = minimum(binary(">=", index, 0), binary("<", index, stop - start))
    return select(valid, index + start, -1)


def _shape(value: Value) -> tuple[int, ...]:
    assert isinstance(value.type, TensorType)
    return value.type.shape


def _tensor_name(value: Value) -> str:
    assert value.op is not None
    return value.op.attributes["name"]


def _identifier(hint: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", hint)
    return name if re.match(r"[A-Za-z_]", name) else f"v{name}"
