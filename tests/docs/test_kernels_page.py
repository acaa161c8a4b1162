"""The drawings of docs/kernels.md are right: the order of the ring, and what lies in which column."""

from __future__ import annotations

import re

from meshc.dialects.layout import Heads
from meshc.kernels.ring import logical, successor
from meshrt.program.expr import evaluate
from tools.table_sections import DOCS

PAGE = (DOCS / "kernels.md").read_text(encoding="utf-8")


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def test_the_ring():
    (physical,) = re.findall(r" physical ([ \d]+)$", PAGE, re.MULTILINE)
    (positions,) = re.findall(r" logical ([ \d]+)$", PAGE, re.MULTILINE)
    parts = len(numbers(physical))
    assert numbers(physical) == list(range(parts))
    assert numbers(positions) == [evaluate(logical(p, parts), {}, {}) for p in range(parts)]
    # Arrows above go right by two, arrows below left by two, and the ends close the circle.
    drawn = {p: p + 2 for p in range(0, parts - 2, 2)} | {p: p - 2 for p in range(3, parts, 2)} | {4: 5, 1: 0}
    assert drawn == {p: successor(p, parts) for p in range(parts)}


def test_the_columns_of_heads():
    (columns,) = re.findall(r"^   x  ([ \d|]+)$", PAGE, re.MULTILINE)
    (pairs,) = re.findall(r"^   pairs  ([ \d|,]+)$", PAGE, re.MULTILINE)
    (kv,) = re.findall(r"^   KV head  ([ \d|]+)$", PAGE, re.MULTILINE)
    (queries,) = re.findall(r"^   Q heads  ([ \d|]+)$", PAGE, re.MULTILINE)
    layout = Heads(parts=len(numbers(columns)), kv_heads=len(numbers(kv)), per_kv=3, head_dim=16, rotary=16)
    shown = [numbers(cell) for cell in pairs.replace("|", " ").split()]
    for column, held in enumerate(shown):
        group = column // layout.columns
        wanted = {
            head * 16 + half * 8 + pair
            for head in numbers(queries.split("|")[group])
            for half in (0, 1)
            for pair in held
        }
        assert {evaluate(layout.index(column, i), {}, {}) for i in range(layout.tile)} == wanted
