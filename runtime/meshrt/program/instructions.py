"""The table of instructions: operands, options, cost class and meaning of each opcode.

One table feeds the parser's checks, the engines, the cost model and the reference
docs. Adding an instruction is adding a row here and its arithmetic in the engines.

Operand roles: ``in`` is read, ``out`` is written, ``inout`` is both. An ``in`` operand
of an elementwise instruction may be an immediate number.

Cost classes are priced by :mod:`meshrt.program.cost` from the target's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option ``name=value``; ``kind`` is expr, number, word, words, port, ports or handle."""

    name: str
    kind: str
    required: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstructionSpec:
    """One row: opcode, its operands as (name, role), its options, cost class and one-line meaning."""

    opcode: str
    group: str
    operands: tuple[tuple[str, str], ...]
    options: tuple[OptionSpec, ...]
    cost: str
    meaning: str
    immediates: bool = False


def _elementwise(opcode: str, inputs: int, cost: str, meaning: str) -> InstructionSpec:
    names = ("a", "b", "c")[:inputs]
    return InstructionSpec(
        opcode,
        "arithmetic",
        (("r", "out"), *((n, "in") for n in names)),
        (),
        cost,
        meaning,
        immediates=True,
    )


_COLOR = OptionSpec("color", "expr", required=True)
_ASYNC = OptionSpec("async", "handle")
_VECTOR = OptionSpec("vector", "word", words=("m", "n"))

_ROWS = (
    # Tile arithmetic. Accumulation runs over k in ascending order, one rounding to the
    # accumulator's dtype after each multiply-add (f32: multiply and add round separately).
    InstructionSpec(
        "gemm",
        "arithmetic",
        (("c", "inout"), ("a", "in"), ("b", "in")),
        (_VECTOR,),
        "fma",
        "c[.., m, n] += a[.., m, k] * b[.., k, n]; leading dimensions are batches",
    ),
    InstructionSpec(
        "gemm_t",
        "arithmetic",
        (("c", "inout"), ("a", "in"), ("b", "in")),
        (_VECTOR,),
        "fma",
        "c[.., m, n] += a[.., m, k] * b[.., n, k]; leading dimensions are batches",
    ),
    # Elementwise: r and the operands have the same extents; a stride of 0 repeats.
    _elementwise("copy", 1, "move", "r = a, converted to r's dtype"),
    _elementwise("add", 2, "add", "r = a + b"),
    _elementwise("sub", 2, "add", "r = a - b"),
    _elementwise("mul", 2, "add", "r = a * b"),
    _elementwise("max", 2, "add", "r = the larger of a and b"),
    _elementwise("min", 2, "add", "r = the smaller of a and b"),
    _elementwise("fma", 3, "add", "r = a * b + c, the product rounded first"),
    _elementwise("div", 2, "divide", "r = a / b"),
    _elementwise("sqrt", 1, "root", "r = square root of a"),
    _elementwise("rsqrt", 1, "root", "r = 1 / square root of a"),
    _elementwise("exp", 1, "special", "r = e to the a"),
    _elementwise("log", 1, "special", "r = natural logarithm of a"),
    _elementwise("sin", 1, "special", "r = sine of a (radians)"),
    _elementwise("cos", 1, "special", "r = cosine of a (radians)"),
    _elementwise("tanh", 1, "special", "r = hyperbolic tangent of a"),
    _elementwise("erf", 1, "special", "r = error function of a"),
    _elementwise("sigmoid", 1, "special", "r = 1 / (1 + e to the -a)"),
    # Reductions over the last dimension of a, in ascending order.
    InstructionSpec("sum", "arithmetic", (("r", "out"), ("a", "in")), (), "add", "r[..] = sum over n of a[.., n]"),
    InstructionSpec("reduce_max", "arithmetic", (("r", "out"), ("a", "in")), (), "add", "r[..] = largest a[.., n]"),
    # Index-driven.
    InstructionSpec(
        "fill",
        "arithmetic",
        (("r", "out"),),
        (OptionSpec("value", "number", required=True), OptionSpec("where", "expr")),
        "move",
        "r = value, only where the expression over the element indices i0, i1, .. is not zero",
    ),
    InstructionSpec(
        "index",
        "arithmetic",
        (("r", "out"),),
        (OptionSpec("value", "expr", required=True),),
        "move",
        "r = the index expression over the element indices i0, i1, .. (exact integers)",
    ),
    InstructionSpec(
        "gather",
        "arithmetic",
        (("r", "out"), ("table", "in"), ("index", "in")),
        (OptionSpec("base", "expr"),),
        "move",
        "r[i, ..] = table[index[i] - base, ..], zero where the index is outside the table",
    ),
    InstructionSpec(
        "rotate",
        "arithmetic",
        (("a", "inout"), ("b", "inout")),
        (),
        "control",
        "exchange the addresses of two whole buffers of one shape and dtype",
    ),
    # Fabric. Blocking unless async names a handle.
    InstructionSpec("send", "fabric", (("a", "in"),), (_COLOR, _ASYNC), "fabric", "send a to the color"),
    InstructionSpec("recv", "fabric", (("r", "out"),), (_COLOR, _ASYNC), "fabric", "receive r from the color"),
    InstructionSpec(
        "recv_add", "fabric", (("r", "inout"),), (_COLOR, _ASYNC), "fabric", "r = r + what the color brings"
    ),
    InstructionSpec(
        "recv_max", "fabric", (("r", "inout"),), (_COLOR, _ASYNC), "fabric", "r = max(r, what the color brings)"
    ),
    InstructionSpec(
        "stream_add",
        "fabric",
        (("a", "in"),),
        (OptionSpec("in", "expr", required=True), OptionSpec("out", "expr", required=True), _ASYNC),
        "fabric",
        "word by word: send to out (a + what in brings)",
    ),
    InstructionSpec(
        "stream_max",
        "fabric",
        (("a", "in"),),
        (OptionSpec("in", "expr", required=True), OptionSpec("out", "expr", required=True), _ASYNC),
        "fabric",
        "word by word: send to out max(a, what in brings)",
    ),
    InstructionSpec(
        "stream_copy",
        "fabric",
        (("r", "out"),),
        (OptionSpec("in", "expr", required=True), OptionSpec("out", "expr", required=True), _ASYNC),
        "fabric",
        "word by word: store what in brings to r and send it on to out",
    ),
    InstructionSpec(
        "wait",
        "control",
        (),
        (OptionSpec("handle", "handle", required=True),),
        "control",
        "until the asynchronous move of this handle has ended",
    ),
    InstructionSpec(
        "route",
        "control",
        (),
        (
            _COLOR,
            OptionSpec("from", "port", required=True),
            OptionSpec("to", "ports", required=True),
        ),
        "control",
        "this router's configuration of the color from now on, behind the words this PE has sent on it",
    ),
)

#: The instruction table by opcode.
INSTRUCTIONS: dict[str, InstructionSpec] = {row.opcode: row for row in _ROWS}
