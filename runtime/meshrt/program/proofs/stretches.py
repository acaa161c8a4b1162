"""Stretches of fabric: regions that words can go between, looked at as one region.

What one of them sends another takes, so none can be proven alone. The stretch is the smallest rectangle around them:
rectangles of PEs move to where they lie in it, coordinates, parameters and tables get names of their own, and scalars,
which linked regions share, keep theirs. Routers that belong to no region stay outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef
from meshrt.program.model import Code, Param, Rect, Region, Scalar
from meshrt.program.rectangles import describe
from meshrt.program.rewriting import rewrite_body


@dataclass(frozen=True, slots=True)
class Part:
    """A region, and where its north-west corner lies in the stretch."""

    region: Region
    x: int
    y: int

    @property
    def area(self) -> tuple[slice, slice]:
        """Its PEs, as slices of an array of [height, width]."""
        return slice(self.y, self.y + self.region.height), slice(self.x, self.x + self.region.width)


@dataclass(frozen=True, eq=False, slots=True)
class Stretch:
    """``region`` is all ``parts`` together; ``homes`` has the number of the part to which a name belongs.

    A name without a home means the same everywhere. ``several`` says whether the program has other regions.
    """

    region: Region
    parts: tuple[Part, ...]
    homes: Mapping[str, int]
    several: bool

    @property
    def name(self) -> str:
        """``a``, or ``a + b``."""
        return " + ".join(part.region.name for part in self.parts)

    @property
    def pes(self) -> int:
        """PEs of all parts."""
        return sum(part.region.width * part.region.height for part in self.parts)

    def owners(self) -> np.ndarray:
        """The number of the part at every place, -1 outside: int64 [height, width]."""
        owners = np.full((self.region.height, self.region.width), -1, np.int64)
        for number, part in enumerate(self.parts):
            owners[part.area] = number
        return owners

    def flagged(self, codes: Sequence[bool]) -> set[int]:
        """The parts with a code that has a loop which a flag may end; ``codes`` says so of each."""
        owners = [number for number, part in enumerate(self.parts) for _ in part.region.codes]
        return {owner for owner, flagged in zip(owners, codes, strict=True) if flagged}

    def describe(self, pes: Iterable[int]) -> str:
        """Rectangles of PEs in the coordinates of their regions, with these where the program has several."""
        places = [divmod(pe, self.region.width) for pe in pes]
        owners = self.owners()
        texts = []
        for number, part in enumerate(self.parts):
            mine = [(x - part.x, y - part.y) for y, x in places if owners[y, x] == number]
            if mine:
                texts.append(f"{describe(mine)} of {part.region.name}" if self.several else describe(mine))
        return " and ".join(texts)


def join(regions: Sequence[Region], several: bool) -> Stretch:
    """The stretch of linked regions that lie apart; one alone stays as it is."""
    if len(regions) == 1:
        return Stretch(regions[0], (Part(regions[0], 0, 0),), {}, several)
    left, top = (min(region.origin[axis] for region in regions) for axis in (0, 1))
    parts = tuple(Part(region, region.origin[0] - left, region.origin[1] - top) for region in regions)
    moved = [_moved(part) for part in parts]
    scalars: dict[str, Scalar] = {}
    for region in regions:
        for scalar in region.scalars:
            scalars.setdefault(scalar.name, scalar)
    region = Region(
        regions[0].name,
        (left, top),
        max(part.x + part.region.width for part in parts),
        max(part.y + part.region.height for part in parts),
        scalars=tuple(scalars.values()),
        tables=tuple(table for each in moved for table in each.tables),
        params=tuple(param for each in moved for param in each.params),
        buffers=tuple(buffer for each in moved for buffer in each.buffers),
        placements=tuple(placement for each in moved for placement in each.placements),
        routes=tuple(route for each in moved for route in each.routes),
        ports=tuple(port for each in moved for port in each.ports),
        codes=tuple(code for each in moved for code in each.codes),
        line=regions[0].line,
    )
    homes = {param.name: number for number, each in enumerate(moved) for param in each.params}
    return Stretch(region, parts, homes, several)


def _moved(part: Part) -> Region:
    """The region's declarations and codes as they are in the stretch."""
    region = part.region
    own = {name: f"{region.name}@{name}" for name in ("x", "y", *(param.name for param in region.params))}
    tables = {table.name: f"{region.name}@{table.name}" for table in region.tables}

    def rewrite(expr: Expr) -> Expr:
        return _renamed(expr, own, tables)

    def at(rect: Rect) -> Rect:
        return replace(rect, x0=rect.x0 + part.x, x1=rect.x1 + part.x, y0=rect.y0 + part.y, y1=rect.y1 + part.y)

    whole = at(Rect(0, region.width, 0, region.height))
    coordinates = [
        Param(whole, own["x"], Binary("-", Name("x"), Int(part.x))),
        Param(whole, own["y"], Binary("-", Name("y"), Int(part.y))),
    ]
    params = [replace(p, rect=at(p.rect), name=own[p.name], value=rewrite(p.value)) for p in region.params]
    return replace(
        region,
        tables=tuple(replace(table, name=tables[table.name]) for table in region.tables),
        params=(*coordinates, *params),
        buffers=tuple(replace(buffer, rect=at(buffer.rect)) for buffer in region.buffers),
        placements=tuple(replace(placement, rect=at(placement.rect)) for placement in region.placements),
        routes=tuple(replace(route, rect=at(route.rect)) for route in region.routes),
        ports=tuple(replace(port, rect=at(port.rect), count=rewrite(port.count)) for port in region.ports),
        codes=tuple(
            Code(at(code.rect), code.name, rewrite_body(code.body, rewrite), line=code.line) for code in region.codes
        ),
    )


def _renamed(expr: Expr, names: Mapping[str, str], tables: Mapping[str, str]) -> Expr:
    match expr:
        case Name(name):
            return Name(names.get(name, name))
        case Binary(op, left, right):
            return Binary(op, _renamed(left, names, tables), _renamed(right, names, tables))
        case Select(condition, then, otherwise):
            return Select(*(_renamed(part, names, tables) for part in (condition, then, otherwise)))
        case TableRef(table, index):
            return TableRef(tables[table], _renamed(index, names, tables))
    return expr
