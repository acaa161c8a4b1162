"""Writes ``docs/fidelity.md`` and its plot: ``make fidelity``, some minutes long."""

from __future__ import annotations

from pathlib import Path

from tools.fidelity.sections import measured_kernels, published_reductions

DOCS = Path(__file__).resolve().parents[2] / "docs"

_HEAD = """# Fidelity

What the emulator says against what real wafers and published models say. This page is written by `make fidelity`. Every
figure is one of

- *measured elsewhere*: on a real wafer, by others, as published;
- *modelled*: computed by this project's engines, or by a published formula;
- *calibrated*: a number of a target file that was fitted to measured figures.

"""

#: The sections in their order: what gives their text.
SECTIONS = (measured_kernels.section, published_reductions.section)
#: Files beside the page: name and what gives their text.
PLOTS = {measured_kernels.PLOT: measured_kernels.plot}


def main() -> None:
    """Write the page and its plots."""
    (DOCS / "fidelity.md").write_text(_HEAD + "\n".join(section() for section in SECTIONS), encoding="utf-8")
    for name, plot in PLOTS.items():
        (DOCS / name).write_text(plot(), encoding="utf-8")


if __name__ == "__main__":
    main()
