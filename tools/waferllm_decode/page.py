"""``python -m tools.waferllm_decode.page``: write ``docs/waferllm.md`` from what ``measure`` timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.waferllm_decode.models import MODEL_LAYERS
from meshrt.target import load_target
from tools.waferllm_decode.layer import Case, Layer
from tools.waferllm_decode.measure import SIDES, STEPS, STEPS_SIDE, TRIED, read, step_strategy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "waferllm.md"

#: Tokens per second of LLaMA3-8B on a WSE-2, measured: He et al., WaferLLM, OSDI'25, Table 4.
PUBLISHED = {420: 2699.9, 540: 2501.5, 660: 2243.3}
CLOCK_HZ = 1.1e9
#: What a step of the way switches on.
STEP_NAMES = {
    "": "the paper's way",
    "trees=auto": "trees that a search finds in place of two levels of groups",
    "softmax=joined": "the sum of the weights travels with the weighted values",
    "norms=joined": "sums of squares travel with the projections",
    "scalars=shared": "neighbours share exponentials and activations",
    "softmax=overlapped": "values are weighed while the largest score is on its way",
}

_HEAD = """# WaferLLM's decode in the emulator

This page is written by `make waferllm` (`tools/waferllm_decode/`; many minutes). What is timed is one layer of
LLaMA3-8B in f16 on a `wse2`, timing-only and without weights, at the last token but one of its context: a step with
two layers less one with one. Tokens per second are those of 32 such layers one after the other at 1.1 GHz, without
embedding and output head, as WaferLLM's artifact reckons. The models:
[examples/waferllm_decode](../examples/waferllm_decode/models.py); the strategies:
[decode.md](decode.md#strategies-each-fusion-by-itself).
"""

_FIDELITY_HEAD = """## The artifact's own program against the wafer

`--strategy waferllm` on the artifact's shapes: one head as wide as the model, everything padded to the grid, ten
all-reduces in the artifact's order, each in two levels of the paper's groups. *Measured* are the cycles that Table 4 of
the paper comes to (a real WSE-2); the rest is *modelled*. The first column is the preset as it is, with **nothing
fitted** on these rows; in the others one cost alone has another value.
"""

_FIDELITY_FOOT = """
As it is, the emulator is about a fifth too fast. What it leaves out, and the artifact pays: an elementwise operation
loads a descriptor for each vector that it reads or writes, two or three, where the machine model sets up one vector
whatever the operands ([fidelity.md](fidelity.md)); and scalar code divides inside SiLU and behind a root. What a vector
operation's set-up takes on a WSE-2 is not published. Fitted alone on the three rows by least squares it comes to
{setup:.1f} cycles, {descriptors:.1f} times that of the preset, which is calibrated on a WSE-3. Longer stages of
software chains would explain the rows as well, by a RAMP of {ramp:.1f} cycles; but for the RAMP 2 cycles are
published. Neither value is in the preset, which stays with what is published or calibrated on single kernels.

Unlike the artifact, the program appends the token to the cache, shifts it, masks what is not held, and applies SiLU to
all of the FFN's width.
"""

_COMPARISON_HEAD = """## The paper's way and meshc's own

Both in the same emulator, on `wse2` as it is. *Speed-up* is over the artifact's program on the same grid.

| grid | model | strategy | cycles of a layer | tokens/s | all-reduces | hops | stages | speed-up |
|---|---|---|---:|---:|---:|---:|---:|---:|"""

_COMPARISON_FOOT = """
All-reduces are all that a root hands out, along parts of a line too: `auto` has seven, and short ones for what
neighbours share. Hops and stages are those of the critical path.
With the real heads a row of PEs has scores of 32 heads in place of one, and `waferllm` sums them along the whole row;
each column then needs the exponentials of four heads.
"""


def target_cycles(side: int) -> float:
    """Cycles of a layer that the published tokens per second come to."""
    return CLOCK_HZ / (MODEL_LAYERS * PUBLISHED[side])


def artifact_rows() -> dict[int, dict[str, Layer]]:
    """The artifact's program on each grid: as it is, and with each single cost that is tried."""
    return {side: read(Case("artifact", side, "waferllm")) for side in SIDES}


def errors(cost: str) -> np.ndarray:
    """Relative errors of the rows on the WSE-2 as it is (no name), or with a single cost."""
    return np.array([layers[cost].cycles / target_cycles(side) - 1 for side, layers in artifact_rows().items()])


def least_squares(cost: str) -> float:
    """The value of a single cost with the least squares of relative errors, cycles being linear between two timings."""
    before, tried = getattr(load_target("wse2"), cost), TRIED[cost]
    base, there = 1 + errors(""), 1 + errors(cost)
    slope = (there - base) / (tried - before)
    return before + float(slope @ (1 - base) / (slope @ slope))


def _share(value: float) -> str:
    return f"{value:+.1%}".replace("%", " %")


def _fidelity() -> str:
    tried = " | ".join(f"`{cost}` = {value} | error" for cost, value in TRIED.items())
    columns = "|---|---:" + "|---:|---:" * (1 + len(TRIED)) + "|"
    lines = [_FIDELITY_HEAD, f"| grid | measured | `wse2` | error | {tried} |", columns]
    for side, layers in artifact_rows().items():
        wanted = target_cycles(side)
        cells = [f"{layers[name].cycles:,} | {_share(layers[name].cycles / wanted - 1)}" for name in ("", *TRIED)]
        lines.append(f"| {side} x {side} | {wanted:,.0f} | {' | '.join(cells)} |")
    for title, of in (("mean", np.mean), ("worst", np.max)):
        cells = [f" | {of(np.abs(errors(name))):.1%}".replace("%", " %") for name in ("", *TRIED)]
        lines.append(f"| {title} | |{' |'.join(cells)} |")
    setup = least_squares("vector_setup_cycles")
    descriptors, ramp = setup / load_target("wse2").vector_setup_cycles, least_squares("ramp_cycles")
    lines.append(_FIDELITY_FOOT.format(setup=setup, descriptors=descriptors, ramp=ramp))
    return "\n".join(lines)


def _comparison() -> str:
    lines = [_COMPARISON_HEAD]
    for side in SIDES:
        base = read(Case("artifact", side, "waferllm"))[""].cycles
        for model, name in (("artifact", "the artifact's shapes"), ("llama3_8b", "real shapes and heads")):
            for strategy in ("waferllm", "auto"):
                layer = read(Case(model, side, strategy))[""]
                lines.append(
                    f"| {side} x {side} | {name} | `{strategy}` | {layer.cycles:,} | {layer.tokens_per_second:,.0f} | "
                    f"{layer.all_reduces} | {layer.hops:,} | {layer.stages} | {base / layer.cycles:.2f} |"
                )
    return "\n".join([*lines, _COMPARISON_FOOT])


def _steps() -> str:
    lines = [
        "## Which step gives what",
        "",
        f"From the one to the other on {STEPS_SIDE} x {STEPS_SIDE} PEs, the artifact's shapes, one option at a time.",
        "",
        "| switched on | option | cycles of a layer | gained |",
        "|---|---|---:|---:|",
    ]
    before = None
    for number, step in enumerate(STEPS):
        cycles = read(Case("artifact", STEPS_SIDE, step_strategy(number)))[""].cycles
        gained = "" if before is None else f"{before - cycles:,}"
        lines.append(f"| {STEP_NAMES[step]} | `{step or 'waferllm'}` | {cycles:,} | {gained} |")
        before = cycles
    return "\n".join([*lines, ""])


def _operations() -> str:
    lines = [
        "## Where the cycles go",
        "",
        f"By operation, on {STEPS_SIDE} x {STEPS_SIDE} PEs, real shapes.",
        "",
        "| operation | `waferllm` | `auto` |",
        "|---|---:|---:|",
    ]
    found = {s: list(read(Case("llama3_8b", STEPS_SIDE, s))[""].operations) for s in ("waferllm", "auto")}
    names = list(dict.fromkeys(name for rows in found.values() for name, _ in rows))
    for name in names:
        cells = [sum(cycles for each, cycles in rows if each == name) for rows in found.values()]
        label = name.replace("model.layers.{l}", "").replace(" .", " ").strip()
        lines.append(f"| {label} | " + " | ".join(f"{cycles:,}" if cycles else "" for cycles in cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the page."""
    PAGE.write_text("\n".join([_HEAD, _fidelity(), _comparison(), _steps(), _operations()]), encoding="utf-8")


if __name__ == "__main__":
    main()
