"""Checks the declarations of a region: names, rectangles, parameters, buffers, placements and ports."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.program.expr import Expr, evaluate, names_in, tables_in
from meshrt.program.memory_map import code_end, memory_map, rect_slices
from meshrt.program.model import DTYPE_BYTES, Buffer, ElementRange, Placement, Port, Program, Rect, Region
from meshrt.program.parser import parse_expr
from meshrt.program.printer import print_rect
from meshrt.program.problems import Problems, describe_pes, duplicates
from meshrt.program.scope import Scope, StaticFailure
from meshrt.target import Target

_BRACES = re.compile(r"\{([^{}]*)\}")
#: Most names that one template of a placement may stand for.
_MAX_TENSORS = 100_000


def check_rects(region: Region, problems: Problems) -> bool:
    """Whether every rectangle of the region lies inside it and holds PEs."""
    before = len(problems.found)
    for kind, declarations in (
        ("parameter", region.params),
        ("buffer", region.buffers),
        ("placement", region.placements),
        ("route", region.routes),
        ("port", region.ports),
        ("code", region.codes),
    ):
        for declaration in declarations:
            rect: Rect = declaration.rect
            inside = (
                0 <= rect.x0 < rect.x1 <= region.width
                and 0 <= rect.y0 < rect.y1 <= region.height
                and rect.xs > 0
                and rect.ys > 0
            )
            if not inside:
                problems.add(
                    "M0315",
                    f"the rectangle {print_rect(rect)} of this {kind} is empty or leaves the region",
                    declaration.line,
                    "(",
                    notes=[f"region {region.name!r} has {region.width} x {region.height} PEs"],
                )
    return len(problems.found) == before


def check_declarations(
    region: Region, target: Target, problems: Problems, tensors: Mapping[str, tuple[int, ...]] | None
) -> Scope:
    """Check everything but routes and code; the scope that is returned holds the region's names.

    Stops behind the parameters, or the buffers, when something is wrong with them: the rest builds on them.
    """
    scope = Scope.of(region)
    _check_scalars_and_tables(region, problems)
    _check_params(region, scope, problems)
    if not problems.found:
        _check_buffers(region, target, scope, problems)
    if problems.found:
        return scope
    for placement in region.placements:
        _check_placement(placement, region, scope, problems, tensors)
    _check_placements_apart(region, problems)
    for port in region.ports:
        _check_port(port, region, target, scope, problems)
    return scope


def check_expr(
    expr: Expr,
    what: str,
    scope: Scope,
    problems: Problems,
    line: int,
    mask: np.ndarray,
    extra: frozenset[str] = frozenset(),
    *,
    certain: bool = True,
) -> bool:
    """Check names, tables and static values of an expression on the PEs of the mask.

    ``extra`` are loop counters and element indices. ``certain`` says that every PE of the
    mask evaluates it. Returns whether nothing was found.
    """
    before = len(problems.found)
    for name in sorted(names_in(expr) - extra):
        if name.startswith("@"):
            problems.add("M0325", f"{what} names the stream {name}, which has no color yet", line, name)
        elif name not in scope.coverage:
            helps = did_you_mean(name, {*scope.coverage, *extra})
            problems.add("M0313", f"{what} reads {name!r}, which is not defined", line, name, helps=helps)
        else:
            lacking = mask & ~scope.coverage[name]
            if lacking.any() and (certain or not (mask & scope.coverage[name]).any()):
                problems.add(
                    "M0313", f"{what} reads {name!r}, which is not defined on {describe_pes(lacking)}", line, name
                )
    for table in sorted(tables_in(expr) - scope.tables.keys()):
        helps = did_you_mean(table, scope.tables, "tables")
        problems.add("M0313", f"{what} reads the table {table!r}, which is not defined", line, table, helps=helps)
    if len(problems.found) == before and certain:
        try:
            scope.check_tables(expr, mask, extra)
            if scope.is_static(expr, extra):
                scope.grid(expr)
        except StaticFailure as failure:
            problems.add("M0326", f"{what} {failure}", line)
    return len(problems.found) == before


def _check_scalars_and_tables(region: Region, problems: Problems) -> None:
    for scalar in region.scalars:
        problems.check_name(scalar.name, "a scalar", scalar.line, in_expressions=True)
        if scalar.low > scalar.high:
            problems.add("M0303", f"scalar {scalar.name!r} has no values: {scalar.low} > {scalar.high}", scalar.line)
    for table in region.tables:
        problems.check_name(table.name, "a table", table.line)
        if not table.entries:
            problems.add("M0303", f"table {table.name!r} has no entries", table.line, table.name)
    for kind, declared in (("scalars", region.scalars), ("tables", region.tables), ("ports", region.ports)):
        for name in duplicates(d.name for d in declared):
            line = [d.line for d in declared if d.name == name][1]
            problems.add("M0314", f"there are two {kind} {name!r}", line, name)


def _check_params(region: Region, scope: Scope, problems: Problems) -> None:
    for param in region.params:
        problems.check_name(param.name, "a parameter", param.line, in_expressions=True)
        mask = scope.mask(param.rect)
        if param.name in scope.scalars:
            problems.add("M0314", f"{param.name!r} is a scalar already", param.line, param.name)
        elif param.name in scope.coverage and (scope.coverage[param.name] & mask).any():
            twice = describe_pes(scope.coverage[param.name] & mask)
            problems.add("M0314", f"parameter {param.name!r} is defined twice on {twice}", param.line, param.name)
        elif check_expr(param.value, f"parameter {param.name!r}", scope, problems, param.line, mask):
            scope.define_param(param.name, param.rect, param.value)


def _check_buffers(region: Region, target: Target, scope: Scope, problems: Problems) -> None:
    ends = code_end(region, target)
    for buffer in region.buffers:
        problems.check_name(buffer.name, "a buffer", buffer.line)
        if buffer.dtype not in DTYPE_BYTES:
            helps = did_you_mean(buffer.dtype, DTYPE_BYTES, "dtypes")
            problems.add("M0332", f"there is no dtype {buffer.dtype!r}", buffer.line, buffer.dtype, helps=helps)
            continue
        if not buffer.shape or min(buffer.shape) < 1:
            problems.add("M0332", f"buffer {buffer.name!r} has no elements", buffer.line, buffer.name)
            continue
        if buffer.address % DTYPE_BYTES[buffer.dtype]:
            problems.add(
                "M0332",
                f"buffer {buffer.name!r} starts at byte {buffer.address}, which is no multiple of the "
                f"{DTYPE_BYTES[buffer.dtype]} bytes of an element",
                buffer.line,
                "@",
            )
        known = scope.elements.get(buffer.name)
        mask = scope.mask(buffer.rect)
        if known is not None and (mask & (known > 0)).any():
            twice = describe_pes(mask & (known > 0))
            problems.add("M0314", f"buffer {buffer.name!r} is defined twice on {twice}", buffer.line, buffer.name)
        scope.define_buffer(buffer)
        _check_in_sram(buffer, region, target, ends, problems)


def _check_in_sram(buffer: Buffer, region: Region, target: Target, ends: np.ndarray, problems: Problems) -> None:
    end = buffer.address + buffer.bytes
    if end > target.sram_bytes:
        problems.add(
            "M0318",
            f"buffer {buffer.name!r} ends {end - target.sram_bytes} bytes behind the {target.sram_bytes} "
            f"bytes of SRAM of a PE of {target.name}",
            buffer.line,
            buffer.name,
            notes=memory_map(Program(regions=(region,)), target).render().split("\n"),
            helps=["a larger grid leaves less on each PE (--grid)"],
        )
    area = rect_slices(buffer.rect)
    over = ends[area] - buffer.address
    if buffer.address < 0 or over.max() > 0:
        problems.add(
            "M0319",
            f"buffer {buffer.name!r} starts at byte {buffer.address}, inside the {ends[area].max()} bytes of "
            "runtime and code",
            buffer.line,
            "@",
        )


def _check_placement(
    placement: Placement,
    region: Region,
    scope: Scope,
    problems: Problems,
    tensors: Mapping[str, tuple[int, ...]] | None,
) -> None:
    what, line = f"the placement in {placement.buffer!r}", placement.line
    mask = scope.mask(placement.rect)
    counts = scope.elements.get(placement.buffer)
    if counts is None or (mask & (counts == 0)).any():
        where = "" if counts is None else f" on {describe_pes(mask & (counts == 0))}"
        helps = did_you_mean(placement.buffer, scope.elements, "buffers") if counts is None else ()
        problems.add("M0313", f"there is no buffer {placement.buffer!r}{where}", line, placement.buffer, helps=helps)
        return
    names = frozenset(r.name for r in placement.ranges)
    for r in placement.ranges:
        problems.check_name(r.name, "an element index", line)
    for buffer in region.buffers:
        if buffer.name == placement.buffer and (scope.mask(buffer.rect) & mask).any():
            _check_ranges(placement, buffer, problems)
    for index in placement.indices:
        check_expr(index, what, scope, problems, line, mask, names)
        for name in sorted(names_in(index) - names):
            if name in scope.coverage and name not in scope.values:
                problems.add(
                    "M0322", f"{what} depends on a runtime scalar through {name!r}; weights are placed once", line, name
                )
    _check_tensor(placement, names, problems, tensors)


def _check_ranges(placement: Placement, buffer: Buffer, problems: Problems) -> None:
    ranges = placement.ranges
    fits = len(ranges) == len(buffer.shape) and all(
        0 <= r.start < r.stop <= extent for r, extent in zip(ranges, buffer.shape, strict=True)
    )
    if not fits:
        written = ", ".join(f"{r.start}..{r.stop}" for r in ranges)
        shape = ", ".join(map(str, buffer.shape))
        problems.add(
            "M0322",
            f"the placement runs over [{written}] of buffer {buffer.name!r}, whose shape is [{shape}]",
            placement.line,
            placement.buffer,
        )


def _check_tensor(
    placement: Placement,
    names: frozenset[str],
    problems: Problems,
    tensors: Mapping[str, tuple[int, ...]] | None,
) -> None:
    line = placement.line
    for part in _BRACES.findall(placement.tensor):
        try:
            expression = parse_expr(part)
        except MeshError as error:
            reason = error.diagnostic.message
            problems.add("M0322", f"{part!r} in the tensor's name is no index expression: {reason}", line, part)
            return
        if names_in(expression) - names or tables_in(expression):
            problems.add("M0322", f"the tensor's name may read element indices only, not {part!r}", line, part)
            return
    if tensors is None:
        return
    for name in itertools.islice(tensor_names(placement.tensor, placement.ranges), _MAX_TENSORS):
        if name not in tensors:
            helps = did_you_mean(name, tensors, "tensors")
            problems.add("M0322", f"the weights have no tensor {name!r}", line, '"', helps=helps)
            return
        if len(tensors[name]) != len(placement.indices):
            problems.add(
                "M0322",
                f"tensor {name!r} has {len(tensors[name])} dimensions; the placement gives "
                f"{len(placement.indices)} indices",
                line,
                '"',
            )
            return


def tensor_names(template: str, ranges: tuple[ElementRange, ...]) -> Iterator[str]:
    """The tensors that a template of a placement stands for, over the element indices that it reads."""
    pieces = _BRACES.split(template)
    expressions = [parse_expr(piece) for piece in pieces[1::2]]
    read = frozenset[str]().union(*(names_in(e) for e in expressions)) if expressions else frozenset()
    used = [r for r in ranges if r.name in read]
    for values in itertools.product(*(range(r.start, r.stop) for r in used)):
        bindings = dict(zip((r.name for r in used), values, strict=True))
        filled = [str(evaluate(expression, bindings, {})) for expression in expressions]
        yield "".join(a + b for a, b in itertools.zip_longest(pieces[0::2], filled, fillvalue=""))


def _check_placements_apart(region: Region, problems: Problems) -> None:
    """No element may be placed twice."""
    by_buffer: dict[str, list[Placement]] = {}
    for placement in region.placements:
        for other in by_buffer.setdefault(placement.buffer, []):
            if _rects_meet(placement.rect, other.rect) and _ranges_meet(placement.ranges, other.ranges):
                problems.add(
                    "M0322",
                    f"two placements fill the same elements of buffer {placement.buffer!r}",
                    placement.line,
                    placement.buffer,
                    notes=[f"the other is in line {other.line}"] if other.line else (),
                )
                break
        by_buffer[placement.buffer].append(placement)


def _ranges_meet(a: tuple[ElementRange, ...], b: tuple[ElementRange, ...]) -> bool:
    return len(a) == len(b) and all(p.start < q.stop and q.start < p.stop for p, q in zip(a, b, strict=True))


def _rects_meet(a: Rect, b: Rect) -> bool:
    return _spans_meet((a.x0, a.x1, a.xs), (b.x0, b.x1, b.xs)) and _spans_meet((a.y0, a.y1, a.ys), (b.y0, b.y1, b.ys))


def _spans_meet(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two arithmetic ranges share a member: within one common period, or not at all."""
    start, stop = max(a[0], b[0]), min(a[1], b[1])
    period = math.lcm(a[2], b[2])
    return any(at in range(*a) and at in range(*b) for at in range(start, min(stop, start + period)))


