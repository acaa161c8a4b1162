"""The operations that every level has: ``func``, a phase of the model, and ``return`` at its end."""

from __future__ import annotations

from meshc.ir.spec import ANY, OpSpec, exactly, required

FUNC = OpSpec(
    "func",
    "one phase of the model; the arguments of its region are the model's inputs",
    results=exactly(0),
    attributes=(required("name"),),
    regions=exactly(1),
    ends_with="return",
    top_level=True,
    effects=True,
)
RETURN = OpSpec("return", "the end of a function: its results", operands=ANY, results=exactly(0), terminator=True)

#: Rows for the table of a level that has functions.
FUNCTIONS = (FUNC, RETURN)
