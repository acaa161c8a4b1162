"""Every diagnostic code with its title and longer explanation (``meshc explain CODE``): a file for each range."""

from __future__ import annotations

from meshrt.diagnostics.catalog import compilation, ir, models, program, running, targets
from meshrt.diagnostics.catalog.entry import Entry

__all__ = ["CATALOG", "Entry"]

#: Codes in ascending order.
CATALOG: dict[str, Entry] = {
    **models.ENTRIES,
    **ir.ENTRIES,
    **program.ENTRIES,
    **compilation.ENTRIES,
    **running.ENTRIES,
    **targets.ENTRIES,
}
