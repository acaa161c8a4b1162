"""Pins: kernels that a user names, and how much of their schedule: ``gemm.ring{vector=m}``.

The text is that of pipelines: names with options, one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshc.ir.parser import read_attribute
from meshc.ir.syntax import parse_text
from meshc.kernels.kernel import Kernel
from meshc.kernels.schedule import Schedule
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.diagnostics.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Step:
    """A name with its options."""

    name: str
    options: Schedule


@dataclass(frozen=True, slots=True)
class Pin:
    """A kernel to take for the operations that it carries out, and values that its schedule must have."""

    kernel: Kernel
    schedule: Schedule


def pins(named: Iterable[str | Step], known: Mapping[str, Kernel], beside: Iterable[str] = ()) -> dict[str, Pin]:
    """The pins that texts or steps name, by operation.

    Raises M0405 for a kernel that is not known, with suggestions from ``beside`` too, and where two kernels
    are named for one operation; M0601 for text that is no list of names.
    """
    found: dict[str, Pin] = {}
    for each in named:
        for step in steps_of(each) if isinstance(each, str) else (each,):
            if step.name not in known:
                raise MeshError(
                    "M0405",
                    f"there is no kernel {step.name!r}",
                    helps=did_you_mean(step.name, [*known, *beside], "kernels"),
                )
            pin = Pin(known[step.name], step.options)
            other = found.setdefault(pin.kernel.operation, pin)
            if other != pin:
                raise MeshError(
                    "M0405",
                    f"{other.kernel.name} and {step.name} are both pinned for {pin.kernel.operation}",
                    helps=["name one kernel for each operation, or pin one in the IR with `algorithm`"],
                )
    return found


def steps_of(text: str) -> list[Step]:
    """The names in a text, each with its options. Raises M0601 for text that is no list of names."""
    source = SourceText(text, "<pins>")
    try:
        steps = parse_text(source, "pipeline")
    except MeshError as error:
        diagnostic = error.diagnostic
        helps = ["a kernel is pinned with: gemm.ring, or with its schedule: gemm.ring{vector=m}"]
        raise MeshError("M0601", diagnostic.message, place=diagnostic.place, helps=helps) from None
    return [
        Step(str(step.token), {entry.key: read_attribute(entry.value, source) for entry in step.options})
        for step in steps
    ]
