"""Checks that a program makes sense on a target, before anything runs.

Every index expression that follows from the PE alone is evaluated on all PEs, so what is
found is certain; what depends on loop counters or runtime scalars is left to the runtime,
which enforces the same rules. Buffers of one PE may share addresses: the runtime finds
reads of what another buffer has overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshrt.diagnostics import Diagnostic, MeshError
from meshrt.diagnostics.source_text import NO_TEXT, SourceText
from meshrt.program.check_borders import check_borders
from meshrt.program.check_code import check_codes
from meshrt.program.check_declarations import check_declarations, check_rects
from meshrt.program.check_routes import check_routes
from meshrt.program.fabric import beyond_edges
from meshrt.program.model import Program, Region
from meshrt.program.problems import Problems, duplicates
from meshrt.target import Target

#: Shapes of the source tensors by name.
TensorShapes = Mapping[str, tuple[int, ...]]


def check_program(
    program: Program, target: Target, source: SourceText = NO_TEXT, tensors: TensorShapes | None = None
) -> None:
    """Raise the first finding of :func:`diagnose` as a MeshError; return where there is none."""
    for found in diagnose(program, target, source, tensors):
        raise MeshError(found.code, found.message, place=found.place, notes=found.notes, helps=found.helps)


def diagnose(
    program: Program, target: Target, source: SourceText = NO_TEXT, tensors: TensorShapes | None = None
) -> tuple[Diagnostic, ...]:
    """What is wrong with the program on this target, empty where nothing is.

    Stage by stage (regions, rectangles, parameters, buffers, the other declarations, code, borders
    between regions); a stage is looked at where those before it are sound.

    ``source`` is the text that the program was read from. With ``tensors``, the placements
    must name tensors of these shapes.
    """
    problems = Problems(source)
    for name in duplicates(region.name for region in program.regions):
        line = [region.line for region in program.regions if region.name == name][1]
        problems.add("M0314", f"there are two regions {name!r}", line, name)
    for region in program.regions:
        _check_on_fabric(region, target, problems)
    _check_apart(program, problems)
    borders = beyond_edges(program.regions) if not problems.found else []
    for region, beyond in zip(program.regions, borders, strict=False):
        # What follows computes on arrays of the region's extent.
        if not problems.found and check_rects(region, problems):
            scope = check_declarations(region, target, problems, tensors)
            check_routes(region, target, scope, beyond, problems)
            # Code speaks of what is declared: mistakes there would be reported again at every use.
            if not problems.found:
                check_codes(region, target, scope, problems, len(program.ops))
    if not problems.found:
        check_borders(program, problems)
    return tuple(problems.found)


def _check_on_fabric(region: Region, target: Target, problems: Problems) -> None:
    problems.check_name(region.name, "a region", region.line)
    x, y = region.origin
    if min(region.width, region.height) < 1:
        problems.add("M0317", f"region {region.name!r} has no PEs", region.line, region.name)
    elif x < 0 or y < 0 or x + region.width > target.fabric_width or y + region.height > target.fabric_height:
        problems.add(
            "M0317",
            f"region {region.name!r} of {region.width} x {region.height} PEs at ({x}, {y}) "
            f"leaves the fabric of {target.name}",
            region.line,
            region.name,
            notes=[f"the fabric has {target.fabric_width} x {target.fabric_height} usable PEs"],
            helps=["compile for a smaller grid (--grid) or a larger target (--target)"],
        )


def _check_apart(program: Program, problems: Problems) -> None:
    for number, region in enumerate(program.regions):
        for other in program.regions[:number]:
            apart = (
                region.origin[0] + region.width <= other.origin[0]
                or other.origin[0] + other.width <= region.origin[0]
                or region.origin[1] + region.height <= other.origin[1]
                or other.origin[1] + other.height <= region.origin[1]
            )
            if not apart:
                problems.add("M0317", f"regions {other.name!r} and {region.name!r} overlap", region.line, region.name)
