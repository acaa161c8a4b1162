"""GEMV and GEMM on a real WSE-3: every row, measured and predicted."""

from __future__ import annotations

import numpy as np

from meshrt.target import Target, load_target
from tools.fidelity.fit import FITTED, counted, left_out
from tools.fidelity.measured import SOURCES, Row, rows
from tools.fidelity.plot import error_plot
from tools.fidelity.predict import predicted

#: The plot's file, beside the page, and the bar that no row may pass, in percent.
PLOT, BAR = "fidelity.svg", 8.0

_TEXT = """## GEMV and GEMM on a WSE-3

{count} rows, each the mean over rounds run back to back on a wafer (*measured elsewhere*: {sources}). The programs are
[kernels](kernels.md) of this project with the schedule of the measured ones, in f16: `gemv` with its two-level tree,
and `gemm.ring` with its alignment in the time that is measured. A prediction (*modelled*) is the period of the steady
state on the emulator's batched engine, with the target `wse3` and nothing that belongs to one kernel.

![relative error of every row]({plot})

| rows | mean error | worst | left out by side | worst | left out by tile | worst |
|---|---:|---:|---:|---:|---:|---:|
{summary}

*Left out*: each row predicted by a fit to the rows of other grid sides, or of other tiles.

These numbers of `wse3` are *calibrated* on the rows (`python -m tools.fidelity`); all others are published or
assumptions, as `meshc targets wse3` says.

| key | value |
|---|---:|
{costs}

- `vector_setup_cycles`, `vector_issue_cycles` and `issue_cycles` together are what one vector instruction takes before
  its elements: {vector} cycles, where 15 to 17 are published (CS-3 silicon study).
- How a move's cycles divide between its launch and its wake-up cannot be seen in these rows: an even split is assumed.
- Extrapolated rows: from a side of 32 on, one more step of the ring takes the same cycles more, so rows of larger even
  sides are computed from grids of 16 and 32. Grids are timed on one column (GEMV) or eight rows (GEMM), whose periods
  are those of the whole grid.

What the model leaves out:

- Structure in the rows whose cause is not known: GEMM with one word or none in a transfer is faster than the line
  through the other rows by some cycles a step, and rows of neighbouring sides leave their line by 1 to 2 %.
- Elements of a vector operation are not rounded up to whole cycles one operation at a time.
- Whatever makes one PE or link of a wafer unlike another.
- An elementwise instruction sets up one vector whatever its operands; no row measures another one.

| kernel | P | tile | groups | measured | predicted | error |
|---|---:|---|---:|---:|---:|---:|
{rows}
"""


def section(target: Target | None = None) -> str:
    """The section's Markdown; the plot is :func:`plot`."""
    target = target or load_target("wse3")
    found = rows()
    counts = counted(found, target)
    measured = np.array([row.cycles for row in found])
    error = np.abs(counts.cycles / measured - 1)
    by_side = np.abs(left_out(counts, found, lambda row: row.parts))
    by_tile = np.abs(left_out(counts, found, lambda row: row.tile))
    kinds = {source.kernel: np.array([row.kernel == source.kernel for row in found]) for source in SOURCES}
    kinds["all"] = np.ones(len(found), bool)
    keys = [cause for causes in FITTED for cause in causes]
    return _TEXT.format(
        count=len(found),
        sources="MeshGEMV and MeshGEMM of WaferLLM, public runs, see `tools/fidelity/data/`",
        plot=PLOT,
        summary="\n".join(
            f"| {kind} | "
            + " | ".join(f"{e[of].mean():.1%} | {e[of].max():.1%}" for e in (error, by_side, by_tile))
            + " |"
            for kind, of in kinds.items()
        ),
        costs="\n".join(f"| `{key}` | {_value(target, key)} |" for key in keys),
        vector=target.issue_cycles + target.vector_setup_cycles + target.vector_issue_cycles,
        rows="\n".join(row_text(row, int(cycles)) for row, cycles in zip(found, counts.cycles, strict=True)),
    )


def plot(target: Target | None = None) -> str:
    """The plot of every row's error, as SVG."""
    target = target or load_target("wse3")
    kinds = {
        source.kernel: [(row.cycles, predicted(row, target)) for row in rows() if row.kernel == source.kernel]
        for source in SOURCES
    }
    return error_plot(kinds, BAR)


def row_text(row: Row, cycles: int) -> str:
    """A row of the table."""
    groups = dict(row.shape).get("G", "")
    error = cycles / row.cycles - 1
    return f"| `{row.kernel}` | {row.parts} | {row.tile} | {groups} | {row.cycles:,.0f} | {cycles:,} | {error:+.1%} |"


def _value(target: Target, cause: str) -> str:
    key, _, dtype = cause.partition(".")
    value = getattr(target, key)
    return f"{value[dtype] if dtype else value:g}"
