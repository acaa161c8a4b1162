"""Views of buffers: the strides that are not written out."""

from __future__ import annotations

from collections.abc import Sequence

from meshrt.program.expr import Expr, ExprLike, Int, as_expr
from meshrt.program.model import Dim, View


def dense_stride(inner: Sequence[Dim]) -> Expr:
    """The stride that puts a dimension densely around the dimensions inside it (1 when there is none)."""
    if not inner:
        return Int(1)
    return inner[0].extent * inner[0].stride


def dense_view(buffer: str, offset: ExprLike = 0, extents: Sequence[ExprLike] = ()) -> View:
    """A view of consecutive elements from ``offset`` on, row by row: the last extent has stride 1."""
    dims: list[Dim] = []
    for extent in reversed(extents):
        dims.insert(0, Dim(as_expr(extent), dense_stride(dims)))
    return View(buffer, as_expr(offset), tuple(dims))
