"""Times the reference engine's routers: word-hops per second on one core under static random streams.

Each stream goes from a random PE to another within 8 hops, along x first, then y, on a
color of its own at every router that it crosses; streams are added at random until none
of so many tries fits into any of the 24 colors. Sources send all the time, or one word
every 50 cycles. A word-hop is one word that goes from one router to the next; the time is
the process's own, compiling and loading apart.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.reference.machine import Machine
from meshrt.program.expr import Int
from meshrt.program.model import Buffer, Code, Dim, For, Instruction, Program, Rect, Region, Route, View
from meshrt.progress import Progress
from meshrt.target import Target, load_target

HOPS, COLORS = 8, 24
#: Tries to add a stream to one color that fail one after the other before the color counts as full.
TRIES = 400
#: More words than any stream sends in a run.
ENDLESS = 1 << 30
#: Every how many cycles a source sends a word.
SLOW = 50
STEPS: Mapping[str, tuple[int, int]] = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}
OPPOSITE: Mapping[str, str] = {"N": "S", "E": "W", "S": "N", "W": "E"}


@dataclass(frozen=True)
class Stream:
    """From PE ``path[0]`` over the routers of its path to the last one; ``sides`` are those by which it leaves each."""

    color: int
    path: tuple[tuple[int, int], ...]
    sides: tuple[str, ...]


def path_of(source: tuple[int, int], target: tuple[int, int]) -> Stream:
    """The way along x, then along y."""
    (x, y), (to_x, to_y) = source, target
    sides = ["E" if to_x > x else "W"] * abs(to_x - x) + ["S" if to_y > y else "N"] * abs(to_y - y)
    path = [source]
    for side in sides:
        dx, dy = STEPS[side]
        x, y = x + dx, y + dy
        path.append((x, y))
    return Stream(0, tuple(path), tuple(sides))


def streams(size: int, seed: int) -> Iterator[Stream]:
    """Streams of a square mesh, color by color."""
    chance = random.Random(seed)
    for color in range(COLORS):
        taken: set[tuple[int, int]] = set()
        failed = 0
        while failed < TRIES:
            source = (chance.randrange(size), chance.randrange(size))
            target = (chance.randrange(size), chance.randrange(size))
            distance = abs(target[0] - source[0]) + abs(target[1] - source[1])
            found = path_of(source, target)
            if not 0 < distance <= HOPS or taken & set(found.path):
                failed += 1
                continue
            failed = 0
            taken |= set(found.path)
            yield replace(found, color=color)


def machine(target: Target) -> Target:
    """The target with as many queues as there are colors, and costs that make a source's period easy to set."""
    most = dict.fromkeys(("input_queues", "output_queues", "async_moves_max"), 2 * COLORS)
    free = dict.fromkeys(("issue_cycles", "vector_setup_cycles", "vector_issue_cycles", "loop_cycles"), 0)
    return replace(target, host_colors=0, fabric_width=1024, fabric_height=1024, **most, **free)


def program(size: int, found: list[Stream], period: int) -> Program:
    """Every PE receives and sends on its streams without end: all the time, or one word of each in every period."""
    routes: list[Route] = []
    bodies: dict[tuple[int, int], list[Instruction | For]] = {}
    sent: dict[tuple[int, int], list[int]] = {}
    word = View("a", Int(0), (Dim(Int(1), Int(1)),))
    endless = View("a", Int(0), (Dim(Int(ENDLESS), Int(0)),))
    for stream in found:
        came = "RAMP"
        for (x, y), side in zip(stream.path, (*stream.sides, "RAMP"), strict=True):
            routes.append(Route(Rect(x, x + 1, y, y + 1), stream.color, came, (side,)))
            came = OPPOSITE.get(side, "")
        options = (("color", Int(stream.color)), ("async", f"in{stream.color}"))
        bodies.setdefault(stream.path[-1], []).append(Instruction("recv", (endless,), options))
        sent.setdefault(stream.path[0], []).append(stream.color)
    for pe, colors in sent.items():
        body = bodies.setdefault(pe, [])
        if period == 1:
            body += [Instruction("send", (endless,), (("color", Int(c)), ("async", f"out{c}"))) for c in colors]
            continue
        moves = tuple(Instruction("send", (word,), (("color", Int(c)),)) for c in colors)
        rest = View("a", Int(0), (Dim(Int(max(0, period - len(colors))), Int(0)),))
        pause = Instruction("fill", (rest,), (("value", 0.0),))
        body.append(For("l", Int(0), Int(ENDLESS), (*moves, pause)))
    for body in bodies.values():
        handles = [str(i.option("async")) for i in body if isinstance(i, Instruction)]
        body += [Instruction("wait", (), (("handle", handle),)) for handle in handles]
    codes = tuple(Code(Rect(x, x + 1, y, y + 1), f"pe_{x}_{y}", tuple(body)) for (x, y), body in sorted(bodies.items()))
    buffers = (Buffer(Rect(0, size, 0, size), "a", "f32", (1,), 16384),)
    return Program((), (Region("main", (0, 0), size, size, buffers=buffers, routes=tuple(routes), codes=codes),))


def measure(size: int, period: int, cycles: int, seed: int, target: Target) -> dict[str, float]:
    """One row: a mesh of ``size`` by ``size``, run for so many cycles."""
    found = list(streams(size, seed))
    run = program(size, found, period)
    # One element per cycle, so that a pause of so many elements takes as many cycles.
    rates = replace(target.move_elements_per_cycle, entries=tuple((d, 1.0) for d in target.move_elements_per_cycle))
    engine = Machine(run, replace(target, move_elements_per_cycle=rates), {}, {}, {}, max_cycles=cycles)
    before = time.process_time()
    try:
        engine.run(Progress())
    except MeshError as error:
        if error.diagnostic.code != "M0530":
            raise
    seconds = time.process_time() - before
    words = np.asarray(engine.link_words)
    return {
        "width": size,
        "height": size,
        "streams": len(found),
        "cycles_between_words": period,
        "cycles": cycles,
        "word_hops": int(words.sum()),
        "seconds": seconds,
        "word_hops_per_second": words.sum() / seconds,
        "cycles_per_second": cycles / seconds,
        "link_utilization": float(words.sum() / cycles / max(1, np.count_nonzero(words))),
    }


def main(line: list[str] | None = None) -> int:
    """Measure all rows and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write; standard output by default")
    parser.add_argument("--target", default="wse2", help="whose queues, hops and ramps (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cycles", type=int, default=4000, help="of the larger mesh, always sending (%(default)s)")
    chosen = parser.parse_args(line)
    target = machine(load_target(chosen.target))
    measure(4, 1, 100, chosen.seed, target)  # so that everything is compiled
    rows = [
        measure(
            size, period, chosen.cycles * (1 if period == 1 else 10) * (1 if size == 32 else 8), chosen.seed, target
        )
        for size in (8, 32)
        for period in (1, SLOW)
    ]
    text = json.dumps({"schema": "meshc.bench.routers/1", "target": target.name, "rows": rows}, indent=2) + "\n"
    if chosen.json is None:
        sys.stdout.write(text)
    else:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
