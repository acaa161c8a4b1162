"""Pins: kernels that a user names, and how much of their schedule: ``gemm.ring{vector=m}``.

The text is that of pipelines: names with options, one after another. A strategy
(``--strategy``) names how tensors are laid out, and kernels to pin: ``waferllm,gemm.summa``.
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

#: Ways to lay out tensors. There is one: reductions alternate axes, and nothing is transposed.
LAYOUTS = ("waferllm",)


@dataclass(frozen=True, slots=True)
class Pin:
    """A kernel to take for the operations that it carries out, and values that its schedule must have."""

    kernel: Kernel
    schedule: Schedule


def pins(texts: Iterable[str], known: Mapping[str, Kernel], layouts: tuple[str, ...] = ()) -> dict[str, Pin]:
    """The pins that the texts name, by operation; the names of ``layouts`` are passed over.

    Raises M0405 for a kernel that is not known, and where two kernels are named for one
    operation; M0601 for text that is no list of names.
    """
    found: dict[str, Pin] = {}
    for text in texts:
        for name, schedule in _steps(text):
            if name in layouts:
                continue
            if name not in known:
                raise MeshError(
                    "M0405", f"there is no kernel {name!r}", helps=did_you_mean(name, [*known, *layouts], "kernels")
                )
            pin = Pin(known[name], schedule)
            other = found.setdefault(pin.kernel.operation, pin)
            if other != pin:
                raise MeshError(
                    "M0405",
                    f"{other.kernel.name} and {name} are both pinned for {pin.kernel.operation}",
                    helps=["name one kernel for each operation, or pin one in the IR with `algorithm`"],
                )
    return found


def _steps(text: str) -> list[tuple[str, Schedule]]:
    source = SourceText(text, "<pins>")
    try:
        steps = parse_text(source, "pipeline")
    except MeshError as error:
        diagnostic = error.diagnostic
        helps = ["a kernel is pinned with: gemm.ring, or with its schedule: gemm.ring{vector=m}"]
        raise MeshError("M0601", diagnostic.message, place=diagnostic.place, helps=helps) from None
    return [
        (str(step.token), {entry.key: read_attribute(entry.value, source) for entry in step.options}) for step in steps
    ]
