"""What a kernel works with: the builder, where values lie, and how weights are placed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from meshc.dialects.layout import Block, Layout, ceil_div
from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation, TensorType, Value
from meshc.ir.name_templates import NameTemplate
from meshc.kernels.builder import ELEMENT_NAMES, MeshBuffer, MeshBuilder
from meshc.kernels.line_trees import LineTrees
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, binary, maximum, minimum, select
from meshrt.program.model import View
from meshrt.target import Target

#: From the element indices of a buffer to an index of the tensor that lies there.
Indices = Callable[[list[Expr]], Sequence[ExprLike]]


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a weight buffer that comes from one tensor.

    ``start`` and ``extent`` say which stretch of the last buffer dimension it fills (all
    of it by default); ``indices`` gives the tensor's index for the element expressions.
    """

    weight: Value
    indices: Indices
    start: int = 0
    extent: int | None = None


@dataclass(frozen=True, slots=True)
class Rounds:
    """A loop of the model around the code that is being appended.

    ``counter`` is its counter in weights' names, ``index`` the program's, ``count`` how often it runs.
    """

    counter: str
    index: Name
    count: int


@dataclass(frozen=True, slots=True)
class Weight:
    """A placed weight, or state: its buffer, the first element of this layer's part, and that part's shape."""

    buffer: MeshBuffer
    offset: Expr
    shape: tuple[int, ...]

    def view(self, *dims: ExprLike | tuple[ExprLike, ExprLike], offset: ExprLike = 0) -> View:
        """A view into this layer's part; its own shape without ``dims``."""
        return self.buffer.at(self.offset + offset, *(dims or self.shape))


@dataclass(slots=True)
class Lowering:
    """One lowering of a tile-level function to a region of PEs.

    ``operand`` and ``other`` are the dtypes of multiply-adds' operands and of everything else;
    ``tokens`` is how the tokens of all ``batch`` sequences lie over y, ``length`` the runtime
    scalar that says how many tokens of each are the prompt's. In decode ``position`` is that of
    the one token of each sequence. ``target`` is the machine, where it is known, ``trees`` what carries
    out the all-reduces of decode. ``values`` and ``inputs`` say where shards and token ids lie.
    """

    builder: MeshBuilder
    operand: str
    other: str
    batch: int
    sequence: int
    tokens: Block
    length: Expr
    logits: str = "all"
    chunk_elements: int = 1024
    position: Expr | None = None
    target: Target | None = None
    trees: LineTrees = LineTrees()
    values: dict[Value, MeshBuffer] = field(default_factory=dict)
    inputs: dict[Value, MeshBuffer] = field(default_factory=dict)
    rounds: list[Rounds] = field(default_factory=list)
    #: Values whose last use is the operation being lowered: their buffers may be overwritten.
    dying: frozenset[Value] = frozenset()
    _weights: dict[object, Weight] = field(default_factory=dict)
    _states: dict[str, MeshBuffer] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return self.builder.width

    @property
    def height(self) -> int:
        return self.builder.height

    @property
    def token_rows(self) -> int:
        """Rows of PEs that hold any token; those below hold only padding."""
        return ceil_div(self.tokens.extent, self.tokens.tile)

    def holds_tokens(self) -> Expr:
        """Whether this row holds any token: 1 where all rows do."""
        return as_expr(1) if self.token_rows == self.height else Name("y").lt(self.token_rows)

    def buffer_of(self, value: Value) -> MeshBuffer:
        """The buffer that holds a value's shard."""
        return self.values[value]

    def result_buffer(self, value: Value, hint: str = "") -> MeshBuffer:
        """A new buffer for a result, of its shard's tile and dtype."""
        type = shard_of(value)
        buffer = self.builder.buffer(value.name or hint or "v", type.dtype, *type.tile)
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

    @contextmanager
    def repeating(self, counter: str, count: int) -> Iterator[None]:
        """A loop of the model: weights whose names read its counter have one part for each round."""
        with self.builder.loop(counter, count) as index:
            self.rounds.append(Rounds(counter, index, count))
            yield
            self.rounds.pop()

    # ---- weights ------------------------------------------------------------------------

    def place(self, hint: str, dtype: str, shape: Sequence[int], sections: Sequence[Section]) -> Weight:
        """Place tensors into a buffer of ``shape`` per layer; the same placement twice is one buffer.

        Sections index their tensors by expressions over the element indices. Where tensors'
        names read the counters of loops, the buffer has a leading dimension for each, with
        one entry per round.
        """
        elements = [Name(n) for n in ELEMENT_NAMES[: len(shape)]]
        templates = [NameTemplate.of(tensor_name(s.weight)) for s in sections]
        around = self._read_by(*templates)
        program_counters = {r.counter: r.index for r in around}
        built = []
        for section, template in zip(sections, templates, strict=True):
            extent = section.extent if section.extent is not None else shape[-1] - section.start
            ranges = [(r.index.name, 0, r.count) for r in around]
            ranges += [(e.name, 0, n) for e, n in zip(elements, shape, strict=True)]
            ranges[-1] = (elements[-1].name, section.start, section.start + extent)
            local = [*elements[:-1], elements[-1] - section.start]
            indices = tuple(as_expr(i) for i in section.indices(local))
            built.append((tuple(ranges), str(template.substituted(program_counters)), indices))
        key = (dtype, tuple(shape), tuple(built))
        if key not in self._weights:
            buffer = self.builder.buffer(hint, dtype, *(r.count for r in around), *shape)
            for ranges, tensor, indices in built:
                self.builder.place(buffer, ranges, tensor, indices)
            self._weights[key] = _part(buffer, around, shape)
        return self._weights[key]

    def _read_by(self, *templates: NameTemplate) -> list[Rounds]:
        """The loops around whose counters the templates read."""
        read = frozenset().union(*(t.counters for t in templates))
        return [r for r in self.rounds if r.counter in read]

    def state(self, name: str, hint: str, dtype: str, shape: Sequence[int]) -> Weight:
        """What outlives a step of decode: zero before the first one; the same name asked for again is the same one.

        ``name`` may read the counters of loops around it, as a weight's; there is then one part for
        each of their rounds.
        """
        around = self._read_by(NameTemplate.of(name))
        return _part(self.whole_state(name, hint, dtype, [r.count for r in around], shape), around, shape)

    def whole_state(self, name: str, hint: str, dtype: str, rounds: Sequence[int], shape: Sequence[int]) -> MeshBuffer:
        """The parts of a state for all rounds of the loops around it that its name reads, which run so often."""
        if name not in self._states:
            buffer = self.builder.buffer(hint, dtype, *rounds, *shape, kept=True)
            with self.builder.before():
                self.builder.emit("fill", buffer, value=0.0)
            self._states[name] = buffer
        assert self._states[name].shape == (*rounds, *shape), f"{name} is of another shape"
        return self._states[name]

    def vector(
        self, value: Value, layout: Layout, hint: str = "w", start: int = 0, stop: int | None = None, axis: str = "x"
    ) -> Weight:
        """A feature vector ([F] weight or bias) placed like the features of ``layout`` over an axis.

        It is alike in all PEs along the other axis.
        """
        stop = tensor_shape(value)[0] if stop is None else stop
        section = Section(value, self.stretch(value, layout, start, stop, axis))
        return self.place(hint, self.operand, (layout.tile,), [section])

    def per_token(self, value: Value, type: ShardType, hint: str) -> View:
        """A feature vector placed like a shard's features and repeated for each token, in the order of its tile."""
        weight = self.vector(value, type.features, hint, axis=type.axis)
        tokens, features = (type.tokens.tile, 0), (type.features.tile, 1)
        return weight.view(*((features, tokens) if type.transposed else (tokens, features)))

    def stretch(self, value: Value, layout: Layout, start: int, stop: int, axis: str = "x") -> Indices:
        """Index function of elements ``start`` to ``stop`` of a vector, placed like the features of ``layout``."""
        total = tensor_shape(value)[0]
        return lambda e: [sliced(layout.index(Name(axis), e[0]), layout, start, stop, total)]

    def matrix(
        self, value: Value, order: str, layout: Layout, start: int, stop: int
    ) -> Callable[[Expr, Expr], Sequence[ExprLike]]:
        """Index function of a linear's weight: from an input feature and an output feature, as ``layout`` has it.

        ``order`` says how the tensor is stored (``nk``: torch's [out, in]; ``kn``); of its output
        features the linear takes ``start`` to ``stop``.
        """
        total = tensor_shape(value)[0 if order == "nk" else 1]

        def index(inputs: Expr, outputs: Expr) -> Sequence[ExprLike]:
            outputs = sliced(outputs, layout, start, stop, total)
            return (outputs, inputs) if order == "nk" else (inputs, outputs)

        return index


