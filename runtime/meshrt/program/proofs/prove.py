"""Proves a program stretch by stretch of linked regions, class of scalars by class of scalars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meshrt.diagnostics import Diagnostic
from meshrt.diagnostics.source_text import NO_TEXT, SourceText
from meshrt.program.fabric import linked
from meshrt.program.model import Program
from meshrt.program.proofs.execution import Outcome, execute
from meshrt.program.proofs.explain import Explainer
from meshrt.program.proofs.loading import prepare
from meshrt.program.proofs.part_races import PartRaces
from meshrt.program.proofs.records import H_ERROR, H_WORDS
from meshrt.program.proofs.scalars import MOST_CHOICES, choices, describe, every_choice
from meshrt.program.proofs.state import State
from meshrt.program.proofs.stretches import Stretch, join
from meshrt.progress import Progress
from meshrt.target import Target

#: Steps of all executions of one stretch together; a step is a move, a branch, or a few instructions of one PE.
MOST_STEPS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class RegionProof:
    """What was proven of a region, or of linked regions together, whose names ``region`` then joins: ``a + b``.

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
    """Prove a sound program (see :func:`meshrt.program.check.diagnose`) on a target.

    Of each stretch of linked regions the first finding is told. ``source`` is the text that the program was read from.
    """
    progress = progress or Progress()
    findings: list[Diagnostic] = []
    regions: list[RegionProof] = []
    for group in linked(program.regions):
        stretch = join([program.regions[r] for r in group], len(program.regions) > 1)
        progress.stage(f"proving region {stretch.name}")
        found, proof = _prove_stretch(stretch, target, source, progress)
        findings += found
        regions.append(proof)
    return Proof(tuple(findings), tuple(regions))


def _prove_stretch(
    stretch: Stretch, target: Target, source: SourceText, progress: Progress
) -> tuple[list[Diagnostic], RegionProof]:
    prepared, region = prepare(stretch, target), stretch.region
    read, stops = prepared.expressions.scalars_read(), prepared.expressions.scalars_at_stops()
    candidates = choices(region, read, stops)

    def sound(state: State) -> bool:
        return not state.s[H_ERROR] and Explainer(prepared, state, source, "").ending() is None

    if candidates is None or len(stretch.flagged(prepared.skeleton.flagged)) > 1:
        why = f"the scalars that control reads take more than {MOST_CHOICES:,} values"
        if candidates is not None:
            why = "more than one of them has loops that flags end"
        found = _unproven(stretch, source, why, "")
        return [found], RegionProof(stretch.name, stretch.pes, len(prepared.colors), 0, 0, 0, 0, 0)
    left = np.arange(len(candidates))
    classes = steps = skipped = words = 0
    findings: list[Diagnostic] = []
    races = PartRaces(prepared)
    while len(left) and not findings:
        outcome = execute(prepared, candidates, left, MOST_STEPS - steps, progress, sound, steps)
        decided = outcome.decided
        values = describe(region.scalars, candidates[decided], read | stops)
        explain = Explainer(prepared, outcome.state, source, values)
        finding = _finding(outcome, explain, races, candidates, source, values)
        if finding is not None:
            findings.append(_ended_early(finding, outcome.where))
        classes += 1
        steps += outcome.steps
        skipped += outcome.skipped
        words += int(outcome.state.s[H_WORDS])
        left = left[~np.isin(left, decided)]
    colors, every = len(prepared.colors), every_choice(region)
    proof = RegionProof(stretch.name, stretch.pes, colors, classes, every, steps, skipped, words)
    return findings, proof


def _finding(
    outcome: Outcome, explain: Explainer, races: PartRaces, candidates: np.ndarray, source: SourceText, values: str
) -> Diagnostic | None:
    stretch = races.whole.stretch
    if not outcome.complete:
        return _unproven(stretch, source, outcome.why, values)
    if outcome.state.s[H_ERROR]:
        return explain.error()
    ending = explain.ending()
    if ending is None and len(outcome.guarded):
        channel, why = races.racing(candidates, outcome.decided, outcome.guarded, outcome.flags)
        if channel is not None:
            return explain.race(channel)
        return _unproven(stretch, source, why, values) if why else None
    return ending


def _ended_early(finding: Diagnostic, where: str) -> Diagnostic:
    return replace(finding, notes=(*finding.notes, f"this is so where {where}")) if where else finding


def _unproven(stretch: Stretch, source: SourceText, why: str, values: str) -> Diagnostic:
    region = stretch.parts[0].region
    place = source.place_of(region.line, region.name) if region.line else None
    notes = (f"this is so for {values}",) if values else ()
    names = " and ".join(repr(part.region.name) for part in stretch.parts)
    what = f"region {names} is" if len(stretch.parts) == 1 else f"regions {names} are"
    return Diagnostic("M0360", f"{what} not proven: {why}", place, notes)
