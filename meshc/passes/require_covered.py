"""require-covered: an operation that nothing computes stops the compilation here, with the user's line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from meshc.dialects.graph_coverage import Uncovered, telling, unsupported
from meshc.ir.core import Module
from meshc.passes.base import Pass, PassContext
from meshrt.diagnostics import MeshError, Place

#: How many of the other operations the diagnostic names.
_SHOWN = 6


@dataclass(frozen=True)
class RequireCovered(Pass):
    """Stop where the graph holds an operation that the tile level does not take.

    Needs: the fusing passes before.

    Does: nothing to the module; raises M0402 for the first operation without a covered form, with its line in the
    model, why it is not covered and the nearest form that is; the others are counted in notes.

    Holds after: every operation is one that ``tile`` takes.
    """

    name: ClassVar[str] = "require-covered"

    def run(self, module: Module, context: PassContext) -> None:
        """Raise M0402 where something is not covered."""
        found = unsupported(module)
        if found:
            raise uncovered_error(found)


def uncovered_error(found: list[Uncovered]) -> MeshError:
    """The diagnostic: ATen calls that nothing represents before primitives that no pattern took."""
    first = telling(found)
    notes = [first.reason]
    if first.location.scope:
        notes.append(f"it stands in {first.location.scope}")
    others = Counter(each.op for each in found)
    others[first.op] -= 1
    rest = [f"{name} ({count})" if count > 1 else name for name, count in others.items() if count]
    if rest:
        more = f" and {len(rest) - _SHOWN} more kinds" if len(rest) > _SHOWN else ""
        notes.append(f"also not covered: {', '.join(rest[:_SHOWN])}{more}")
    return MeshError(
        "M0402",
        f"no kernel covers {first.op}",
        place=Place(first.location.file, first.location.line) if first.location.file else None,
        notes=notes,
        helps=[
            f"nearest supported form: {first.nearest}",
            "`meshc coverage MODEL` lists every operation of the model and how far it gets",
        ],
    )
