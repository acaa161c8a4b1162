"""Recognition by value: what a linear expression in one activation does, found by running it on chosen inputs.

A rotary embedding is written in many ways: rotate-half, split and stack, complex numbers, a rotation matrix.
All of them are linear in the activation and have position tables as constants, so a few runs on chosen inputs
tell what they do, and one on random input proves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from meshc.ir.core import Operation, Value
from meshc.passes.base import PassContext
from meshc.passes.matching.constants import constant, weight_name
from meshc.passes.matching.editor import shape_of
from meshc.passes.matching.evaluate import evaluate_chain
from meshc.passes.matching.layout import LAYOUT_OPS, Layout, Layouts

#: Operations that are linear in each operand alone (products need a constant factor, checked below).
_LINEAR = ("reshape", "permute", "expand", "slice", "concat", "add", "sub", "neg")

#: ATen calls, imported as they stand, that are linear in their only traced operand.
_LINEAR_ATEN = (
    "aten.view_as_complex", "aten.view_as_real", "aten.complex", "aten.polar", "aten.real", "aten.imag", "aten.flip",
    "aten.roll", "aten.index", "aten.index_select", "aten.view_as_complex_copy", "aten.view_as_real_copy",
    "aten.select", "aten.slice", "aten.index_put", "aten.slice_scatter", "aten.select_scatter", "aten.cat",
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A part of the graph that is linear in one value, its ``leaf``; constants are its other leaves."""

    leaf: Value
    ops: tuple[Operation, ...]
    constants: Mapping[Value, torch.Tensor]
    result: Value

    def run(self, leaf: torch.Tensor) -> torch.Tensor:
        """The expression's value, in double precision, where the leaf has this value."""
        known = {self.leaf: leaf, **self.constants}
        return evaluate_chain(self.ops, known, self.result)

    def signature(self) -> tuple[object, ...]:
        """Equal for expressions that compute the same of their leaves, layer by layer."""
        numbers: dict[Value, object] = {self.leaf: "leaf"}
        for value in self.constants:
            numbers[value] = weight_name(value)
        rows = []
        for i, op in enumerate(self.ops):
            attributes = tuple((k, repr(v)) for k, v in op.attributes.items())
            rows.append((op.name, attributes, tuple(numbers[v] for v in op.operands), shape_of(op.results[0])))
            numbers.update((r, (i, r.index)) for r in op.results)
        return (shape_of(self.leaf), tuple(rows), numbers[self.result])


def linear_expression(value: Value, context: PassContext, limit: int = 400) -> Expression | None:
    """The largest expression that ends at ``value`` and is linear in a single leaf.

    None where the value mixes several activations or is itself a constant.
    """
    constants: dict[Value, torch.Tensor] = {}
    leaves: dict[Value, None] = {}
    ordered: dict[Operation, None] = {}
    stack: list[tuple[Value, bool]] = [(value, False)]
    entered: set[Value] = set()
    while stack:
        current, done = stack.pop()
        op = current.op
        if done:
            assert op is not None
            ordered[op] = None
            continue
        if current in entered:
            continue
        entered.add(current)
        held = constant(current, context)
        if held is not None:
            constants[current] = held.double() if held.is_floating_point() else held
            if held.is_complex():
                constants[current] = held.to(torch.complex128)
        elif op is None or not _is_linear(op, context) or len(ordered) > limit:
            leaves[current] = None
        else:
            stack.append((current, True))
            stack += [(v, False) for v in reversed(op.operands)]
    if len(leaves) != 1:
        return None
    return Expression(next(iter(leaves)), tuple(ordered), constants, value)


def _is_linear(op: Operation, context: PassContext) -> bool:
    name = op.name.removeprefix("graph.")
    if name in _LINEAR:
        return "scalar" not in op.attributes and not any(_affine(op, v, context) for v in op.operands)
    if name == "aten":
        return op.attributes["target"].startswith(_LINEAR_ATEN)
    if name in ("mul", "matmul"):
        return "scalar" in op.attributes or any(constant(v, context) is not None for v in op.operands)
    if name == "div":
        if "scalar" in op.attributes:
            return not op.attributes.get("reversed")
        return constant(op.operands[1], context) is not None
    return False


