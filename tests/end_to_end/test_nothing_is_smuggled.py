"""The program is all there is: whoever changes a route, an address or a placement in its text changes the run."""

from __future__ import annotations

import re

import numpy as np
import pytest

import meshc
from meshrt.diagnostics import MeshError
from meshrt.run import run_build
from tests.models import tiny, token_ids

IDS = token_ids(1, 6).numpy()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A tiny Llama's build directory, the text of its program and its logits."""
    path = tmp_path_factory.mktemp("smuggled") / "build"
    options = {"grid": (4, 4), "dtype": "f32", "target": "tiny", "strategy": "gemm.ring"}
    compiled = meshc.compile(tiny("llama"), (token_ids(1, 6),), **options)
    compiled.save(path)
    return path, (path / "program.mesh").read_text(), run_build(path, {"input_ids": IDS}).outputs["logits"]


def fails_or_differs(build, text: str) -> None:
    """Run the build with another program text."""
    path, original, logits = build
    assert text != original
    (path / "program.mesh").write_text(text)
    try:
        changed = run_build(path, {"input_ids": IDS}).outputs["logits"]
    except MeshError:
        return
    finally:
        (path / "program.mesh").write_text(original)
    assert not np.allclose(changed, logits, rtol=1e-3, atol=1e-3, equal_nan=False)


def lines_starting(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(word)]


PORTS = ("N", "E", "S", "W", "RAMP")


@pytest.mark.parametrize("which", range(0, 40, 4))
def test_another_port_in_a_route(build, which):
    routes = lines_starting(build[1], "route ")
    line = routes[which % len(routes)]
    head, target = line.rsplit("-> ", 1)
    first = target.split(",")[0].strip()
    source = re.search(r": (\w+) $", head)[1]
    other = next(port for port in PORTS if port not in (first, source) and port not in target)
    fails_or_differs(build, build[1].replace(line, head + "-> " + target.replace(first, other, 1), 1))


def test_a_route_left_out(build):
    line = lines_starting(build[1], "route ")[5]
    fails_or_differs(build, build[1].replace(line + "\n", "", 1))


@pytest.mark.parametrize(
    ("moved", "onto"), [("acc", "x_tile"), ("w_pair", "acc"), ("scores", "weights"), ("norm", "embedding")]
)
def test_a_buffer_on_a_live_one(build, moved, onto):
    buffers = {re.search(r"\) (\w+):", line)[1]: line for line in lines_starting(build[1], "buffer ")}
    address = buffers[onto].rsplit("@ ", 1)[1]
    line = buffers[moved]
    fails_or_differs(build, build[1].replace(line, line.rsplit("@ ", 1)[0] + f"@ {address}", 1))


def test_activations_on_weights(build):
    buffers = {re.search(r"\) (\w+):", line)[1]: line for line in lines_starting(build[1], "buffer ")}
    # Weights of both layers: the second layer's are read after the activations were written.
    weights = next(line for line in buffers.values() if re.search(r": f32\[2, \d+, \d+\]", line))
    address = weights.rsplit("@ ", 1)[1]
    line = buffers["embedding"]
    fails_or_differs(build, build[1].replace(line, line.rsplit("@ ", 1)[0] + f"@ {address}", 1))


@pytest.mark.parametrize("tensor", ["embed_tokens.weight", "q_proj.weight", "down_proj.weight", "model.norm.weight"])
def test_a_placement_moved_by_a_tile(build, tensor):
    (line, *_) = [line for line in lines_starting(build[1], "place ") if tensor in line]
    head, indices = line.rsplit("[", 1)
    first, *others = indices.rstrip("]").split(", ")
    fails_or_differs(build, build[1].replace(line, f"{head}[{', '.join([f'({first}) + 8', *others])}]", 1))
