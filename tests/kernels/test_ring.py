"""The two-hop ring: one cycle through all PEs, no hop longer than two, four colors that never clash."""

import pytest

from meshc.ir.core import Block, Operation
from meshc.kernels.builder import MeshBuilder
from meshc.kernels.ring import logical, physical, ring, strided, successor
from meshrt.program.expr import evaluate
from meshrt.program.model import Rect

SIZES = [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 96, 97]


@pytest.mark.parametrize("parts", SIZES)
def test_one_cycle_of_hops_up_to_two(parts):
    at, seen = 0, []
    for _ in range(parts):
        seen.append(at)
        following = successor(at, parts)
        assert abs(following - at) <= 2
        at = following
    assert at == 0
    assert sorted(seen) == list(range(parts))


@pytest.mark.parametrize("parts", SIZES)
def test_a_forward_shift_goes_to_the_next_lower_logical_position(parts):
    positions = [evaluate(logical(p, parts), {}, {}) for p in range(parts)]
    assert sorted(positions) == list(range(parts))
    for p in range(parts):
        assert positions[successor(p, parts)] == (positions[p] - 1) % parts
        assert evaluate(physical(positions[p], parts), {}, {}) == p


@pytest.mark.parametrize("parts", SIZES)
@pytest.mark.parametrize("reverse", [False, True])
def test_routes_lead_every_message_to_its_successor(parts, reverse):
    region = Operation("mesh.region", attributes={"origin": (0, 0)}, regions=[Block()])
    builder = MeshBuilder(region, parts, 2)
    on = ring(builder, "x", reverse=reverse)
    streams = [op for op in region.regions[0].ops if op.name == "mesh.stream"]
    params = {op.attributes["name"]: op.attributes["value"] for op in region.regions[0].ops if op.name == "mesh.param"}
    config = {}
    for number, stream in enumerate(streams):
        for rect, source, destinations in stream.attributes["routes"]:
            for x in range(parts):
                if (x, 0) in Rect(*rect):
                    assert (x, number) not in config, "one configuration per router and color"
                    config[x, number] = (source, destinations)
    numbers = {f"@{s.attributes['name']}": n for n, s in enumerate(streams)}

    def color(expr, x):
        env = {"x": x, "y": 0, **numbers}
        for name, value in params.items():
            env[name] = evaluate(value, env, {})
        return evaluate(expr, env, {})

    step, opposite = {"E": 1, "W": -1}, {"E": "W", "W": "E"}
    for p in range(parts):
        target = successor(p, parts)
        source, target = (target, p) if reverse else (p, target)
        number = color(on.send, source)
        assert color(on.receive, target) == number
        x, arrival = source, "RAMP"
        for _ in range(4):
            accepted, (port,) = config[x, number]
            assert accepted == arrival
            if port == "RAMP":
                break
            x, arrival = x + step[port], opposite[port]
        assert x == target


def test_strided_covers_exactly():
    for positions in ([0], [1, 3, 5], [0, 4, 8, 9], [2, 3, 4, 10]):
        covered = [p for start, stop, step in strided(positions) for p in range(start, stop, step)]
        assert sorted(covered) == positions
