"""Statements with other index expressions in the place of theirs."""

from __future__ import annotations

from collections.abc import Callable

from meshrt.program.expr import Expr
from meshrt.program.model import Arg, Dim, For, If, Instruction, OpScope, Statement, Until, View

#: Gives the expression that stands for another.
Rewrite = Callable[[Expr], Expr]


def rewrite_body(body: tuple[Statement, ...], rewrite: Rewrite) -> tuple[Statement, ...]:
    """The body with every index expression rewritten; lines stay."""
    return tuple(_statement(statement, rewrite) for statement in body)


def _statement(statement: Statement, rewrite: Rewrite) -> Statement:
    match statement:
        case Instruction(opcode, args, options):
            rewritten = tuple((name, rewrite(v) if isinstance(v, Expr) else v) for name, v in options)
            return Instruction(opcode, tuple(_argument(arg, rewrite) for arg in args), rewritten, statement.line)
        case OpScope(op, body):
            return OpScope(op, rewrite_body(body, rewrite), statement.line)
        case If(condition, then, otherwise):
            both = (rewrite_body(part, rewrite) for part in (then, otherwise))
            return If(rewrite(condition), *both, line=statement.line)
        case For(counter, start, stop, body, until):
            flag = None if until is None else _view(until, rewrite)
            return For(counter, rewrite(start), rewrite(stop), rewrite_body(body, rewrite), flag, statement.line)
        case Until(flag, body):
            return Until(_view(flag, rewrite), rewrite_body(body, rewrite), statement.line)


def _argument(arg: Arg, rewrite: Rewrite) -> Arg:
    return _view(arg, rewrite) if isinstance(arg, View) else arg


def _view(view: View, rewrite: Rewrite) -> View:
    dims = None if view.dims is None else tuple(Dim(rewrite(d.extent), rewrite(d.stride)) for d in view.dims)
    return View(view.buffer, rewrite(view.offset), dims)
