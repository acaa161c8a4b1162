"""SRAM use of a program."""

from __future__ import annotations

from pathlib import Path

from meshrt.program.memory_map import code_end, memory_map
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.target import load_target

LEGAL = (Path(__file__).parent / "legal.mesh").read_text(encoding="utf-8")
TINY = load_target("tiny")


def test_the_fullest_pe_and_what_it_holds():
    text = LEGAL.replace("  place", "  buffer (1, 2:4) extra: i32[100] @ 9000\n  place")
    found = memory_map(parse_program(text), TINY)
    assert found.peak_bytes == 9400
    assert found.peak_pe == ("main", 1, 2)
    assert [buffer.name for buffer in found.buffers] == ["a", "acc", "extra"]
    # fill, two branches, two moves, two waits, an addition and a loop
    assert found.code_bytes == TINY.runtime_bytes + 9 * TINY.code_bytes_per_instruction
    assert found.mean_bytes == (14 * (8224 + 24) + 2 * 9400) / 16


def test_buffers_that_share_addresses_count_once():
    text = LEGAL.replace("@ 8224", "@ 8192")
    assert memory_map(parse_program(text), TINY).peak_bytes == 8192 + 24


def test_a_pe_without_code_holds_the_runtime():
    program = parse_program(LEGAL.replace("code (0:4, 0:4)", "code (0, 0:4)"))
    end = code_end(program.regions[0], TINY)
    assert end[0].tolist() == [4176 + 9 * 32, 4176, 4176, 4176]


def test_no_regions():
    found = memory_map(Program(), TINY)
    assert (found.peak_bytes, found.peak_pe, found.buffers) == (0, None, ())


def test_the_map_as_text():
    text = memory_map(parse_program(LEGAL), TINY).render()
    assert text.split("\n") == [
        "SRAM of PE (0, 0): 8248 of 65536 bytes",
        "        0 ..    4464     4464  code and runtime",
        "     8192 ..    8216       24  a: f16 2 x 6",
        "     8224 ..    8248       24  acc: f32 6",
    ]
