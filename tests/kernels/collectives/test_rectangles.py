"""All-reduce over rectangles: exact, from any corner of the region, as often as it runs, and near its prediction."""

from __future__ import annotations

import numpy as np
import pytest

from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.rectangle import all_reduce_rectangle, rectangle_estimate
from meshc.standalone.collective import collective_program
from meshc.standalone.region import assemble, repeated
from meshrt.program.check import diagnose
from meshrt.program.model import Rect
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.kernels.collectives.harness import GROUPS

TINY, WSE2 = load_target("tiny"), load_target("wse2")
RECTANGLES = [Rect(0, 8, 0, 5), Rect(1, 6, 2, 5), Rect(0, 1, 0, 5), Rect(3, 8, 1, 2), Rect(2, 3, 3, 4)]
ALGORITHMS = ["auto", "chain", "k_tree", "tree", "two_phase"]


def options(algorithm, rect, payload):
    if algorithm == "k_tree":
        return {"along_x": {"groups": GROUPS[rect.x1 - rect.x0]}, "along_y": {"groups": GROUPS[rect.y1 - rect.y0]}}
    return {"payload": payload} if algorithm == "auto" else {}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("op", ["add", "max"])
@pytest.mark.parametrize(
    "rect", [Rect(0, 8, 0, 5), Rect(1, 6, 2, 5), Rect(0, 1, 0, 5), Rect(3, 8, 1, 2), Rect(2, 3, 3, 4)]
)
@pytest.mark.parametrize("rounds", [1, 3])
def test_exact(algorithm, op, rect, rounds):
    def append(builder, data):
        with repeated(builder, rounds):
            all_reduce_rectangle(builder, rect, data, op, algorithm, **options(algorithm, rect, payload))

    payload = Payload(6, "f32", op, TINY)
    program = collective_program(8, 5, TINY, append, 6)
    assert not diagnose(program, TINY)
    before = np.random.default_rng(2).integers(-9, 10, (5, 8, 6)).astype(np.float32)
    after = run_program(program, TINY, {"data": before}).outputs["result"]
    wanted = before.copy()
    part = wanted[rect.y0 : rect.y1, rect.x0 : rect.x1]
    for _ in range(rounds):
        part[:] = (np.sum if op == "add" else np.max)(part, axis=(0, 1), keepdims=True)
    assert after.tolist() == wanted.tolist()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("width", "height"), [(8, 5), (13, 3), (1, 7), (12, 12)])
def test_predicted_cycles_lie_within_a_tenth(algorithm, width, height):
    for elements, dtype in ((1, "f32"), (24, "f16")):
        payload, rect = Payload(elements, dtype, "add", WSE2), Rect(0, width, 0, height)
        chosen = options(algorithm, rect, payload)

        def body(builder, elements=elements, dtype=dtype, rect=rect, chosen=chosen):
            data = builder.buffer("data", dtype, elements)
            all_reduce_rectangle(builder, rect, data, "add", algorithm, **chosen)

        program = assemble(width, height, WSE2, body)
        cycles = int(run_program(program, WSE2, options=RunOptions(timing_only=True)).clocks.max())
        chosen = {name: value for name, value in chosen.items() if name != "payload"}
        found = rectangle_estimate(width, height, payload, algorithm, **chosen)
        assert abs(found.cycles - cycles) <= max(4, 0.1 * cycles), (elements, dtype, cycles, found.cycles)
        assert found.colors >= len({route.color for route in program.regions[0].routes})
