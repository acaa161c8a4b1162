"""Whole programs: acts on one or two regions, on a machine of random numbers.

Every PE ends with its vectors on the way to the host, converted to f32: PEs on the edges send them out directly, or
the PEs of each row send them through the row, each turning its router to let those behind it pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.expr import Expr, Int, Name, X, Y, binary
from meshrt.program.model import (
    Code,
    ElementRange,
    Param,
    Placement,
    Port,
    Program,
    Rect,
    Region,
    Scalar,
)
from meshrt.target import Target
from tests.differential.acts import Act
from tests.differential.acts.structure import acts, write_all
from tests.differential.case import Case
from tests.differential.sheet import VECTORS, Sheet
from tests.differential.statements import Body, do, part, when
from tests.differential.targets import machine, numbers

#: The runtime scalar of every region, and its bounds.
SCALAR = ("size", (1, 4))


@dataclass(frozen=True)
class Plan:
    """A region as it is drawn."""

    width: int = 2
    height: int = 1
    dtypes: tuple[str, ...] = ("f32",)
    elements: int = 4
    acts: tuple[Act, ...] = ()
    exit: str = "edges"
    from_host: bool = False
    split: bool = False

    def region(self, name: str, origin: tuple[int, int], target: Target) -> Region:
        """The region with its code, routes, buffers and ports."""
        scalar, bounds = SCALAR
        sheet = Sheet(target, self.width, self.height, self.dtypes, self.elements, {scalar: bounds})
        ports: list[Port] = []
        body: Body = ()
        if self.from_host:
            body += self.entry(name, sheet, ports)
        body += write_all(self.acts, sheet)
        body += self.rows(name, sheet, ports) if self.exit == "rows" else self.edges(name, sheet, ports)
        # Two codes that say the same: their PEs are at the same statement of another text.
        middle = (self.width + 1) // 2 if self.split and self.width > 1 else self.width
        rects = [Rect(0, middle, 0, self.height), Rect(middle, self.width, 0, self.height)]
        return Region(
            name,
            origin,
            self.width,
            self.height,
            scalars=(Scalar(scalar, *bounds),),
            tables=tuple(sheet.tables),
            params=(Param(sheet.whole, "half", X // 2),),
            buffers=tuple(sheet.buffers),
            placements=tuple(
                Placement(
                    sheet.whole,
                    buffer.name,
                    (ElementRange("e0", 0, buffer.elements),),
                    f"{buffer.dtype}.{buffer.name}",
                    (X, Y, Name("e0")),
                )
                for buffer in sheet.buffers
            ),
            routes=sheet.route_lines(),
            ports=tuple(ports),
            codes=tuple(Code(r, f"part{k}", body) for k, r in enumerate(rects) if r.x0 < r.x1),
        )

    def entry(self, name: str, sheet: Sheet, ports: list[Port]) -> Body:
        """The host multicasts a vector over every row."""
        routes = {}
        for x in range(sheet.width):
            outputs = ("E", "RAMP") if x < sheet.width - 1 else ("RAMP",)
            routes |= {(x, y): ("W", outputs) for y in range(sheet.height)}
        color = sheet.host(1, routes)
        vector, dtype, n = sheet.vector(0, 0), sheet.dtype(0), sheet.elements
        rect = Rect(0, 1, 0, sheet.height)
        shape = (sheet.height, n)
        ports.append(Port(f"{name}.given", "in", "W", rect, color, dtype, shape, Int(n), (Y, Name("e"))))
        return (do("recv", vector, color=color),)

    def rows(self, name: str, sheet: Sheet, ports: list[Port]) -> Body:
        """All PEs of a row, the last one first: each sends its words and then passes on those from its west."""
        everywhere = [(x, y) for x in range(sheet.width) for y in range(sheet.height)]
        color = sheet.host(0, dict.fromkeys(everywhere, ("RAMP", ("E",))))
        sends, count = self.sends(sheet, Int(color))
        total = count * sheet.width
        rect = Rect(sheet.width - 1, sheet.width, 0, sheet.height)
        shape = (sheet.height, total)
        ports.append(Port(f"{name}.rows", "out", "E", rect, color, "f32", shape, Int(total), (Y, Name("e"))))
        lets_pass = do("route", color=color, from_="W", to=("E",))
        return (*sends, *when(X.gt(0) if sheet.width > 1 else Int(0), (lets_pass,)))

    def edges(self, name: str, sheet: Sheet, ports: list[Port]) -> Body:
        """PEs on the four sides; what those inside hold is seen only in what they told others."""
        w, h = sheet.width, sheet.height
        sides = {
            "W": Rect(0, 1, 0, h),
            "E": Rect(w - 1, w, 0, h) if w > 1 else None,
            "N": Rect(1, w - 1, 0, 1) if w > 2 else None,
            "S": Rect(1, w - 1, h - 1, h) if w > 2 and h > 1 else None,
        }
        color = sheet.host(0, {})
        sends, count = self.sends(sheet, Int(color))
        for side, rect in sides.items():
            if rect is None:
                continue
            pes = [(x, y) for x in range(rect.x0, rect.x1) for y in range(rect.y0, rect.y1)]
            sheet.host(0, dict.fromkeys(pes, ("RAMP", (side,))))
            along, extent = (Y, h) if side in "WE" else (X, w)
            indices = (along, Name("e"))
            ports.append(Port(f"{name}.{side}", "out", side, rect, color, "f32", (extent, count), Int(count), indices))
        inside = [X.gt(0), X.lt(w - 1), Y.gt(0), Y.lt(h - 1)]
        edge: Expr | None = None
        if w > 2 and h > 2:
            condition = inside[0]
            for test in inside[1:]:
                condition = binary("min", condition, test)
            edge = condition.eq(0)
        return when(edge, sends)

    def sends(self, sheet: Sheet, color: Expr) -> tuple[Body, int]:
        """Every vector to the color, as f32, and how many elements that makes."""
        n = sheet.elements
        body: Body = ()
        for dtype in range(len(self.dtypes)):
            for number in range(VECTORS):
                vector = sheet.vector(dtype, number)
                if sheet.dtype(dtype) != "f32":
                    if all(buffer.name != "shown" for buffer in sheet.buffers):
                        sheet.declare("shown", "f32", n)
                    body += (do("copy", "shown", vector),)
                    vector = "shown"
                body += (do("send", part(vector, 0, n), color=color),)
        return body, n * VECTORS * len(self.dtypes)


def build(plans: tuple[Plan, ...], drawn: dict[str, int], size: int) -> Case:
    """The case of these plans: regions that touch at corners only, so that every side is free for host ports."""
    target = machine(drawn)
    regions, x, y = [], 0, 0
    for number, plan in enumerate(plans):
        regions.append(plan.region(f"r{number}", (x, y), target))
        x, y = x + plan.width, y + plan.height
    scalars = {region.name: {SCALAR[0]: size} for region in regions}
    return Case(Program((), tuple(regions)), drawn, scalars)


plans = st.builds(
    Plan,
    width=st.integers(1, 8),
    height=st.integers(1, 8),
    dtypes=st.lists(st.sampled_from(("f32", "f16", "bf16", "i32")), min_size=1, max_size=2, unique=True).map(tuple),
    elements=st.sampled_from((4, 6, 8, 16)),
    acts=st.lists(acts, max_size=6).map(tuple),
    exit=st.sampled_from(("edges", "rows")),
    from_host=st.booleans(),
    split=st.booleans(),
)
cases = st.builds(
    build,
    st.lists(plans, min_size=1, max_size=2).map(tuple),
    numbers,
    st.integers(*SCALAR[1]),
)