def _affine(op: Operation, operand: Value, context: PassContext) -> bool:
    """A constant that is added makes the expression affine; one that is only rearranged or joined does not."""
    return op.name in ("graph.add", "graph.sub") and constant(operand, context) is not None


@dataclass(frozen=True)
class Rotation:
    """A rotary embedding: which features of a head turn with which, how fast (radians per position), how large."""

    rotary_dim: int
    pairing: str
    frequencies: torch.Tensor
    scale: float


@dataclass(frozen=True)
class HeadsView:
    """How [B, H, S, D] attention operands come from [B, S, F] features.

    ``features[h][d]`` is the feature that element d of head h is made of; ``scale`` multiplies all of them.
    """

    features: torch.Tensor
    scale: float
    rotation: Rotation | None


def heads_view(expression: Expression) -> HeadsView | None:
    """What a linear expression from a [B, S, F] or [B*S, F] leaf to [B, H, S, D] heads does, or None.

    Expressions that only rearrange have a layout that says it. Others are run, and the claim is proven on random
    input over every batch, head and position.
    """
    given, out = shape_of(expression.leaf), shape_of(expression.result)
    if all(op.name in LAYOUT_OPS for op in expression.ops):
        return _rearranged(expression)
    if len(out) != 4 or len(given) < 2 or given[:-1] not in ((out[0], out[2]), (out[0] * out[2],)):
        return None
    leaf = (out[0], out[2], given[-1])
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(leaf, dtype=torch.float64, generator=generator) for _ in range(2)]
    # Nothing is turned at position 0: ones there show the scale, numbers the features.
    inputs[0][:, 0] = 1.0
    inputs[1][:, 0] = torch.arange(1, leaf[2] + 1, dtype=torch.float64) / leaf[2]
    outputs = [expression.run(x.reshape(given)) for x in inputs]
    scale = outputs[0][0, :, 0, :]
    features = outputs[1][0, :, 0, :] / scale * leaf[2] - 1
    if not bool(torch.isfinite(features).all()) or bool((features - features.round()).abs().max() > 1e-2):
        return None
    index = features.round().long().clamp(0, leaf[2] - 1)
    heads = [x[:, :, index].permute(0, 2, 1, 3) for x in inputs]
    if torch.allclose(outputs[0], heads[0] * scale[:, None], rtol=1e-6, atol=1e-9) and _uniform(scale):
        proven = torch.allclose(outputs[1], heads[1] * scale[:, None], rtol=1e-6, atol=1e-9)
        return HeadsView(index, _rounded(float(scale[0, 0])), None) if proven else None
    if not bool(((scale - scale[:1]).abs() <= 1e-7 * scale.abs().max()).all()) or out[2] < 2:
        return None
    return _rotated(index, scale[0], heads, outputs)


def _rearranged(expression: Expression) -> HeadsView | None:
    """The view that a chain of layout operations gives, read off its layout."""
    source, layout = Layouts().of(expression.result)
    given, axes = shape_of(source), layout.axes
    if source is not expression.leaf or len(axes) != 4 or len(given) < 2:
        return None
    (batch, tokens), features = (layout.shape[0], layout.shape[2]), given[-1]
    lead = Layout.whole((batch, tokens, features)).axes
    if given[:-1] not in ((batch, tokens), (batch * tokens,)) or (axes[0], axes[2]) != lead[:2]:
        return None
    index = torch.full((1, 1), layout.offset)
    for axis, place in ((axes[1], (-1, 1)), (axes[3], (1, -1))):
        offsets = torch.zeros(1, dtype=torch.long)
        for extent, stride in axis:
            offsets = (offsets[:, None] + torch.arange(extent) * stride).reshape(-1)
        index = index + offsets.reshape(place)
    return HeadsView(index, 1.0, None) if int(index.max()) < features else None