def _check_port(port: Port, region: Region, target: Target, scope: Scope, problems: Problems) -> None:
    what, line = f"port {port.name!r}", port.line
    problems.check_name(port.name, "a port", line)
    r = port.rect
    vertical = port.side in ("W", "E")
    edge = {"E": region.width - 1, "S": region.height - 1}.get(port.side, 0)
    if ((r.x0, r.x1) if vertical else (r.y0, r.y1)) != (edge, edge + 1):
        side = f"{'column' if vertical else 'row'} {edge}"
        problems.add("M0323", f"{what} must lie on side {port.side} of the region, {side}", line, "side")
    if not target.program_colors <= port.color < target.colors:
        problems.add(
            "M0320",
            f"{what} uses color {port.color}; host ports use {target.program_colors} to {target.colors - 1} "
            f"on {target.name}",
            line,
            "color",
        )
    if len(port.indices) != len(port.shape):
        problems.add(
            "M0323",
            f"{what} carries a tensor of {len(port.shape)} dimensions; it gives {len(port.indices)} indices",
            line,
            "at",
        )
    if port.direction == "in" and not port.exact:
        helps = ["write count: only what leaves may be fewer"]
        problems.add("M0323", f"{what} brings all its elements", line, "most", helps=helps)
    if port.dtype not in DTYPE_BYTES:
        problems.add("M0332", f"there is no dtype {port.dtype!r}", line, port.dtype)
    mask = scope.mask(r)
    check_expr(port.count, f"the count of {what}", scope, problems, line, mask)
    for index in port.indices:
        check_expr(index, what, scope, problems, line, mask, frozenset("e"))
