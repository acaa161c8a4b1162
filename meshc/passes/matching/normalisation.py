"""Finding norms by what they compute: the expression from a value to its normalised form is run and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from meshc.ir.core import Operation, Value
from meshc.passes.matching.editor import made_by, shape_of
from meshc.passes.matching.evaluate import evaluable, evaluate_chain
from meshc.passes.matching.expression import expression_of

#: What a statistic is made of, from the norm back to the reduction.
_STATISTIC = (
    "rsqrt", "sqrt", "reciprocal", "pow", "add", "mul", "div", "maximum", "expand", "reshape", "mean", "sum", "var",
)  # fmt: skip


#: Of these the ones that hold the extents of all dimensions.
_SHAPED = ("expand", "reshape", "concat", "slice")
#: Operations of the longest norm.
_LIMIT = 24


@dataclass(frozen=True, slots=True)
class Norm:
    """``kind`` (``rms`` or ``layer``) norm of ``source`` along its last dimension."""

    kind: str
    source: Value
    eps: float


class Norms:
    """Recognises norms in one block; what one layer taught serves the others."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[str, float] | None] = {}

    def match(self, root: Operation) -> Norm | None:
        """The norm that a product or quotient computes, without its weight; None for any other."""
        if len(root.operands) != 2 or root.name not in ("graph.mul", "graph.div"):
            return None
        shape = shape_of(root.result)
        for i, statistic in enumerate(root.operands):
            if shape_of(statistic)[-1:] != (1,) or len(shape) < 2 or shape[-1] == 1:
                continue
            if root.name == "graph.div" and i == 0:
                continue
            source = _normed(statistic)
            if source is None or shape_of(source) != shape:
                continue
            ops = expression_of(source, root, evaluable, _LIMIT)
            if ops is None:
                continue
            signature = _signature(source, ops)
            if signature not in self._known:
                self._known[signature] = _classify(source, ops, root.result)
            found = self._known[signature]
            if found is not None:
                return Norm(found[0], source, found[1])
        return None


def _normed(statistic: Value) -> Value | None:
    """The value whose squares (less the mean's, perhaps) a statistic averages."""
    value = statistic
    for _ in range(12):
        op = value.op
        if op is None or op.name.removeprefix("graph.") not in _STATISTIC:
            return None
        name = op.name.removeprefix("graph.")
        if name == "var":
            return op.operands[0]
        if name in ("mean", "sum"):
            return _squared(op.operands[0])
        if len(op.operands) != 1:
            return None
        value = op.operands[0]
    return None


def _squared(value: Value) -> Value | None:
    square = made_by(value, "square")
    product = made_by(value, "mul")
    if square is not None:
        base = square.operands[0]
    elif product is not None and len(product.operands) == 2 and product.operands[0] is product.operands[1]:
        base = product.operands[0]
    else:
        return None
    centred = made_by(base, "sub")
    if centred is not None and len(centred.operands) == 2:
        mean = centred.operands[1]
        while (op := made_by(mean, "expand", "reshape", "div", "mul")) is not None and len(op.operands) == 1:
            mean = op.operands[0]
        average = made_by(mean, "mean", "sum")
        if average is not None and average.operands[0] is centred.operands[0]:
            return centred.operands[0]
    return base


def _signature(source: Value, ops: Sequence[Operation]) -> tuple[object, ...]:
    numbers: dict[Value, object] = {source: "x"}
    rows = []
    for i, op in enumerate(ops):
        numbers[op.results[0]] = i
        attributes = tuple((k, repr(v)) for k, v in op.attributes.items())
        rows.append((op.name, attributes, tuple(numbers[v] for v in op.operands), shape_of(op.results[0])))
    return (shape_of(source), tuple(rows))


def _classify(source: Value, ops: Sequence[Operation], result: Value) -> tuple[str, float] | None:
    """Which norm, and its eps, from runs on chosen inputs: rows of very different sizes tell every variant apart."""
    shape = shape_of(source)
    if all(op.name.removeprefix("graph.") not in _SHAPED for op in ops):
        # Nothing in the expression minds how many rows there are.
        shape = (*[1] * (len(shape) - 2), 16, shape[-1])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=generator) + 0.5
    sizes = torch.logspace(-4, 2, steps=max(2, x[..., 0].numel()), dtype=torch.float64)[: x[..., 0].numel()]
    x = x * sizes.reshape(*shape[:-1], 1)
    wanted = evaluate_chain(ops, {source: x}, result)
    for kind in ("rms", "layer"):
        centred = x - x.mean(-1, keepdim=True) if kind == "layer" else x
        mean_square = centred.square().mean(-1, keepdim=True)
        # (x / y)^2 is the mean square plus eps, wherever y is not zero.
        eps = ((centred / wanted) ** 2).mean(-1, keepdim=True) - mean_square
        smallest = eps.reshape(-1)[0]
        if not bool(torch.isfinite(smallest)) or float(smallest) < -1e-12:
            continue
        number = float(f"{max(float(smallest), 0.0):.6g}")
        number = 0.0 if number < 1e-15 else number
        if torch.allclose(centred * torch.rsqrt(mean_square + number), wanted, rtol=1e-6, atol=1e-9):
            return kind, number
    return None
