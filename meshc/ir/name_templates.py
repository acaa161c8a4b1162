"""Names of weights in repeated layers: index expressions of loop counters stand in braces, ``layers.{2*l+1}.w``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from meshrt.program.expr import Expr, ExprLike, evaluate, names_in, substitute
from meshrt.program.parser import parse_expr
from meshrt.program.printer import print_expr

_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class NameTemplate:
    """A name in pieces: plain text and index expressions. A plain name is a template without expressions."""

    pieces: tuple[str | Expr, ...]

    @staticmethod
    def of(text: str) -> NameTemplate:
        """Read a template. Raises M0301 for braces around something else than an index expression."""
        plain_and_inside = _BRACES.split(text)
        return NameTemplate(tuple(parse_expr(p) if i % 2 else p for i, p in enumerate(plain_and_inside) if i % 2 or p))

    @property
    def expressions(self) -> tuple[Expr, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Expr))

    @property
    def counters(self) -> frozenset[str]:
        """The counters that it reads; none for a plain name."""
        return frozenset().union(*map(names_in, self.expressions))

    def substituted(self, bindings: Mapping[str, ExprLike]) -> NameTemplate:
        """The template with counters replaced by expressions."""
        return NameTemplate(tuple(substitute(p, bindings) if isinstance(p, Expr) else p for p in self.pieces))

    def name(self, values: Mapping[str, int]) -> str:
        """The name that it stands for in one round of its loops."""
        return "".join(str(evaluate(p, values, {})) if isinstance(p, Expr) else p for p in self.pieces)

    def __str__(self) -> str:
        return "".join("{" + print_expr(p) + "}" if isinstance(p, Expr) else p for p in self.pieces)
