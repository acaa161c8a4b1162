"""Which batch and sequence length an exported program allows, and the numbers its shape symbols then stand for.

An export may be dynamic: the shapes of its inputs hold symbols, and those of all its tensors are expressions
in them. Compilation is for one batch and one sequence length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, TensorArgument

from meshrt.diagnostics import MeshError


@dataclass(frozen=True)
class _Axis:
    """One dimension of the token input: what it is, its option, and its extent (a number or an expression)."""

    what: str
    option: str
    extent: int | sympy.Expr


def symbol_values(exported: ExportedProgram, batch: int | None, seq: int | None) -> dict[Any, int]:
    """The number each shape symbol (a sympy symbol) stands for at one batch and sequence length.

    Both may be None: a static dimension then keeps its extent, a dynamic batch becomes 1, and a dynamic
    sequence length raises M0107. Extents that the export does not allow raise M0108.
    """
    name, value = token_input(exported)
    wanted = {"--batch": batch, "--seq": seq}
    values: dict[Any, int] = {}
    axes = _axes(value)
    for axis in axes:
        number = wanted[axis.option]
        if isinstance(axis.extent, int):
            _check_static(name, axis, number)
            continue
        if number is None and axis.option == "--seq":
            raise MeshError(
                "M0107",
                f"the model was exported with a dynamic {axis.what}, so the {axis.what} to compile for must be given",
                helps=[f"add {axis.option} N, the longest prompt in tokens"],
            )
        symbol, found = _solve(name, axis, 1 if number is None else number)
        values[symbol] = found
        _check_range(exported, symbol, found, name, axis)
    _check_other_inputs(exported, values)
    return values


def token_input(exported: ExportedProgram) -> tuple[str, torch.Tensor]:
    """Name and symbolic value of the input whose dimensions are (batch, sequence): token ids when there are any.

    Raises M0110 when the model has no tensor input.
    """
    tensors = _tensor_inputs(exported)
    for wanted_rank in (2, 1):
        for name, value in tensors:
            if value.dim() == wanted_rank and not value.dtype.is_floating_point:
                return name, value
    if not tensors:
        raise MeshError(
            "M0110",
            "the exported model has no tensor input",
            helps=["export a forward that takes the token ids: int64 [batch, sequence]"],
        )
    return tensors[0]


def static_extents(exported: ExportedProgram) -> tuple[int | None, int | None]:
    """(batch, sequence) of the token input where the export fixes them; None where they are dynamic."""
    _, value = token_input(exported)
    fixed = {axis.option: axis.extent if isinstance(axis.extent, int) else None for axis in _axes(value)}
    return fixed.get("--batch", 1), fixed.get("--seq", 1)


def _tensor_inputs(exported: ExportedProgram) -> list[tuple[str, torch.Tensor]]:
    placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
    return [
        (spec.arg.name, node.meta["val"])
        for spec, node in zip(exported.graph_signature.input_specs, placeholders, strict=True)
        if spec.kind == InputKind.USER_INPUT and isinstance(spec.arg, TensorArgument)
    ]


def _axes(value: torch.Tensor) -> list[_Axis]:
    """The batch and sequence dimensions of the token input; a single dimension is the sequence."""
    names = [("batch", "--batch"), ("sequence length", "--seq")]
    extents = [_extent(size) for size in value.shape[:2]]
    named = names[1:] if len(extents) == 1 else names[: len(extents)]
    return [_Axis(what, option, extent) for (what, option), extent in zip(named, extents, strict=True)]


def _extent(size: Any) -> int | sympy.Expr:
    if isinstance(size, torch.SymInt) and size.node.expr.free_symbols:
        return size.node.expr
    return int(size)


def _check_static(name: str, axis: _Axis, wanted: int | None) -> None:
    if wanted is None or wanted == axis.extent:
        return
    raise MeshError(
        "M0108",
        f"the model was exported for {axis.what} {axis.extent} only, not {wanted}",
        notes=[f"input {name} is static in that dimension"],
        helps=[
            f"use {axis.option} {axis.extent}",
            f"or export it again with a dynamic {axis.what} (meshc trace without --seq)",
        ],
    )


def _solve(name: str, axis: _Axis, wanted: int) -> tuple[Any, int]:
    """The symbol of a one-symbol extent, and its value that makes the extent ``wanted``."""
    expression: Any = axis.extent
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) == 1:
        whole = [root for root in sympy.solve(expression - wanted, symbols[0]) if root.is_Integer and root >= 0]
        if whole:
            return symbols[0], int(whole[0])
    shown = expression.xreplace(dict(zip(symbols, sympy.symbols("n m k")[: len(symbols)], strict=False)))
    raise MeshError(
        "M0108",
        f"the model's {axis.what} cannot be {wanted}: input {name} has the extent {shown} there",
        helps=[f"choose {axis.option} so that the extent can be met, or export with a plain dynamic dimension"],
    )


def _check_range(exported: ExportedProgram, symbol: Any, number: int, name: str, axis: _Axis) -> None:
    allowed = exported.range_constraints.get(symbol)
    if allowed is None or (allowed.lower <= number and number <= allowed.upper):
        return
    expression: Any = axis.extent
    word, limit = ("least", allowed.lower) if number < allowed.lower else ("most", allowed.upper)
    bounds = f"at {word} {expression.xreplace({symbol: limit})}"
    wanted = expression.xreplace({symbol: sympy.Integer(number)})
    raise MeshError(
        "M0108",
        f"the model was exported for a {axis.what} of {bounds}, not {wanted}",
        notes=[f"input {name} is limited in that dimension"],
        helps=[f"choose {axis.option} inside the range, or export with a wider one"],
    )


def _check_other_inputs(exported: ExportedProgram, values: Mapping[Any, int]) -> None:
    """Every dynamic dimension of every input must follow from the batch and the sequence length."""
    for name, value in _tensor_inputs(exported):
        for axis, size in enumerate(value.shape):
            extent: Any = _extent(size)
            if not isinstance(extent, int) and extent.free_symbols - values.keys():
                raise MeshError(
                    "M0108",
                    f"dimension {axis} of input {name} is dynamic, and neither batch nor sequence length",
                    helps=["export the model with that dimension static"],
                )
