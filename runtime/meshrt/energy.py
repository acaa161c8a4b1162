"""Energy of a run, from what its PEs and links did and the energies of the target.

E = sum of events x energy of one event + static power x PEs x seconds. The events are
those of :mod:`meshrt.program.work` and ``word_hops``, one for every word over every link.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshrt.target import Target

_PICO = 1e-12
#: What an event's name starts with -> the cause that a report names.
CAUSES = {"mac": "mac", "operation": "operation", "sram_bytes": "sram", "word_hops": "link"}


def event_joules(target: Target, event: str) -> float:
    """Joules of one event: ``mac.DTYPE``, ``operation.DTYPE``, ``sram_bytes`` or ``word_hops``."""
    name, _, dtype = event.partition(".")
    picojoules = {
        "mac": target.mac_picojoules,
        "operation": target.operation_picojoules,
        "sram_bytes": target.sram_byte_picojoules,
        "word_hops": target.word_hop_picojoules,
    }[name]
    return _PICO * (picojoules if isinstance(picojoules, float) else picojoules[dtype])


def joules_by_cause(target: Target, events: Mapping[str, int], pes: int, cycles: int) -> dict[str, float]:
    """Joules of each cause: ``mac``, ``operation``, ``sram``, ``link``, and ``static`` over the cycles."""
    joules = dict.fromkeys((*CAUSES.values(), "static"), 0.0)
    for event, count in sorted(events.items()):
        joules[CAUSES[event.partition(".")[0]]] += count * event_joules(target, event)
    joules["static"] = target.pe_static_watts * pes * cycles / target.clock_hz
    return joules
