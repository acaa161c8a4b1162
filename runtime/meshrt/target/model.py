"""A target as a value: all numbers of a machine, with where each comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from meshrt.target.schema import KEYS


@dataclass(frozen=True, slots=True)
class Rates(Mapping[str, float]):
    """Numbers by dtype (elements per cycle, energies), as a read-only mapping that pickles and hashes."""

    entries: tuple[tuple[str, float], ...]

    def __getitem__(self, dtype: str) -> float:
        for name, rate in self.entries:
            if name == dtype:
                return rate
        raise KeyError(dtype)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Target:
    """A machine. The fields are the keys of :data:`meshrt.target.schema.KEYS`, which say what each means.

    ``sources`` holds where each number comes from, by key (``key.dtype`` for a rate); it
    is documentation and takes no part in comparison or in the digest.
    """

    name: str
    fabric_width: int
    fabric_height: int
    clock_hz: int
    colors: int
    host_colors: int
    route_configurations: int
    queue_words: int
    word_bytes: int
    link_words_per_cycle: int
    ramp_words_per_cycle: int
    hop_cycles: int
    ramp_cycles: int
    route_write_cycles: int
    sram_bytes: int
    runtime_bytes: int
    code_bytes_per_instruction: int
    input_queues: int
    output_queues: int
    async_moves_max: int
    async_launch_cycles: int
    task_wakeup_cycles: int
    issue_cycles: int
    vector_setup_cycles: int
    vector_issue_cycles: int
    loop_cycles: int
    branch_cycles: int
    divide_cycles: int
    root_cycles: int
    special_cycles: int
    fma_elements_per_cycle: Rates
    add_elements_per_cycle: Rates
    move_elements_per_cycle: Rates
    sram_byte_picojoules: float
    word_hop_picojoules: float
    pe_static_watts: float
    mac_picojoules: Rates
    operation_picojoules: Rates
    sources: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of every number, in hexadecimal: two targets of one digest time a program alike."""
        values = {name: _plain(getattr(self, name)) for name in KEYS}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def pes(self) -> int:
        """PEs of the usable fabric."""
        return self.fabric_width * self.fabric_height

    @property
    def program_colors(self) -> int:
        """Colors that streams between PEs may use: ``0 .. program_colors - 1``; host ports use the rest."""
        return self.colors - self.host_colors

    def code_bytes(self, instructions: int) -> int:
        """SRAM of a program of so many instructions on one PE, the runtime included."""
        return self.runtime_bytes + instructions * self.code_bytes_per_instruction


def _plain(value: float | Rates) -> float | dict[str, float]:
    return dict(value.entries) if isinstance(value, Rates) else value