def _part(buffer: MeshBuffer, around: Sequence[Rounds], shape: Sequence[int]) -> Weight:
    """This round's part of a buffer that has one of that shape for every round of the loops around."""
    part: Expr = as_expr(0)
    for r in around:
        part = part * r.count + r.index
    return Weight(buffer, part * math.prod(shape), tuple(shape))


def by_token(buffer: MeshBuffer, type: ShardType, *features: int) -> View:
    """A shard's tile as [tokens, *features], whichever way it lies; the extents multiply to its features in this PE."""
    tokens = type.tokens.tile
    if not type.transposed or tokens == 1:
        return buffer.at(0, tokens, *features)
    dims: list[tuple[ExprLike, ExprLike]] = []
    step = tokens
    for extent in reversed(features):
        dims.insert(0, (extent, step))
        step *= extent
    return buffer.at(0, (tokens, 1), *dims)


def outside(layout: Layout, i: ExprLike, axis: str = "x") -> Expr:
    """Whether local feature ``i`` of this PE is padding."""
    index = layout.index(Name(axis), i)
    return maximum(binary("<", index, 0), binary(">=", index, layout.extent))


def sliced(index: Expr, layout: Layout, start: int, stop: int, total: int) -> Expr:
    """Shift an output index into the stretch [start, stop) of a tensor, padding kept outside the tensor."""
    if start == 0 and stop == total:
        return index
    if layout.padded == layout.extent:
        return index + start
    valid = minimum(binary(">=", index, 0), binary("<", index, stop - start))
    return select(valid, index + start, -1)


def tensor_shape(value: Value) -> tuple[int, ...]:
    """The extents of a weight."""
    assert isinstance(value.type, TensorType)
    return value.type.shape


def tensor_name(value: Value) -> str:
    """The name of a weight, or the template of its names."""
    assert value.op is not None
    return value.op.attributes["name"]
