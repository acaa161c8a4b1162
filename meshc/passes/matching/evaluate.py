"""What the primitives of the graph level compute, in torch: to fold constants and to probe patterns by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from meshc.ir.core import Operation, Value
from meshc.passes.matching.editor import shape_of

Evaluator = Callable[[Operation, Sequence[torch.Tensor]], Any]


def evaluable(op: Operation) -> bool:
    """Whether :func:`evaluate` knows the operation."""
    return op.name in EVALUATORS or (op.name == "graph.aten" and _aten(op) is not None)


def evaluate(op: Operation, operands: Sequence[torch.Tensor]) -> Any:
    """The result of one primitive (a tuple for several), in the operands' own precision.

    Raises KeyError for an operation that :func:`evaluable` denies.
    """
    if op.name == "graph.aten":
        return _evaluate_aten(op, operands)
    return EVALUATORS[op.name](op, operands)


def evaluate_chain(ops: Sequence[Operation], known: Mapping[Value, torch.Tensor], wanted: Value) -> torch.Tensor:
    """The value of ``wanted``, computed by operations given in order from values that are known."""
    env = dict(known)
    for op in ops:
        made = evaluate(op, [env[v] for v in op.operands])
        env.update(zip(op.results, made if isinstance(made, (tuple, list)) else (made,), strict=False))
    return env[wanted]


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Evaluator:
    return lambda op, v: function(v[0])


def _binary(function: Callable[[Any, Any], Any]) -> Evaluator:
    def run(op: Operation, v: Sequence[torch.Tensor]) -> Any:
        number = op.attributes.get("scalar")
        if number is None:
            return function(v[0], v[1])
        return function(number, v[0]) if op.attributes.get("reversed") else function(v[0], number)

    return run


def _extremum(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Evaluator:
    def run(op: Operation, v: Sequence[torch.Tensor]) -> torch.Tensor:
        number = op.attributes.get("scalar")
        return function(v[0], v[1] if number is None else torch.tensor(number, dtype=v[0].dtype))

    return run


def _reduction(function: Callable[..., torch.Tensor]) -> Evaluator:
    return lambda op, v: function(v[0], dim=tuple(op.attributes["dims"]), keepdim=True)


def _slice(op: Operation, v: Sequence[torch.Tensor]) -> torch.Tensor:
    a = op.attributes
    index = [slice(None)] * v[0].dim()
    index[a["dim"]] = slice(a["start"], a["stop"], a.get("step", 1))
    return v[0][tuple(index)]


def _where(op: Operation, v: Sequence[torch.Tensor]) -> torch.Tensor:
    rest = list(v[1:])
    dtype = rest[0].dtype if rest else torch.float32
    # Numbers as tensors: one that rounds to f32's largest lies beyond it as a Python float.
    sides = [
        torch.tensor(op.attributes[key], dtype=dtype) if key in op.attributes else rest.pop(0)
        for key in ("then", "otherwise")
    ]
    return torch.where(v[0], *sides)


_RELATIONS = {"eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge}


def _compare(op: Operation, v: Sequence[torch.Tensor]) -> torch.Tensor:
    return _RELATIONS[op.attributes["relation"]](v[0], op.attributes["scalar"] if "scalar" in op.attributes else v[1])


_CAST = {"f32": torch.float32, "i64": torch.int64, "i32": torch.int32, "i1": torch.bool, "c64": torch.complex64}


def _cast(op: Operation, v: Sequence[torch.Tensor]) -> torch.Tensor:
    dtype = _CAST[op.result.type.dtype]  # type: ignore[attr-defined]
    kept = v[0].is_floating_point() and dtype.is_floating_point
    return v[0] if kept else v[0].to(dtype)


def _quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


_F = torch.nn.functional

#: Elementwise functions of one operand.
UNARY: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "neg": torch.neg,
        "exp": torch.exp,
        "log": torch.log,
        "log1p": torch.log1p,
        "expm1": torch.expm1,
        "sqrt": torch.sqrt,
        "rsqrt": torch.rsqrt,
        "reciprocal": torch.reciprocal,
        "square": torch.square,
        "sin": torch.sin,
        "cos": torch.cos,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "erf": torch.erf,
        "abs": torch.abs,
        "identity": lambda x: x,
        "logical_not": torch.logical_not,
        "relu": torch.relu,
        "relu_squared": lambda x: torch.relu(x).square(),
        "silu": _F.silu,
        "gelu": _F.gelu,
        "gelu_tanh": lambda x: _F.gelu(x, approximate="tanh"),
        "gelu_quick": _quick_gelu,
        "mish": _F.mish,
        "hardswish": _F.hardswish,
        "hardsigmoid": _F.hardsigmoid,
    }
)

#: Elementwise functions of two operands, or of one and the ``scalar`` attribute.
BINARY: Mapping[str, Evaluator] = MappingProxyType(
    {
        "add": _binary(lambda a, b: a + b),
        "sub": _binary(lambda a, b: a - b),
        "mul": _binary(lambda a, b: a * b),
        "div": _binary(lambda a, b: a / b),
        "pow": _binary(lambda a, b: a**b),
        "maximum": _extremum(torch.maximum),
        "minimum": _extremum(torch.minimum),
        "logical_and": _binary(torch.logical_and),
        "logical_or": _binary(torch.logical_or),
    }
)

EVALUATORS: Mapping[str, Evaluator] = MappingProxyType(
    {
        **{f"graph.{name}": _unary(function) for name, function in UNARY.items()},
        **{f"graph.{name}": function for name, function in BINARY.items()},
        "graph.reshape": lambda op, v: v[0].reshape(shape_of(op.result)),
        "graph.expand": lambda op, v: v[0].expand(shape_of(op.result)),
        "graph.permute": lambda op, v: v[0].permute(op.attributes["dims"]),
        "graph.slice": _slice,
        "graph.concat": lambda op, v: torch.cat(list(v), dim=op.attributes["dim"]),
        "graph.matmul": lambda op, v: torch.matmul(v[0], v[1]),
        "graph.softmax": lambda op, v: torch.softmax(v[0], dim=op.attributes["dim"]),
        "graph.mean": _reduction(torch.mean),
        "graph.sum": _reduction(torch.sum),
        "graph.max": _reduction(torch.amax),
        "graph.min": _reduction(torch.amin),
        "graph.var": lambda op, v: torch.var(
            v[0], dim=tuple(op.attributes["dims"]), correction=op.attributes.get("correction", 0), keepdim=True
        ),
        "graph.where": _where,
        "graph.compare": _compare,
        "graph.cast": _cast,
    }
)


def _aten(op: Operation) -> Any:
    """The torch operator that a ``graph.aten`` names, or None."""
    parts = op.attributes["target"].split(".")
    held: Any = torch.ops
    for part in parts:
        if not hasattr(held, part):
            return None
        held = getattr(held, part)
    return held


def _evaluate_aten(op: Operation, operands: Sequence[torch.Tensor]) -> Any:
    def decode(held: Any) -> Any:
        if isinstance(held, str) and held.startswith("%"):
            return operands[int(held[1:])]
        if isinstance(held, str) and held.startswith("torch."):
            return getattr(torch, held.removeprefix("torch."))
        return [decode(h) for h in held] if isinstance(held, (tuple, list)) else held

    kwargs = {k: decode(v) for k, v in op.attributes.get("kwargs", {}).items()}
    return _aten(op)(*[decode(a) for a in op.attributes["args"]], **kwargs)
