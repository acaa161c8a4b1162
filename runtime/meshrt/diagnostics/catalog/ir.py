"""M02xx: IR text and verification."""

from __future__ import annotations

from meshrt.diagnostics.catalog.entry import Entry

ENTRIES: dict[str, Entry] = {
    "M0201": Entry(
        "the IR text is not well formed",
        "The text does not follow the syntax of .mir files (docs/ir.md). The caret stands at the first word that "
        "cannot follow what comes before it; the mistake may be there or shortly before.",
    ),
    "M0202": Entry(
        "a value is used where it is not defined",
        "A value can be used after its definition, in the same region or in one inside it. Values of one region "
        "cannot be seen from beside it: what leaves a region leaves through its last operation.",
    ),
    "M0203": Entry(
        "a value is defined twice",
        "Every value has one definition, and a region may not reuse a name that it can see from outside. Give one "
        "of the two another name.",
    ),
    "M0204": Entry(
        "the text is not a type",
        "A type is tensor<1x64x576xf32>, extents and then a dtype, or one that the dialect adds, written "
        "name<key = value, ...>.",
    ),
    "M0205": Entry(
        "an index expression or a view inside IR text cannot be read",
        'Attributes hold these as expr<"x + 1"> and view<"tile[0:4]">. Between the quotes stands the syntax of '
        "program.mesh (docs/program.md).",
    ),
    "M0206": Entry(
        "a key is given twice",
        "Each attribute of an operation and each parameter of a type is given once.",
    ),
    "M0207": Entry(
        "results and types do not match",
        "An operation with results names one type per result, in their order: "
        "%a, %b = name(...) : tensor<4xf32>, tensor<4xi64>.",
    ),
    "M0208": Entry(
        "a value has no text form",
        "An attribute holds none, truth values, integers, floats, strings, types, index expressions, views, and "
        "lists and dictionaries of these. A pass stored something else; what is no such value belongs into the "
        "pass context.",
    ),
    "M0209": Entry(
        "the IR file cannot be read",
        "The file does not exist, may not be read, or is not UTF-8 text.",
    ),
    "M0210": Entry(
        "the structure of the IR is broken",
        "An operation or value stands in two places, an operand is not defined where it is used, or a region does "
        "not know its operation. This is a defect of the pass that is named.",
    ),
    "M0211": Entry(
        "an operation is not legal at this level",
        "Each level (graph, tile, mesh) has a table of its operations. After a pass that lowers to a level, nothing "
        "of the level before may be left.",
    ),
    "M0212": Entry(
        "an operation has a wrong number of operands, results or regions",
        "The level's table says how many of each an operation takes.",
    ),
    "M0213": Entry(
        "an attribute is unknown, missing or of a wrong kind",
        "The level's table names the attributes of each operation, their kinds, and which must be there.",
    ),
    "M0214": Entry(
        "an operation contradicts itself",
        "The types of its operands and results and its attributes do not fit together: shapes that cannot be "
        "multiplied, a head count that does not divide, a result of another shape than the operation gives.",
    ),
    "M0215": Entry(
        "an operation stands in a wrong place",
        "A region ends with its own last operation (return, graph.yield) and holds it nowhere else; functions stand "
        "at the top level.",
    ),
    "M0216": Entry(
        "the level is unknown",
        "A module says its level in its first line: module graph, module tile or module mesh.",
    ),
    "M0220": Entry(
        "a pass left IR that is not legal",
        "The verifier runs after every pass. The pass named took legal IR and gave back this; with --dump-ir DIR "
        "both are written to files. It is a defect of the pass.",
    ),
    "M0290": Entry(
        "a grammar is missing",
        "The grammars mir.lark and mesh.lark belong to the installation. Install meshc again.",
    ),
}
