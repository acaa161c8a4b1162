"""Strategies: what ``--strategy`` names, a set of choices that passes and kernels have options for.

The text is that of pipelines: one strategy with options, then kernels to pin with their schedules:
``waferllm{groups=[20, 21]},gemm.summa``. A strategy without a name is ``auto``. Each of its options is one
of a pass or of a kernel's schedule, so that what a strategy does can be written as a pipeline too, and
every fusion of decode can be switched off by itself: ``auto{softmax=apart}``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from meshc.ir.typed_values import convert, field_types
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_trees import Algorithm
from meshc.kernels.pins import Pin, Step, pins, steps_of
from meshc.passes.base import Pass
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean

Together = Literal["joined", "apart"]


@dataclass(frozen=True)
class Strategy:
    """How a model is carried out, beside what costs decide. The defaults are the compiler's own way.

    ``norms``: in decode the sum of squares of an RMSNorm travels with the projections behind it (``fuse-norm-gemv``).
    ``projections``: linear operations on one input are one product (``tile``). ``softmax``: in decode the sum of the
    weights travels with the weighted values, which are made while the largest score is on its way, or when it is there
    (the kernel's choice where it is not given); ``scores``:
    they are summed within a head's columns only, or along the row (both of ``cached_attention.trees``). ``trees`` and
    ``groups``, and ``scalars``, whether neighbours share scalar code that all of a line would run alike:
    ``choose-trees``. ``kernels`` are pins.
    """

    norms: Together = "joined"
    projections: Together = "joined"
    softmax: Literal["overlapped", "joined", "apart"] | None = None
    scores: Literal["heads", "row"] = "heads"
    trees: Algorithm = "auto"
    groups: tuple[int, ...] = ()
    scalars: Literal["shared", "alone"] = "shared"
    kernels: tuple[str, ...] = ()

    def adapted(self, passes: Sequence[Pass]) -> tuple[Pass, ...]:
        """A pipeline with this strategy's options, and without what it leaves out."""
        settings: dict[str, dict[str, object]] = {
            "tile": {"projections": self.projections},
            "choose-trees": {"algorithm": self.trees, "groups": self.groups, "shares": self.scalars == "shared"},
        }
        left_out = {"fuse-norm-gemv"} if self.norms == "apart" else set()
        return tuple(
            dataclasses.replace(each, **settings.get(each.name, {})) for each in passes if each.name not in left_out
        )

    def pins(self, known: Mapping[str, Kernel]) -> dict[str, Pin]:
        """The kernels that it takes, by operation."""
        schedule = {"scores": self.scores, **({"softmax": self.softmax} if self.softmax is not None else {})}
        return pins((*self.kernels, Step("cached_attention.trees", schedule)), known)


#: By name; the default first. WaferLLM's own: ten all-reduces in a layer of decode, and ring products in prefill.
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "auto": Strategy(),
        "waferllm": Strategy(
            norms="apart",
            softmax="apart",
            scores="row",
            trees="meshgemv",
            scalars="alone",
            kernels=("gemm.ring", "gemm.ring_transposed"),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a strategy's text names: the strategy with its options, and the steps that pin kernels."""

    strategy: Strategy
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, text: str) -> Chosen:
        """Read the text of ``--strategy``. Raises M0601 where it is none, M0405 for wrong or several strategies."""
        strategy, found = STRATEGIES["auto"], []
        named: list[str] = []
        for step in steps_of(text):
            if step.name in STRATEGIES:
                named.append(step.name)
                strategy = _with_options(step)
            else:
                found.append(step)
        if len(named) > 1:
            raise MeshError(
                "M0405",
                f"{named[0]} and {named[1]} are both strategies",
                helps=["name one strategy, and change what it does by its options: auto{softmax=apart}"],
            )
        return cls(strategy, tuple(found))

    def pins(self, known: Mapping[str, Kernel]) -> dict[str, Pin]:
        """The strategy's kernels, and those named beside it, which count before. Raises M0405 for unknown ones."""
        return {**self.strategy.pins(known), **pins(self.steps, known, STRATEGIES)}


def _with_options(step: Step) -> Strategy:
    strategy, types = STRATEGIES[step.name], field_types(Strategy)
    values: dict[str, Any] = {}
    for key, value in step.options.items():
        if key not in types:
            raise MeshError(
                "M0405", f"the strategy {step.name} has no option {key!r}", helps=did_you_mean(key, types, "options")
            )
        try:
            values[key] = convert(value, types[key])
        except ValueError as error:
            raise MeshError("M0405", f"{key} of the strategy {step.name} must be {error}") from None
    return dataclasses.replace(strategy, **values)
