"""From the mesh level to a :class:`meshrt.program.model.Program`: the last step before text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshc.ir.core import Block, Module, Operation
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, ExprLike, Int, substitute
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import (
    Buffer,
    Code,
    Dim,
    ElementRange,
    For,
    If,
    Instruction,
    OpInfo,
    OpScope,
    Param,
    Placement,
    Port,
    Program,
    Rect,
    Region,
    Route,
    Scalar,
    Statement,
    Table,
    Until,
    View,
)


def emit_program(module: Module) -> Program:
    """The program of a mesh-level module.

    Raises M0404 where its buffers have no addresses or its streams no colors.
    """
    for what, attribute, guilty in (("stream", "color", "allocate-colors"), ("buffer", "address", "plan-memory")):
        for op in module.walk():
            if op.name == f"mesh.{what}" and attribute not in op.attributes:
                raise MeshError(
                    "M0404",
                    f"the {what} {op.attributes['name']} has no {attribute}",
                    helps=[f"run the pass {guilty} before"],
                )
    ops = tuple(OpInfo(*entry) for entry in module.attributes["ops"])
    return Program(ops, tuple(_region(op) for op in module.body.ops if op.name == "mesh.region"))


def _region(region: Operation) -> Region:
    declarations = region.regions[0].ops
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for op in declarations:
        by_kind.setdefault(op.name, []).append(op.attributes)

    def kind(name: str) -> list[dict[str, Any]]:
        return by_kind.get(f"mesh.{name}", [])

    colors: dict[str, ExprLike] = {f"@{a['name']}": a["color"] for a in kind("stream")}
    used = _used_buffers(declarations)
    routes = [
        Route(Rect(*rect), a["color"], source, tuple(destinations))
        for a in kind("stream")
        for rect, source, destinations in a["routes"]
    ]
    return Region(
        region.attributes["name"],
        tuple(region.attributes["origin"]),
        region.attributes["width"],
        region.attributes["height"],
        scalars=tuple(Scalar(a["name"], a["low"], a["high"]) for a in kind("scalar")),
        tables=tuple(Table(a["name"], tuple(a["entries"])) for a in kind("table")),
        params=tuple(Param(Rect(*a["rect"]), a["name"], substitute(a["value"], colors)) for a in kind("param")),
        buffers=tuple(
            Buffer(Rect(*a["rect"]), a["name"], a["dtype"], tuple(a["shape"]), a["address"])
            for a in kind("buffer")
            if a["name"] in used
        ),
        placements=tuple(
            Placement(
                Rect(*a["rect"]),
                a["buffer"],
                tuple(ElementRange(*r) for r in a["ranges"]),
                a["tensor"],
                tuple(a["indices"]),
            )
            for a in kind("place")
            if a["buffer"] in used
        ),
        routes=tuple(sorted(routes, key=lambda r: (r.color, r.source, r.destinations, r.rect.y0, r.rect.x0))),
        ports=tuple(_port(a, colors) for a in kind("port")),
        codes=tuple(
            Code(Rect(*op.attributes["rect"]), op.attributes["name"], _body(op.regions[0], colors))
            for op in declarations
            if op.name == "mesh.code"
        ),
    )


def _used_buffers(declarations: list[Operation]) -> frozenset[str]:
    """Buffers that some instruction touches."""
    return frozenset(
        arg.buffer
        for code in declarations
        if code.name == "mesh.code"
        for op in code.walk()
        for arg in op.attributes.get("args", ())
        if isinstance(arg, View)
    )


def _port(a: dict[str, Any], colors: Mapping[str, ExprLike]) -> Port:
    return Port(
        a["name"],
        a["direction"],
        a["side"],
        Rect(*a["rect"]),
        _number(substitute(a["color"], colors)),
        a["dtype"],
        tuple(a["shape"]),
        a["count"],
        tuple(a["indices"]),
        a.get("exact", True),
    )


def _number(color: Expr) -> int:
    assert isinstance(color, Int), "a port's color is a stream or a number"
    return color.value


def _body(block: Block, colors: Mapping[str, ExprLike]) -> tuple[Statement, ...]:
    return tuple(_statement(op, colors) for op in block.ops)


def _statement(op: Operation, colors: Mapping[str, ExprLike]) -> Statement:
    a = op.attributes
    match op.name:
        case "mesh.for":
            return For(
                a["counter"],
                substitute(a["start"], colors),
                substitute(a["stop"], colors),
                _body(op.regions[0], colors),
                _view(a["until"], colors) if "until" in a else None,
            )
        case "mesh.if":
            then, otherwise = [*op.regions, Block()][:2]
            return If(substitute(a["condition"], colors), _body(then, colors), _body(otherwise, colors))
        case "mesh.until":
            return Until(a["flag"], _body(op.regions[0], colors))
        case "mesh.scope":
            return OpScope(a["op"], _body(op.regions[0], colors))
    opcode = op.name.removeprefix("mesh.")
    options = []
    for option in INSTRUCTIONS[opcode].options:
        if option.name in a:
            value = a[option.name]
            if isinstance(value, Expr):
                value = substitute(value, colors)
            elif isinstance(value, list | tuple):
                value = tuple(value)
            options.append((option.name, value))
    args = tuple(_view(arg, colors) if isinstance(arg, View) else arg for arg in a["args"])
    return Instruction(opcode, args, tuple(options))


def _view(view: View, colors: Mapping[str, ExprLike]) -> View:
    dims = None
    if view.dims is not None:
        dims = tuple(Dim(substitute(d.extent, colors), substitute(d.stride, colors)) for d in view.dims)
    return View(view.buffer, substitute(view.offset, colors), dims)