def _rotated(
    index: torch.Tensor, scale: torch.Tensor, heads: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]
) -> HeadsView | None:
    turning = (outputs[0] - heads[0] * scale).abs().amax(dim=(0, 1, 2)) > 1e-9
    last = int(turning.nonzero().max()) + 1 if bool(turning.any()) else 0
    head_dim = len(scale)
    plain = float(scale[-1]) if not bool(turning[-1]) else None
    dims = [last + last % 2] + list(range(head_dim - head_dim % 2, last, -2))
    for rotary_dim in dict.fromkeys(dims):
        if rotary_dim > head_dim:
            continue
        for pairing in ("half", "interleaved"):
            rotation = _rotation(rotary_dim, pairing, heads, outputs)
            if rotation is None:
                continue
            rest = plain if plain is not None and rotary_dim < head_dim else 1.0
            found = Rotation(rotary_dim, pairing, rotation.frequencies, _rounded(rotation.scale / rest))
            view = HeadsView(index, _rounded(rest), found)
            if _proven(view, heads, outputs):
                return view
    return None


def _pairs(rotary_dim: int, pairing: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and second features of each pair."""
    if pairing == "half":
        first = torch.arange(rotary_dim // 2)
        return first, first + rotary_dim // 2
    first = torch.arange(0, rotary_dim, 2)
    return first, first + 1


def _rotation(
    rotary_dim: int, pairing: str, heads: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]
) -> Rotation | None:
    """Cosines and sines solved from two runs, and the frequencies and amplitude that explain them."""
    first, second = _pairs(rotary_dim, pairing)
    (a1, b1), (a2, b2) = ((h[0, 0][:, first], h[0, 0][:, second]) for h in heads)
    y1, y2 = (o[0, 0][:, first] for o in outputs)
    # y = c * a - s * b for both runs.
    determinant = a2 * b1 - a1 * b2
    cosine = (y2 * b1 - y1 * b2) / determinant
    sine = (y2 * a1 - y1 * a2) / determinant
    amplitude = torch.sqrt(cosine**2 + sine**2)
    scale = float(amplitude.median())
    if not math.isfinite(scale) or bool(((amplitude / scale - 1).abs() > 1e-4).any()):
        return None
    frequencies = _frequencies(torch.atan2(sine, cosine))
    place = torch.arange(cosine.shape[0], dtype=torch.float64)[:, None]
    error = torch.maximum(
        (torch.cos(place * frequencies) - cosine / scale).abs(), (torch.sin(place * frequencies) - sine / scale).abs()
    )
    # A table's angles are products in f32: their rounding grows with the position.
    if bool((error > 2e-5 + 3e-7 * place * frequencies.abs()).any()):
        return None
    return Rotation(rotary_dim, pairing, frequencies, scale)


def _frequencies(angles: torch.Tensor) -> torch.Tensor:
    """Radians per position from angles modulo a full turn: position 1 gives a first value, far ones refine it."""
    count, turn = angles.shape[0], 2 * math.pi
    estimate = angles[1].clone()
    place = 2
    while place < count:
        turns = torch.round((estimate * place - angles[place]) / turn)
        estimate = (angles[place] + turns * turn) / place
        place *= 2
    return estimate


def _proven(view: HeadsView, heads: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> bool:
    """Whether the view with its rotation gives the outputs: every batch, head and position, passed-on features too."""
    rotation = view.rotation
    assert rotation is not None
    first, second = _pairs(rotation.rotary_dim, rotation.pairing)
    place = torch.arange(heads[0].shape[2], dtype=torch.float64)[:, None]
    cosine, sine = torch.cos(place * rotation.frequencies), torch.sin(place * rotation.frequencies)
    tolerance = 1e-4 + 2e-6 * place * float(rotation.frequencies.abs().max())
    for given, wanted in zip(heads, outputs, strict=True):
        x = given.clone()
        a, b = given[..., first], given[..., second]
        x[..., first] = rotation.scale * (a * cosine - b * sine)
        x[..., second] = rotation.scale * (a * sine + b * cosine)
        if bool(((x * view.scale - wanted).abs() > tolerance * max(1.0, rotation.scale * view.scale)).any()):
            return False
    return True


def _uniform(scale: torch.Tensor) -> bool:
    return bool(((scale - scale.reshape(-1)[0]).abs() <= 1e-7 * scale.abs().max()).all())


def _rounded(number: float) -> float:
    """A factor without the rounding of the arithmetic that it was read from: products of f64, or f32 tables."""
    if abs(number - 1) < 1e-6:
        return 1.0
    return float(f"{number:.15g}")
