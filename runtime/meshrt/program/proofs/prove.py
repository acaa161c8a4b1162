"""Proves a program region by region, class of scalars by class of scalars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshrt.diagnostics import Diagnostic
from meshrt.diagnostics.source_text import NO_TEXT, SourceText
from meshrt.program.model import Program, Region
from meshrt.program.proofs.execution import Outcome, execute
from meshrt.program.proofs.explain import Explainer
from meshrt.program.proofs.loading import Prepared, prepare
from meshrt.program.proofs.races import racing
from meshrt.program.proofs.records import H_ERROR, H_WORDS
from meshrt.program.proofs.scalars import MOST_CHOICES, choices, describe, every_choice
from meshrt.program.proofs.state import State
from meshrt.progress import Progress
from meshrt.target import Target

#: Steps of all executions of one region together; a step is a move, a branch, or a few instructions of one PE.
MOST_STEPS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class RegionProof:
    """What was proven of a region.

    ``classes`` counts the executions that decide for all ``choices`` of the runtime scalars; ``steps`` were run,
    ``rounds_skipped`` of loops proven by induction; ``words`` entered the fabric in those steps.
    """

    region: str
    pes: int
    colors: int
    classes: int
    choices: int
    steps: int
    rounds_skipped: int
    words: int


@dataclass(frozen=True, slots=True)
class Proof:
    """``findings`` are empty where the program is proven; ``regions`` say how."""

    findings: tuple[Diagnostic, ...]
    regions: tuple[RegionProof, ...]


def prove(program: Program, target: Target, source: SourceText = NO_TEXT, progress: Progress | None = None) -> Proof:
    """Prove a sound program (see :func:`meshrt.program.check.diagnose`) on a target; stops at a region's first finding.

    ``source`` is the text that the program was read from.
    """
    progress = progress or Progress()
    findings: list[Diagnostic] = []
    regions: list[RegionProof] = []
    for region in program.regions:
        progress.stage(f"proving region {region.name}")
        found, proof = _prove_region(region, target, source, progress, len(program.regions) > 1)
        findings += found
        regions.append(proof)
    return Proof(tuple(findings), tuple(regions))


def _prove_region(
    region: Region, target: Target, source: SourceText, progress: Progress, several: bool
) -> tuple[list[Diagnostic], RegionProof]:
    prepared = prepare(region, target)
    read = prepared.expressions.scalars_read()
    candidates = choices(region, read)

    def sound(state: State) -> bool:
        return not state.s[H_ERROR] and Explainer(prepared, state, source, "", several).ending() is None

    size = region.width * region.height
    if candidates is None:
        why = f"the scalars that its control reads take more than {MOST_CHOICES:,} values"
        found = _unproven(region, source, why, "")
        return [found], RegionProof(region.name, size, len(prepared.colors), 0, 0, 0, 0, 0)
    left = np.arange(len(candidates))
    classes = steps = skipped = words = 0
    findings: list[Diagnostic] = []
    while len(left) and not findings:
        outcome = execute(prepared, candidates, left, MOST_STEPS - steps, progress, sound, steps)
        decided = outcome.decided
        values = describe(region.scalars, candidates[decided], read)
        explain = Explainer(prepared, outcome.state, source, values, several)
        finding = _finding(outcome, explain, prepared, candidates, source, values)
        if finding is not None:
            findings.append(_ended_early(finding, outcome.where))
        classes += 1
        steps += outcome.steps
        skipped += outcome.skipped
        words += int(outcome.state.s[H_WORDS])
        left = left[~np.isin(left, decided)]
    proof = RegionProof(region.name, size, len(prepared.colors), classes, every_choice(region), steps, skipped, words)
    return findings, proof


def _finding(
    outcome: Outcome, explain: Explainer, prepared: Prepared, candidates: np.ndarray, source: SourceText, values: str
) -> Diagnostic | None:
    region = prepared.region
    if not outcome.complete:
        return _unproven(region, source, outcome.why, values)
    if outcome.state.s[H_ERROR]:
        return explain.error()
    ending = explain.ending()
    if ending is None and len(outcome.guarded):
        channel, why = racing(prepared, candidates, outcome.decided, outcome.guarded, outcome.flags)
        if channel is not None:
            return explain.race(channel)
        return _unproven(region, source, why, values) if why else None
    return ending


def _ended_early(finding: Diagnostic, where: str) -> Diagnostic:
    return replace(finding, notes=(*finding.notes, f"this is so where {where}")) if where else finding


def _unproven(region: Region, source: SourceText, why: str, values: str) -> Diagnostic:
    place = source.place_of(region.line, region.name) if region.line else None
    notes = (f"this is so for {values}",) if values else ()
    return Diagnostic("M0360", f"region {region.name!r} is not proven: {why}", place, notes)
