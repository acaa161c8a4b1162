"""Affine layouts: what a chain of reshapes, permutations, broadcasts and slices does to a tensor.

An element of the viewed tensor is the element of the (row-major) source at an offset plus the sum of
``index * stride`` over *atoms*; each axis is a product of atoms, outermost first. An atom of stride 0 repeats.
Two chains are the same exactly where their normal forms are equal, however they are spelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshc.ir.core import Operation, Value
from meshc.passes.matching.editor import Editor, shape_of

Atom = tuple[int, int]  # extent, stride in elements of the source

LAYOUT_OPS = ("graph.reshape", "graph.permute", "graph.expand", "graph.slice")


@dataclass(frozen=True, slots=True)
class Layout:
    """A view of a source tensor: offset in elements, and per axis its atoms, outermost first, merged."""

    offset: int
    axes: tuple[tuple[Atom, ...], ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Layout:
        """The source itself."""
        axes, stride = [], math.prod(shape)
        for extent in shape:
            stride //= max(extent, 1)
            axes.append(_merged([(extent, stride)]))
        return cls(0, tuple(axes))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(extent for extent, _ in axis) for axis in self.axes)

    def is_whole(self, shape: Sequence[int]) -> bool:
        """Whether it shows every element of a source of this shape once, in order and with its axes."""
        return self == Layout.whole(shape)

    def then(self, op: Operation) -> Layout | None:
        """This layout seen through one more layout operation; None where no affine layout describes it."""
        kind = op.name.removeprefix("graph.")
        if kind == "permute":
            return Layout(self.offset, tuple(self.axes[d] for d in op.attributes["dims"]))
        if kind == "reshape":
            return self.reshaped(shape_of(op.result))
        if kind == "expand":
            return self._expanded(shape_of(op.result))
        a = op.attributes
        return self._sliced(a["dim"], a["start"], shape_of(op.result)[a["dim"]], a.get("step", 1))

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """The same elements in row-major order with other extents."""
        atoms = [atom for axis in self.axes for atom in axis]
        axes: list[tuple[Atom, ...]] = []
        for extent in shape:
            taken: list[Atom] = []
            wanted = extent
            while wanted > 1:
                if not atoms:
                    return None
                size, stride = atoms.pop(0)
                if wanted % size == 0:
                    taken.append((size, stride))
                    wanted //= size
                elif size % wanted == 0:
                    inner = size // wanted
                    taken.append((wanted, stride * inner))
                    atoms.insert(0, (inner, stride))
                    wanted = 1
                else:
                    return None
            axes.append(_merged(taken))
        return None if atoms else Layout(self.offset, tuple(axes))

    def _expanded(self, shape: Sequence[int]) -> Layout:
        missing = len(shape) - len(self.axes)
        old = ((),) * missing + self.axes
        axes = [
            axis if math.prod(n for n, _ in axis) == extent else _merged([(extent, 0)])
            for axis, extent in zip(old, shape, strict=True)
        ]
        return Layout(self.offset, tuple(axes))

    def _sliced(self, dim: int, start: int, count: int, step: int) -> Layout | None:
        axis = self.axes[dim]
        inner = math.prod(n for n, _ in axis[1:])
        if len(axis) > 1 and (step != 1 or start % inner or count % inner):
            return self._sliced_inside(dim, start, count, step)
        if not axis:
            return self if (start, count) == (0, 1) else None
        stride = axis[0][1]
        first = (count // inner, stride * step)
        axes = list(self.axes)
        axes[dim] = _merged([first, *axis[1:]])
        return Layout(self.offset + start // inner * stride, tuple(axes))

    def _sliced_inside(self, dim: int, start: int, count: int, step: int) -> Layout | None:
        """A slice that stays within one index of the outermost atom."""
        axis = self.axes[dim]
        inner = math.prod(n for n, _ in axis[1:])
        outer = start // inner
        if start % inner + (count - 1) * step >= inner:
            return None
        axes = list(self.axes)
        axes[dim] = axis[1:]
        narrowed = Layout(self.offset + outer * axis[0][1], tuple(axes))
        return narrowed._sliced(dim, start % inner, count, step)


def _merged(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """Atoms without extents of 1, neighbours joined where one continues the other."""
    found: list[Atom] = []
    for extent, stride in atoms:
        if extent == 1:
            continue
        if found and found[-1][1] == stride * extent:
            outer = found.pop()
            found.append((outer[0] * extent, stride))
        else:
            found.append((extent, stride))
    return tuple(found)


class Layouts:
    """Layouts of values relative to where their chain of layout operations starts; remembered."""

    def __init__(self) -> None:
        self._known: dict[Value, tuple[Value, Layout]] = {}

    def of(self, value: Value) -> tuple[Value, Layout]:
        """The source of a value's chain of layout operations, and the value's layout on it."""
        chain: list[Value] = []
        current = value
        while current not in self._known:
            op = current.op
            if op is None or op.name not in LAYOUT_OPS:
                self._known[current] = (current, Layout.whole(shape_of(current)))
                break
            chain.append(current)
            current = op.operands[0]
        for current in reversed(chain):
            op = current.op
            assert op is not None
            source, layout = self._known[op.operands[0]]
            seen = layout.then(op)
            self._known[current] = (source, seen) if seen is not None else (current, Layout.whole(shape_of(current)))
        return self._known[value]


def leading(layout: Layout, source_shape: Sequence[int]) -> Layout | None:
    """The layout of all axes but the last, where the last is the source's own and nothing is left out or repeated.

    It is given relative to the source without its last axis (as many elements, each a row).
    """
    features = source_shape[-1] if source_shape else 1
    if not layout.axes or layout.offset or layout.axes[-1] != _merged([(features, 1)]):
        return None
    axes = []
    for axis in layout.axes[:-1]:
        if any(stride % features for _, stride in axis):
            return None
        axes.append(_merged([(n, stride // features) for n, stride in axis]))
    result = Layout(0, tuple(axes))
    return result if is_permutation(result, math.prod(source_shape[:-1])) else None


def is_permutation(layout: Layout, count: int) -> bool:
    """Whether the layout shows each of the source's ``count`` elements exactly once."""
    if layout.offset or math.prod(layout.shape) != count:
        return False
    stride = 1
    for extent, step in sorted((a for axis in layout.axes for a in axis), key=lambda a: a[1]):
        if step != stride:
            return False
        stride *= extent
    return stride == count


