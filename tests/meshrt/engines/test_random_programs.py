"""Random small programs give the same bits on the engine and in the naive interpreter, and the same again.

All values are integers that f32 and f16 hold exactly, so that no order of additions matters.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meshrt.program.check import check_program
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.run import run_program
from meshrt.target import load_target
from tests.meshrt.naive_interpreter import Interpreter

TINY = load_target("tiny")
FEW = settings(max_examples=40, deadline=None, derandomize=True)
LOCAL = (
    "add a, a, b",
    "sub b, b, a",
    "max a, a, b",
    "min b[0](N), a[0](N), 5.0",
    "copy b[0](N), a[0](N:0)",
    "add b[0](N - 1), b[1](N - 1), x",
    "fill a, value=2.0, where=(i0 + x) % 2",
    "index b, value=i0 - x",
    "rotate a, b",
    "if x % 2 == 0 {\n rotate a, b\n}",
    "if x < W // 2 {\n add a, a, 1.0\n} else {\n sub a, a, 1.0\n}",
)
#: Ways of moving words along the row: neighbours, everybody at once, a chain, a multicast.
MOVES = (
    "if x % 2 == 0 {\n if x < W - 1 {\n  send a, color=0\n }\n} else {\n RECEIVE b, color=0\n}",
    "if x < W - 1 {\n send a, color=x % 2, async=out\n}\nif x > 0 {\n RECEIVE b, color=(x - 1) % 2, async=got\n}\n"
    "if x < W - 1 {\n wait handle=out\n}\nif x > 0 {\n wait handle=got\n}",
    "if x == 0 {\n send b, color=0\n} else if x == W - 1 {\n RECEIVE a, color=(x - 1) % 2\n} else {\n"
    " STREAM a, in=(x - 1) % 2, out=x % 2\n}",
    "if x == 0 {\n send a[0](N - 1), color=2\n} else {\n RECEIVE a[1](N - 1), color=2\n}",
    "if x == 0 {\n send a, color=2\n send b, color=2\n} else {\n RECEIVE b, color=2\n RECEIVE a, color=2\n}",
    "if x == 0 {\n send a[0](2), color=2\n send a[0](N), color=2\n} else {\n"
    " RECEIVE b[0](N), color=2\n RECEIVE a[N - 2](2), color=2\n}",
)


@st.composite
def programs(draw) -> tuple[Program, dict[str, np.ndarray]]:
    width, n = draw(st.integers(2, 6)), 2 * draw(st.integers(2, 4))
    dtype = draw(st.sampled_from(["f32", "f16", "i32"]))
    size = 2 if dtype == "f16" else 4
    body: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            body.append(draw(st.sampled_from(LOCAL)))
            continue
        move = draw(st.sampled_from(MOVES))
        receive = draw(st.sampled_from(["recv", "recv_add", "recv_max"]))
        stream = draw(st.sampled_from(["stream_add", "stream_max", "stream_copy"]))
        body.append(move.replace("RECEIVE", receive).replace("STREAM", stream))
    if draw(st.booleans()):
        body = ["for l in 0..select(W > 3, 3, 2) {", *body, "}"]
    text = f"""mesh 1
region main {width} x 1 at (0, 0) {{
param (0:{width}, 0) W = {width}
param (0:{width}, 0) N = {n}
buffer (0:{width}, 0) a: {dtype}[{n}] @ 16384
buffer (0:{width}, 0) b: {dtype}[{n}] @ {16384 + n * size}
place (0:{width}, 0) a[i: 0..{n}] = "a"[x, i]
place (0:{width}, 0) b[i: 0..{n}] = "b"[x, i]
route (0:{width}:2, 0) color 0: RAMP -> E
route (1:{width + width % 2}:2, 0) color 0: W -> RAMP
{routes_of_color_1(width)}
route (0, 0) color 2: RAMP -> E
{f"route (1:{width - 1}, 0) color 2: W -> E, RAMP" if width > 2 else ""}
route ({width - 1}, 0) color 2: W -> RAMP
route (0:{width}, 0) color 21: RAMP -> S
port out out side S (0:{width}, 0) color 21: {dtype}[{width}, {2 * n}] count {2 * n} at [x, e]
code (0:{width}, 0) main {{
{chr(10).join(body)}
send a, color=21
send b, color=21
}}
}}
"""
    if width % 2:
        # The last PE of an odd row has nobody to its east.
        text = text.replace(f"route (0:{width}:2, 0) color 0", f"route (0:{width - 1}:2, 0) color 0")
        text = text.replace(f"route (1:{width + 1}:2, 0) color 0", f"route (1:{width}:2, 0) color 0")
    integers = np.random.default_rng(draw(st.integers(0, 999)))
    kind = np.int32 if dtype == "i32" else np.float32
    weights = {name: integers.integers(-3, 4, (width, n)).astype(kind) for name in "ab"}
    return parse_program(fitted(text, dtype)), weights


def fitted(text: str, dtype: str) -> str:
    """Operands that stand for numbers, in the program's terms: ``x`` of an addition is an integer constant."""
    return text.replace("b[1](N - 1), x", "b[1](N - 1), 3.0")


def routes_of_color_1(width: int) -> str:
    """Odd PEs send to their east, as far as there is somebody."""
    if width < 3:
        return ""
    senders = range(1, width - 1, 2)
    last = senders[-1]
    return f"route (1:{last + 1}:2, 0) color 1: RAMP -> E\nroute (2:{last + 2}:2, 0) color 1: W -> RAMP"


@given(programs())
@FEW
def test_the_engine_agrees_with_the_interpreter(made):
    program, weights = made
    check_program(program, TINY)
    found = run_program(program, TINY, weights)
    wanted = Interpreter(program, weights, {}).run({})["out"]
    np.testing.assert_array_equal(found.outputs["out"].astype(np.float64), wanted.astype(np.float64))


@given(programs())
@FEW
def test_a_run_is_the_same_again(made):
    program, weights = made
    first, second = run_program(program, TINY, weights), run_program(program, TINY, weights)
    assert first.outputs["out"].tobytes() == second.outputs["out"].tobytes()
    assert first.clocks.tolist() == second.clocks.tolist()
    assert first.report == second.report
