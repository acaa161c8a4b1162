"""The mesh dialect: a placed region, its declarations, and one operation per program statement.

Buffers and streams are symbols: views name a buffer, expressions name a stream as
``@name``. An instruction is ``mesh.<opcode>`` of the instruction table
(:mod:`meshrt.program.instructions`), its operands in ``args``, so that what is left
after addresses and colors are known is a print away from the program. A rectangle is a
list ``[x0, x1, y0, y1, xs, ys]``, half open, with strides.
"""

from __future__ import annotations

from meshc.ir.core import Operation
from meshc.ir.spec import AttributeSpec, Check, Count, Dialect, OpSpec, exactly, optional, required
from meshrt.program.instructions import INSTRUCTIONS, InstructionSpec, OptionSpec

#: Attribute kinds of each kind of instruction option.
_OPTION_KINDS = {
    "expr": ("expr",),
    "number": ("float", "int"),
    "word": ("string",),
    "words": ("list",),
    "port": ("string",),
    "ports": ("list",),
    "handle": ("string",),
}


def _declaration(name: str, meaning: str, *attributes: AttributeSpec) -> OpSpec:
    return OpSpec(f"mesh.{name}", meaning, results=exactly(0), attributes=attributes, effects=True)


_DECLARATIONS = (
    _declaration("scalar", "a runtime scalar", required("name"), required("low", "int"), required("high", "int")),
    _declaration("table", "a 1-D table of integers", required("name"), required("entries", "list")),
    _declaration("param", "a per-PE integer", required("rect", "list"), required("name"), required("value", "expr")),
    _declaration(
        "buffer",
        "SRAM of each PE; the address is planned; what is kept is needed from the beginning to the end",
        required("rect", "list"),
        required("name"),
        required("dtype"),
        required("shape", "list"),
        optional("kept", "bool"),
        optional("address", "int"),
    ),
    _declaration(
        "place",
        "what lies in a buffer before the run",
        required("rect", "list"),
        required("buffer"),
        required("ranges", "list"),
        required("tensor"),
        required("indices", "list"),
    ),
    _declaration(
        "stream",
        "a stream and its static routes, each [rect, from, [to, ..]]; the color is allocated, the same one in all "
        "regions for streams of one name that go across their borders",
        required("name"),
        required("routes", "list"),
        optional("across", "bool"),
        optional("color", "int"),
    ),
    _declaration(
        "port",
        "a host port on edge routers",
        required("name"),
        required("direction", words=("in", "out")),
        required("side", words=("N", "E", "S", "W")),
        required("rect", "list"),
        required("color", "expr"),
        required("dtype"),
        required("shape", "list"),
        required("count", "expr"),
        required("indices", "list"),
        optional("exact", "bool"),
    ),
)

_STRUCTURE = (
    OpSpec(
        "mesh.region",
        "a rectangle of PEs at an origin of the fabric: declarations, then code",
        results=exactly(0),
        attributes=(
            required("name"),
            required("width", "int"),
            required("height", "int"),
            required("origin", "list"),
            optional("code_bytes", "int"),
            optional("peak_bytes", "int"),
        ),
        regions=exactly(1),
        top_level=True,
        effects=True,
    ),
    OpSpec(
        "mesh.code",
        "the code of the PEs of a rectangle",
        results=exactly(0),
        attributes=(required("rect", "list"), required("name")),
        regions=exactly(1),
        effects=True,
    ),
    OpSpec(
        "mesh.for",
        "a loop over start..stop, which also ends after a round in which the flag ``until`` is not zero",
        results=exactly(0),
        attributes=(
            required("counter"),
            required("start", "expr"),
            required("stop", "expr"),
            optional("until", "view"),
        ),
        regions=exactly(1),
        effects=True,
    ),
    OpSpec(
        "mesh.if",
        "the first region where the condition is not zero, else the second",
        results=exactly(0),
        attributes=(required("condition", "expr"),),
        regions=Count(1, 2),
        effects=True,
    ),
    OpSpec(
        "mesh.until",
        "the region until the flag is not zero after it",
        results=exactly(0),
        attributes=(required("flag", "view"),),
        regions=exactly(1),
        effects=True,
    ),
    OpSpec(
        "mesh.scope",
        "statements of one entry of the op table",
        results=exactly(0),
        attributes=(required("op", "int"),),
        regions=exactly(1),
        effects=True,
    ),
)


def _arguments(spec: InstructionSpec) -> Check:
    def check(op: Operation) -> str | None:
        given = len(op.attributes["args"])
        wanted = len(spec.operands)
        return None if given == wanted else f"{spec.opcode} takes {wanted} operands in args, not {given}"

    return check


def _option(option: OptionSpec) -> AttributeSpec:
    make = required if option.required else optional
    return make(option.name, *_OPTION_KINDS[option.kind], words=option.words)


_INSTRUCTIONS = tuple(
    OpSpec(
        f"mesh.{spec.opcode}",
        spec.meaning,
        results=exactly(0),
        attributes=(required("args", "list"), *(_option(o) for o in spec.options)),
        effects=True,
        check=_arguments(spec),
    )
    for spec in INSTRUCTIONS.values()
)

#: The mesh level.
MESH = Dialect.of("mesh", (*_STRUCTURE, *_DECLARATIONS, *_INSTRUCTIONS))
