"""Programs of two regions side by side whose words cross the border between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Elements of a vector that moves.
WORDS = 4


def hand_over(width: int, height: int, entries: int, rounds: str = "", between: str = "") -> str:
    """Every PE of ``a`` hands ``entries`` vectors to the PE of ``b`` that lies ``width`` columns east of it.

    Hop by hop: a PE of ``a`` sends its own vectors and then passes on those from its west, the nearest first; a PE of
    ``b`` passes on those that are for others and then adds its own to what it has. Two colors take turns from column
    to column of the fabric. ``rounds`` is the stop of a loop around it, ``between`` what ``b`` does at its end.
    """
    loop, end = (f"for l in 0..{rounds} {{\n", "\n}") if rounds else ("", "")
    vector = f"[k * {WORDS}]({WORDS})"
    count = width * entries * WORDS
    return f"""mesh 1

region a {width} x {height} at (0, 0) {{
  buffer (0:{width}, 0:{height}) own: f32[{entries}, {WORDS}] @ 16384
  buffer (0:{width}, 0:{height}) other: f32[{WORDS}] @ 20480
  place (0:{width}, 0:{height}) own[k: 0..{entries}, i: 0..{WORDS}] = "own"[x, y, k, i]
{_routes(0, width, height, 2 * width)}
  code (0:{width}, 0:{height}) gives {{
{loop}for k in 0..{entries} {{
send own{vector}, color=x % 2
}}
if x > 0 {{
for u in 0..x * {entries} {{
recv other, color=(x + 1) % 2
send other, color=x % 2
}}
}}{end}
  }}
}}

region b {width} x {height} at ({width}, 0) {{
  buffer (0:{width}, 0:{height}) own: f32[{entries}, {WORDS}] @ 16384
  buffer (0:{width}, 0:{height}) other: f32[{WORDS}] @ 20480
{_routes(width, width, height, 2 * width)}
  route (0:{width}, 0:{height}) color 21: RAMP -> E
  port out own side E ({width - 1}, 0:{height}) color 21: f32[{width}, {height}, {entries * WORDS}] count {count} at \
[{width - 1} - e // {entries * WORDS}, y, e % {entries * WORDS}]
  code (0:{width}, 0:{height}) takes {{
fill own, value=0.0
{loop}if x < {width - 1} {{
for u in 0..({width - 1} - x) * {entries} {{
recv other, color=(x + {width + 1}) % 2
send other, color=(x + {width}) % 2
}}
}}
for k in 0..{entries} {{
recv_add own{vector}, color=(x + {width + 1}) % 2
}}
{between}{end}
send own, color=21
if x > 0 {{
route color=21, from=W, to=[E]
}}
  }}
}}
"""


def _routes(first: int, width: int, height: int, columns: int) -> str:
    """Out to the east and in from the west, for the PEs of a region whose western column is column ``first``."""
    lines = []
    for x in range(width):
        column = first + x
        if column < columns - 1:
            lines.append(f"  route ({x}, 0:{height}) color {column % 2}: RAMP -> E")
        if column > 0:
            lines.append(f"  route ({x}, 0:{height}) color {(column + 1) % 2}: W -> RAMP")
    return _lines(lines)


def vectors(width: int, height: int, entries: int) -> np.ndarray:
    """What the PEs of ``a`` hold: f32 [width, height, entries, WORDS]."""
    n = width * height * entries * WORDS
    return np.arange(1, n + 1, dtype=np.float32).reshape(width, height, entries, WORDS)


def handed(width: int, height: int, entries: int) -> np.ndarray:
    """What comes out of one round: f32 [width, height, entries * WORDS]."""
    return vectors(width, height, entries).reshape(width, height, -1)


def ring(widths: Sequence[int], rounds: str, slow: str = "") -> str:
    """A ring through a row of regions of these widths: east from PE to PE on colors 0 and 1, back west on color 2.

    In each round every PE sends its vector on and adds half of what comes; ``slow`` is what it does meanwhile. The
    westernmost and the easternmost PE send theirs to the host.
    """
    columns = sum(widths)
    regions = []
    for number, width in enumerate(widths):
        first = sum(widths[:number])
        here, last = f"(x + {first})", columns - 1
        middle = [f"  route ({x}, 0) color 2: E -> W" for x in range(width) if 0 < first + x < last]
        ends = {0: "E -> RAMP", last: "RAMP -> W"}
        inside = {end: way for end, way in ends.items() if first <= end < first + width}
        closing = [f"  route ({end - first}, 0) color 2: {way}" for end, way in inside.items()]
        ports = [
            f"  route ({end - first}, 0) color 21: RAMP -> S\n"
            f"  port out at{end} side S ({end - first}, 0) color 21: f32[8] count 8 at [e]"
            for end in inside
        ]
        regions.append(f"""region r{number} {width} x 1 at ({first}, 0) {{
  buffer (0:{width}, 0) v: f32[8] @ 16384
  buffer (0:{width}, 0) w: f32[8] @ 16416
  buffer (0:{width}, 0) z: f32[8] @ 16448
  place (0:{width}, 0) v[i: 0..8] = "v"[x + {first}, i]
{_lines([_routes(first, width, 1, columns), *middle, *closing, *ports])}
  code (0:{width}, 0) turns {{
    for l in 0..{rounds} {{
      recv w, color=select({here} == 0, 2, ({here} + 1) % 2), async=got
      send v, color=select({here} == {last}, 2, {here} % 2), async=out
      {slow}
      wait handle=got
      wait handle=out
      fma v, w, 0.5, v
    }}
    if min({here} > 0, {here} < {last}) == 0 {{
      send v, color=21
    }}
  }}
}}
""")
    return "mesh 1\n\n" + "\n".join(regions)


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)
