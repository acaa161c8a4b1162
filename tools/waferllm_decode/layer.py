"""The time of one layer of decode: a step with two layers less one with a single layer, late in the context.

Nothing is computed and there are no weights: timing does not depend on values. The step is one of a cache that is
almost full, for which the token loop of the program is made to begin there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import meshc
from examples.waferllm_decode import models
from meshrt.build import Build
from meshrt.manifest import DecodeBinding
from meshrt.program.expr import as_expr
from meshrt.program.model import For, Instruction, Program, Statement
from meshrt.run import RunOptions, run_build
from meshrt.target import Target

#: The counters of the loops over tokens and over layers.
TOKENS, LAYERS = "t", "l"
#: How a PE takes the sum of its line. (What it adds to its own it takes otherwise.)
RECEIVE = "recv"


@dataclass(frozen=True, slots=True)
class Case:
    """A model of :mod:`examples.waferllm_decode.models` by its name, the PEs of a side, and a strategy's text."""

    model: str
    side: int
    strategy: str

    @property
    def name(self) -> str:
        """Names a file."""
        text = f"{self.model}_{self.side}_{self.strategy}"
        return "".join(c if c.isalnum() else "_" for c in text).strip("_")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer takes: cycles, hops and stages of the critical path, and cycles by operation in their order."""

    cycles: int
    all_reduces: int
    hops: int
    stages: int
    operations: tuple[tuple[str, int], ...]

    @property
    def tokens_per_second(self) -> float:
        """Of the whole model at 1.1 GHz, as the artifact reckons: its layers one after the other and nothing else."""
        return 1.1e9 / (models.MODEL_LAYERS * self.cycles)


def build_of(case: Case) -> Build:
    """The timing-only build of two layers on a WSE-2, in f16."""
    module, inputs = models.llama3_8b() if case.model == "llama3_8b" else models.artifact(case.side)
    compiled = meshc.compile(
        module, inputs, phase="decode", target="wse2", grid=(case.side, case.side), seq=2, dtype="f16",
        strategy=case.strategy,
    )  # fmt: skip
    return compiled.build


def layer_of(build: Build, target: Target | None = None) -> Layer:
    """Time one layer, on another target if one is given."""
    if target is not None:
        build = dataclasses.replace(build, target=target)
    decode = build.manifest.decode
    assert decode is not None
    # The last token but one, so that the cache moves as it does in most steps.
    position = decode.context - 2
    one, two = (_report(build, decode, position, count) for count in (1, models.LAYERS))
    rows = [(b["name"], b["cycles"] - a["cycles"]) for a, b in zip(one["ops"], two["ops"], strict=True)]
    critical = {
        key: two["latency"][f"critical_{key}"] - one["latency"][f"critical_{key}"] for key in ("hops", "stages")
    }
    return Layer(
        two["cycles"] - one["cycles"],
        all_reduces(build.program),
        critical["hops"],
        critical["stages"],
        tuple((name, cycles) for name, cycles in rows if cycles),
    )


def _report(build: Build, decode: DecodeBinding, position: int, layers: int) -> dict:
    program = _from(build.program, position, layers)
    scalars = {decode.steps: position + 1}
    options = RunOptions(timing_only=True)
    return run_build(dataclasses.replace(build, program=program), {}, options, scalars=scalars).report


def _from(program: Program, position: int, layers: int) -> Program:
    """The program with its token loop from a position on, and so many layers."""

    def body(statements: Sequence[Statement]) -> tuple[Statement, ...]:
        return tuple(map(statement, statements))

    def statement(each: Statement) -> Statement:
        if isinstance(each, For) and each.counter == TOKENS:
            return dataclasses.replace(each, start=as_expr(position), body=body(each.body))
        if isinstance(each, For) and each.counter == LAYERS:
            return dataclasses.replace(each, stop=as_expr(layers))
        return dataclasses.replace(each, body=body(each.body)) if hasattr(each, "body") else each  # type: ignore[call-arg]

    regions = tuple(
        dataclasses.replace(r, codes=tuple(dataclasses.replace(c, body=body(c.body)) for c in r.codes))
        for r in program.regions
    )
    return dataclasses.replace(program, regions=regions)


def all_reduces(program: Program) -> int:
    """All-reduces of a layer, along parts of a line too: how often a PE waits for a sum that a root hands out."""
    return sum(
        isinstance(each, Instruction) and each.opcode == RECEIVE and each.option("async") is None
        for region in program.regions
        for code in region.codes
        for loop in _walk(code.body)
        if isinstance(loop, For) and loop.counter == LAYERS
        for each in _walk(loop.body)
    )


def _walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    for each in statements:
        yield each
        for inner in ("body", "then", "otherwise"):
            yield from _walk(getattr(each, inner, ()))
