"""What the names of a region's expressions mean on each of its PEs, and which PEs a rectangle holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.program.expr import evaluate
from meshrt.program.model import Rect, Region


class RegionNames:
    """What the names of one region's expressions mean: coordinates, parameters, scalars and tables."""

    def __init__(self, region: Region, scalars: Mapping[str, int]):
        self.region = region
        self.tables = {t.name: np.asarray(t.entries, np.int64) for t in region.tables}
        self.scalars = dict(scalars)
        ys, xs = np.divmod(np.arange(region.width * region.height, dtype=np.int64), region.width)
        self.per_pe: dict[str, np.ndarray] = {"x": xs, "y": ys}
        #: Where a parameter has a value, of those that some PEs lack; elsewhere ``per_pe`` holds 0 for it.
        self.known: dict[str, np.ndarray] = {}
        for param in region.params:
            inside = rect_mask(param.rect, xs, ys)
            values = self.per_pe.setdefault(param.name, np.zeros(len(xs), np.int64)).copy()
            bindings = {name: array[inside] for name, array in self.per_pe.items()}
            values[inside] = evaluate(param.value, {**bindings, **self.scalars}, self.tables)
            self.per_pe[param.name] = values
            known = inside | self.known.get(param.name, False)
            if known.all():
                self.known.pop(param.name, None)
            else:
                self.known[param.name] = known


def rect_mask(rect: Rect, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Which of the PEs at these coordinates lie in a rectangle."""
    in_x = (xs >= rect.x0) & (xs < rect.x1) & ((xs - rect.x0) % rect.xs == 0)
    in_y = (ys >= rect.y0) & (ys < rect.y1) & ((ys - rect.y0) % rect.ys == 0)
    return in_x & in_y


def rect_pes(rect: Rect, region: Region, first: int) -> np.ndarray:
    """Numbers of the PEs of a rectangle, row by row; ``first`` is the region's first PE."""
    ys = np.arange(rect.y0, rect.y1, rect.ys, dtype=np.int64)
    xs = np.arange(rect.x0, rect.x1, rect.xs, dtype=np.int64)
    return (first + ys[:, None] * region.width + xs[None, :]).reshape(-1)
