"""The engines by name. Each is loaded only when one of its runs begins: compiled code takes time to load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from meshrt.engines.result import Finished
from meshrt.progress import Progress


class Engine(Protocol):
    """A machine made of a program, a target and their data, to be run once."""

    def run(self, progress: Progress) -> Finished:
        """Run all codes to their end; ``progress`` hears of the cycles. Raises M05xx for what fails on the way."""
        ...


def _batched() -> Callable[..., Engine]:
    from meshrt.engines.batched.machine import Machine

    return Machine


def _reference() -> Callable[..., Engine]:
    from meshrt.engines.reference.machine import Machine

    return Machine


#: Engine -> what loads it.
ENGINES: Mapping[str, Callable[[], Callable[..., Engine]]] = MappingProxyType(
    {"batched": _batched, "reference": _reference}
)
DEFAULT_ENGINE = "batched"
