"""Energy of a run, from what its PEs and links did and the energies of the target.

E = sum of events x energy of one event + static power x PEs x seconds. The events are those
that cycles are made of (:mod:`meshrt.program.cost`), bytes of SRAM
(:mod:`meshrt.program.sram_traffic`), and words over links. A division, root or special
function is software, one operation in each of its cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from meshrt.engines.result import Row
from meshrt.target import Target

_PICO = 1e-12
#: What joules are reported for.
CAUSES: tuple[str, ...] = ("mac", "operation", "sram", "link", "static")

#: Cause of cycles -> the cause of energy, and picojoules of one such event in a dtype; others cost none.
_PRICES: Mapping[str, tuple[str, Callable[[Target, str], float]]] = {
    "fma_elements_per_cycle": ("mac", lambda t, dtype: t.mac_picojoules[dtype]),
    "add_elements_per_cycle": ("operation", lambda t, dtype: t.operation_picojoules[dtype]),
    "divide_cycles": ("operation", lambda t, _: t.divide_cycles * t.operation_picojoules["f32"]),
    "root_cycles": ("operation", lambda t, _: t.root_cycles * t.operation_picojoules["f32"]),
    "special_cycles": ("operation", lambda t, _: t.special_cycles * t.operation_picojoules["f32"]),
}


def row_joules(target: Target, row: Row, pes: int) -> dict[str, float]:
    """Joules of one operation by cause; static power is that of all PEs while the operation held the clock."""
    joules = dict.fromkeys(CAUSES, 0.0)
    for event, count in sorted(row.events.items()):
        key, _, dtype = event.partition(".")
        if key in _PRICES:
            cause, picojoules = _PRICES[key]
            joules[cause] += count * picojoules(target, dtype) * _PICO
    joules["sram"] = row.sram_bytes * target.sram_byte_picojoules * _PICO
    joules["link"] = link_joules(target, row.word_hops)
    joules["static"] = target.pe_static_watts * pes * row.cycles / target.clock_hz
    return joules


def link_joules(target: Target, word_hops: int) -> float:
    """Joules of words over links."""
    return word_hops * target.word_hop_picojoules * _PICO


def summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Joules by cause of several operations."""
    total = dict.fromkeys(CAUSES, 0.0)
    for part in parts:
        for cause in CAUSES:
            total[cause] += part[cause]
    return total