def with_last(layout: Layout, features: int) -> Layout:
    """The inverse of :func:`leading` for a source whose last axis has another extent."""
    axes = [_merged([(n, stride * features) for n, stride in axis]) for axis in layout.axes]
    return Layout(0, (*axes, _merged([(features, 1)])))


#: One step of a plan: the operation's name, its result's extents, and for permute the order of dimensions.
Step = tuple[str, tuple[int, ...], "tuple[int, ...] | None"]


def plan(source_shape: Sequence[int], layout: Layout) -> list[Step] | None:
    """Steps that give a source this layout: reshape, permute, reshape, expand, reshape, as far as needed.

    None where the layout leaves elements out (slices stay as they are written).
    """
    atoms = [(axis, place, n, stride) for axis, a in enumerate(layout.axes) for place, (n, stride) in enumerate(a)]
    moved = [a for a in atoms if a[3] > 0]
    if layout.offset or not is_permutation(Layout(0, (tuple((n, s) for *_, n, s in moved),)), math.prod(source_shape)):
        return None
    in_source = sorted(moved, key=lambda a: -a[3])
    order = tuple(in_source.index(a) for a in moved)
    steps: list[Step] = []
    shape = tuple(source_shape)

    def step(name: str, new_shape: Sequence[int], order: tuple[int, ...] | None = None) -> None:
        nonlocal shape
        if tuple(new_shape) != shape or name == "permute":
            steps.append((name, tuple(new_shape), order))
            shape = tuple(new_shape)

    if order != tuple(range(len(order))):
        # Keep the source's own axes where the permutation allows it: fewer reshapes to read.
        kept = _axes_kept(shape, [a[2] for a in in_source], order)
        if kept is not None:
            step("permute", [shape[d] for d in kept], kept)
        else:
            step("reshape", [a[2] for a in in_source])
            step("permute", [a[2] for a in moved], order)
    if any(a[3] == 0 for a in atoms):
        step("reshape", [1 if a[3] == 0 else a[2] for a in atoms])
        step("expand", [a[2] for a in atoms])
    step("reshape", layout.shape)
    return steps


def emit(editor: Editor, anchor: Operation, source: Value, layout: Layout) -> Value | None:
    """The operations of :func:`plan`, inserted before the anchor; None where there is no plan."""
    steps = plan(shape_of(source), layout)
    if steps is None:
        return None
    value = source
    for name, shape, order in steps:
        value = editor.move(anchor, name, value, shape, order)
    return value


def _axes_kept(shape: Sequence[int], sizes: Sequence[int], order: tuple[int, ...]) -> tuple[int, ...] | None:
    """The permutation in terms of the source's own axes, where its atoms are just these axes (1s put anywhere)."""
    long = [d for d, n in enumerate(shape) if n != 1]
    if [shape[d] for d in long] != list(sizes):
        return None
    short = [d for d, n in enumerate(shape) if n == 1]
    kept = [long[i] for i in order]
    for d in short:
        kept.insert(min(d, len(kept)), d)
    return tuple(kept)
