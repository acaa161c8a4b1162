"""One region cut in two that touch: the same PEs, routes and code, each half with coordinates of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from meshrt.program.expr import Expr, X, substitute
from meshrt.program.model import Program, Rect, Region
from meshrt.program.rewriting import rewrite_body


def split(program: Program, column: int) -> Program:
    """The program of one region as two: the columns before ``column``, and those from it on."""
    (region,) = program.regions
    halves = (_half(region, "west", 0, column), _half(region, "east", column, region.width))
    return replace(program, regions=halves)


def _half(region: Region, name: str, first: int, end: int) -> Region:
    def rewrite(expr: Expr) -> Expr:
        return substitute(expr, {"x": X + first}) if first else expr

    def cut(declarations: Iterable[Any]) -> list[Any]:
        found = ((d, _columns(d.rect, first, end)) for d in declarations)
        return [replace(d, rect=rect) for d, rect in found if rect is not None]

    def many(exprs: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(rewrite(expr) for expr in exprs)

    return replace(
        region,
        name=name,
        origin=(region.origin[0] + first, region.origin[1]),
        width=end - first,
        params=tuple(replace(p, value=rewrite(p.value)) for p in cut(region.params)),
        buffers=tuple(cut(region.buffers)),
        placements=tuple(replace(p, indices=many(p.indices)) for p in cut(region.placements)),
        routes=tuple(cut(region.routes)),
        ports=tuple(replace(p, count=rewrite(p.count), indices=many(p.indices)) for p in cut(region.ports)),
        codes=tuple(replace(c, body=rewrite_body(c.body, rewrite)) for c in cut(region.codes)),
    )


def _columns(rect: Rect, first: int, end: int) -> Rect | None:
    """What of a rectangle lies in columns ``first .. end``, from there on; None where nothing does."""
    columns = [x - first for x in range(rect.x0, rect.x1, rect.xs) if first <= x < end]
    return replace(rect, x0=columns[0], x1=columns[-1] + 1) if columns else None
