"""The schema of a target file: every number of a machine, its unit and its meaning.

One table feeds the loader, the writer and ``docs/targets.md``. A key's name carries its
unit (``_bytes``, ``_cycles``, ``_words``, ``_hz``, ``_per_cycle``, ``_picojoules``, ``_watts``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``count`` is an integer, ``rate`` a positive number, ``rates`` a table of such by dtype.
Kind = Literal["count", "rate", "rates"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name, kind, smallest value, what it means, and the dtypes of a table of rates."""

    name: str
    kind: Kind
    least: float
    meaning: str
    dtypes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Keys that belong together; sections order the file and the docs, they are not part of a key."""

    title: str
    keys: tuple[Key, ...]


def _count(name: str, least: int, meaning: str) -> Key:
    return Key(name, "count", least, meaning)


def _rate(name: str, meaning: str) -> Key:
    return Key(name, "rate", 0.0, meaning)


def _rates(name: str, dtypes: tuple[str, ...], meaning: str) -> Key:
    return Key(name, "rates", 0.0, meaning, dtypes)


_ELEMENT_DTYPES = ("f16", "bf16", "f32", "i32")
_PRODUCT_DTYPES = ("f16", "mixed", "bf16", "f32")

SECTIONS = (
    Section(
        "Fabric",
        (
            _count("fabric_width", 1, "PEs of the usable fabric from west to east"),
            _count("fabric_height", 1, "PEs of the usable fabric from north to south"),
            _count("clock_hz", 1, "cycles per second"),
        ),
    ),
    Section(
        "Routing",
        (
            _count("colors", 1, "routing colors of a router, those of host I/O included"),
            _count("host_colors", 0, "of these, the last ones, which only host ports use"),
            _count("route_configurations", 1, "configurations that a router holds for one color (switch positions)"),
            _count("queue_words", 1, "words that the queue of one router, color and input port holds"),
            _count("word_bytes", 1, "bytes of a word"),
            _count("link_words_per_cycle", 1, "words that a link carries per direction and cycle"),
            _count("ramp_words_per_cycle", 1, "words between a router and its PE per direction and cycle"),
            _count("hop_cycles", 1, "cycles of a word from one router to the next"),
            _count("ramp_cycles", 1, "cycles of a word between a router and its PE"),
            _count("route_write_cycles", 0, "cycles in which a PE rewrites one route of its router"),
        ),
    ),
    Section(
        "Memory of a PE",
        (
            _count("sram_bytes", 1, "SRAM of a PE, for code, runtime and data"),
            _count("runtime_bytes", 0, "SRAM that the runtime of a minimal program takes"),
            _count("code_bytes_per_instruction", 0, "SRAM of one instruction, loop or branch of a program"),
        ),
    ),
    Section(
        "Moves between fabric and memory",
        (
            _count("input_queues", 1, "moves from the fabric under way at once in a PE"),
            _count("output_queues", 1, "moves to the fabric under way at once in a PE"),
            _count("async_moves_max", 1, "asynchronous moves under way at once in a PE, both ways together"),
            _count("async_launch_cycles", 0, "cycles that the compute engine takes to launch an asynchronous move"),
            _count("task_wakeup_cycles", 0, "cycles from the end of an asynchronous move until its wait goes on"),
        ),
    ),
    Section(
        "Compute engine",
        (
            _count("issue_cycles", 0, "cycles of any instruction before its own work"),
            _count(
                "vector_setup_cycles", 0, "cycles that set one vector up: a descriptor, or what a blocking move walks"
            ),
            _count("vector_issue_cycles", 0, "cycles of one vector operation before its elements"),
            _count("loop_cycles", 0, "cycles of a loop per iteration"),
            _count("branch_cycles", 0, "cycles of a branch"),
            _count("divide_cycles", 1, "cycles of one division"),
            _count("root_cycles", 1, "cycles of one square root, or one over it"),
            _count("special_cycles", 1, "cycles of one exponential, logarithm, sine, tangent, .."),
            _rates(
                "fma_elements_per_cycle",
                _PRODUCT_DTYPES,
                "multiply-adds per cycle; mixed is f16 operands with an f32 accumulator, bf16 likewise",
            ),
            _rates("add_elements_per_cycle", _ELEMENT_DTYPES, "additions, products or comparisons per cycle"),
            _rates("move_elements_per_cycle", _ELEMENT_DTYPES, "elements copied or filled per cycle"),
        ),
    ),
    Section(
        "Energy",
        (
            _rate("sram_byte_picojoules", "reading or writing one byte of a PE's SRAM"),
            _rate("word_hop_picojoules", "one word from a router to the next, link and router together"),
            _rate("pe_static_watts", "power of a PE that does nothing: leakage and clock"),
            _rates("mac_picojoules", _PRODUCT_DTYPES, "one multiply-add, operands at hand"),
            _rates(
                "operation_picojoules",
                _ELEMENT_DTYPES,
                "one addition, product or comparison; a division, root or special function takes one per cycle",
            ),
        ),
    ),
)

#: Every key by name, in the order of the file.
KEYS: dict[str, Key] = {key.name: key for section in SECTIONS for key in section.keys}
