"""How far each operation of a model gets: computed while importing, fused, lowered, or not covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.export import ExportedProgram

from meshc.dialects.graph_coverage import Uncovered, unsupported, why_uncovered
from meshc.frontend.importer import GRAPH_PIPELINE, ImportedCall, import_exported
from meshc.passes.base import PassContext
from meshc.passes.pipeline import parse_pipeline, run_pipeline

#: How far an ATen call gets, from the least far; what each means.
STAGES = {
    "imported": "in the graph, but nothing lowers it",
    "constant": "computed while importing: it depends on no input",
    "fused": "part of a larger operation, or a rearrangement that is no longer needed",
    "lowered": "an operation of its own on the mesh",
}

#: Passes that stop or rewrite whole layers: coverage looks at the graph before them.
_LEFT_OUT = ("require-covered", "roll-layers")


@dataclass(frozen=True, slots=True)
class CoveredOp:
    """All calls of one ATen operator: how many there are, and how many end at each stage (a key of STAGES)."""

    op: str
    count: int
    stages: dict[str, int]

    @property
    def reaches(self) -> str:
        """The stage of the call that gets least far."""
        return next(stage for stage in STAGES if self.stages.get(stage))


@dataclass(frozen=True, slots=True)
class Coverage:
    """A model's operators in the order of their first call, and the operations of its graph that nothing lowers."""

    ops: tuple[CoveredOp, ...]
    uncovered: tuple[Uncovered, ...]

    @property
    def complete(self) -> bool:
        """Whether the model compiles as far as its operations are concerned."""
        return not self.uncovered

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "schema": "meshc.coverage/1",
            "complete": self.complete,
            "ops": [{"op": o.op, "count": o.count, "reaches": o.reaches, "stages": o.stages} for o in self.ops],
            "uncovered": [
                {
                    "op": u.op,
                    "file": u.location.file,
                    "line": u.location.line,
                    "scope": u.location.scope,
                    "reason": u.reason,
                    "nearest": u.nearest,
                }
                for u in self.uncovered
            ],
        }


def coverage(exported: ExportedProgram, batch: int | None = None, seq: int | None = None) -> Coverage:
    """Import a program, run the fusing passes, and see what became of every ATen call."""
    calls: list[ImportedCall] = []
    imported = import_exported(exported, batch=batch, seq=seq, record=calls)
    names = [name for name in GRAPH_PIPELINE if name not in _LEFT_OUT]
    run_pipeline(imported.module, parse_pipeline(",".join(names)), PassContext(imported.weights))
    left = {op: why_uncovered(op) for op in imported.module.walk()}
    return Coverage(_by_operator(calls, left), tuple(unsupported(imported.module)))


def _by_operator(calls: Sequence[ImportedCall], left: dict[Any, str | None]) -> tuple[CoveredOp, ...]:
    counts: dict[str, dict[str, int]] = {}
    for call in calls:
        stages = counts.setdefault(call.target, {})
        stage = _stage(call, left)
        stages[stage] = stages.get(stage, 0) + 1
    return tuple(CoveredOp(op, sum(stages.values()), stages) for op, stages in counts.items())


def _stage(call: ImportedCall, left: dict[Any, str | None]) -> str:
    if call.constant:
        return "constant"
    alive = [op for op in call.operations if op in left]
    if any(left[op] is not None for op in alive):
        return "imported"
    return "lowered" if alive else "fused"
