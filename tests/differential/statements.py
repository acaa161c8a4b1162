"""Short constructors of statements: ``do("send", "f0", color=X % 2)`` is one instruction.

Options are written with a trailing underscore where Python keeps the word: ``async_``, ``from_``, ``in_``.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshrt.program.expr import Expr, ExprLike, Int, as_expr
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Arg, Dim, For, If, Instruction, Statement, View

Body = tuple[Statement, ...]
#: An option that is None is left out.
Option = ExprLike | float | str | tuple[str, ...] | None


def part(buffer: str, offset: ExprLike, *dims: ExprLike | tuple[ExprLike, ExprLike]) -> View:
    """``buffer[offset](dims)``: a dimension is an extent, or an extent and its stride; extents alone are dense."""
    shaped: list[Dim] = []
    step: Expr = Int(1)
    for dim in reversed(dims):
        extent, stride = dim if isinstance(dim, tuple) else (dim, step)
        shaped.insert(0, Dim(as_expr(extent), as_expr(stride)))
        step = as_expr(stride) * as_expr(extent)
    return View(buffer, as_expr(offset), tuple(shaped))


def do(opcode: str, *args: Arg | str, **options: Option) -> Instruction:
    """One instruction; a name alone is the whole buffer."""
    given = {name.rstrip("_"): value for name, value in options.items() if value is not None}
    order = [option for option in INSTRUCTIONS[opcode].options if option.name in given]
    values = tuple(
        (option.name, as_expr(given[option.name]) if option.kind == "expr" else given[option.name]) for option in order
    )
    return Instruction(opcode, tuple(View(arg) if isinstance(arg, str) else arg for arg in args), values)


def when(condition: Expr | None, then: Iterable[Statement], otherwise: Iterable[Statement] = ()) -> Body:
    """``if condition { then } else { otherwise }``; without a condition, or with a constant one, the branch itself."""
    then, otherwise = tuple(then), tuple(otherwise)
    if condition is None or isinstance(condition, Int):
        return then if condition is None or condition.value else otherwise
    if then:
        return (If(condition, then, otherwise),)
    return (If(condition.eq(0), otherwise),) if otherwise else ()


def loop(counter: str, stop: ExprLike, body: Iterable[Statement]) -> Body:
    """``for counter in 0..stop``; nothing where the body is empty."""
    body = tuple(body)
    return (For(counter, Int(0), as_expr(stop), body),) if body else ()
