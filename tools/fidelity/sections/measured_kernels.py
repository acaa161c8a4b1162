"""GEMV and GEMM on a real WSE-3: every row, measured and predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshrt.target import Target, load_target
from tools.fidelity.fit import FITTED, Linear, counted, left_out, numbers_of, solved
from tools.fidelity.measured import GROUPS, SOURCES, Row, rows
from tools.fidelity.plot import error_plot
from tools.fidelity.predict import predicted, row_events

#: The plot's file, beside the page, and the bar that no row may pass, in percent.
PLOT, BAR = "fidelity.svg", 8.0
#: Elements of f16 in the 64-bit words of SRAM.
ELEMENTS_OF_A_MEMORY_WORD = 4

_TEXT = """## GEMV and GEMM on a WSE-3

{count} rows, each the mean over rounds run back to back on a wafer (*measured elsewhere*: {sources}). The programs are
[kernels](kernels.md) of this project with the schedule of the measured ones, in f16: `gemv` with its two-level tree,
and `gemm.ring` with its alignment in the time that is measured. A prediction (*modelled*) is the period of the steady
state on the emulator's batched engine, with the target `wse3` and nothing that belongs to one kernel.

![relative error of every row]({plot})

| rows | mean error | worst | {left_titles} |
|---|---:|---:|{left_rule}
{summary}

*Left out*: each row predicted by a fit to the rows of other grid sides, or of other tiles.

These numbers of `wse3` are *calibrated* on the rows (`python -m tools.fidelity`); all others are published or
assumptions, as `meshc targets wse3` says. The fit is linear in the events that the engine counts on each row's critical
path. Beside the whole cycles that it chooses stands what least squares gives for all rows, and for the rows of one
kernel where they tell that number.

| key | value | {fit_titles} |
|---|---:|{fit_rule}
{costs}

- `vector_setup_cycles`, `vector_issue_cycles` and `issue_cycles` together are what one vector instruction takes before
  its elements: {vector} cycles, where 15 to 17 are published (CS-3 silicon study).
- How a move's cycles divide between its launch and its wake-up cannot be seen in these rows: an even split is assumed.
- What a vector multiply-add takes is not fitted: `vector_issue_cycles`, 1, for itself and for each word of two f16
  factors, and a cycle for each 64-bit word of memory that its sum lies in, four f16 each
  ([machine.md](machine.md#what-instructions-cost)). A fit that were free to choose both would choose {slot:.2f} and
  {memory_word:.2f}.
- Every row is run on a grid of its own side, of which one column (GEMV) or eight rows (GEMM) are timed: their periods
  are those of the whole grid. The events of large rings, for the fit, are computed from grids of 16 and 32, because one
  more step of the ring has the same events more; their price is the run's cycles for each of these rows.

What the model leaves out:

- GEMV on 16 PEs a side varies with the groups by some cycles more than the emulator's: its chains are so short that
  both sides reach a root at once.
- A multiply-add into the sum that the one before wrote takes 3 cycles in GEMV whether it has 1 or 8 elements; here it
  takes 2.5 and 3.5.
- Rounds over k cost 1 to 2 % more than the line through all rows where there are 3 of them, and as much less where
  there are 8, whatever the other sizes.
- Rows of neighbouring sides leave their line by 1 to 2 %; the cause is not known.
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
    linear = counted(found, target)
    measured = np.array([row.cycles for row in found])
    cycles = np.array([predicted(row, target) for row in found])
    if not np.allclose(linear.at(numbers_of(target)), cycles):
        raise AssertionError("the events of a row do not make its cycles")
    kinds = {source.kernel: np.array([row.kernel == source.kernel for row in found]) for source in SOURCES}
    fits = {"all rows": solved(linear, measured)}
    fits |= {kind: solved(linear.of(of), measured[of]) for kind, of in kinds.items()}
    told = {kind: _told(linear.events[of]) for kind, of in kinds.items()} | {"all rows": np.ones(len(FITTED), bool)}
    kinds["all"] = np.ones(len(found), bool)
    slot, memory_word = _not_fitted(linear, measured, found, target)
    columns = [np.abs(cycles / measured - 1)]
    columns += [np.abs(left_out(linear, found, group)) for group in GROUPS.values()]
    return _TEXT.format(
        count=len(found),
        sources="MeshGEMV and MeshGEMM of WaferLLM, public runs, see `tools/fidelity/data/`",
        plot=PLOT,
        left_titles=" | ".join(f"left out by {name} | worst" for name in GROUPS),
        left_rule="---:|---:|" * len(GROUPS),
        summary="\n".join(
            f"| {kind} | " + " | ".join(f"{e[of].mean():.1%} | {e[of].max():.1%}" for e in columns) + " |"
            for kind, of in kinds.items()
        ),
        fit_titles=" | ".join(fits),
        fit_rule="---:|" * len(fits),
        costs="\n".join(
            f"| {' + '.join(f'`{cause}`' for cause in causes)} | "
            + " + ".join(f"{getattr(target, cause)}" for cause in causes)
            + " | "
            + " | ".join(f"{numbers[i]:.1f}" if told[kind][i] else "" for kind, numbers in fits.items())
            + " |"
            for i, causes in enumerate(FITTED)
        ),
        slot=slot,
        memory_word=memory_word,
        vector=target.issue_cycles + target.vector_setup_cycles + target.vector_issue_cycles,
        rows="\n".join(row_text(row, int(n)) for row, n in zip(found, cycles, strict=True)),
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


def _not_fitted(linear: Linear, measured: np.ndarray, found: Sequence[Row], target: Target) -> tuple[float, float]:
    """Cycles of an issue slot and of a memory word, were they fitted with the other numbers."""
    counts = [row_events(row, target) for row in found]
    elements = ("fma_elements_per_cycle.f16", "fma_idle_elements.f16")
    slots = np.array([c.get("vector_issue_cycles", 0) for c in counts])
    memory_words = np.array([sum(c.get(cause, 0) for cause in elements) for c in counts]) / ELEMENTS_OF_A_MEMORY_WORD
    rest = linear.rest - slots * target.vector_issue_cycles
    rest -= memory_words * ELEMENTS_OF_A_MEMORY_WORD / target.fma_elements_per_cycle["f16"]
    events = np.column_stack([linear.events, slots, memory_words]) / measured[:, None]
    *_, slot, memory_word = np.linalg.lstsq(events, 1 - rest / measured, rcond=None)[0]
    return slot, memory_word


def _told(events: np.ndarray) -> np.ndarray:
    """The numbers that rows of so many events tell: those that have some in all of them."""
    return events.all(axis=0)
