"""Builds with a bad program: what ``meshc check`` prints of each kind, and that a run stops with the same code.

A golden text lies in ``bad_programs/`` under the name of the kind; its program is one of those that the static proofs
are tested with, or lies beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshc.cli.main import status_of_line
from meshrt.build import Build, write_build
from meshrt.exit_status import DIAGNOSTIC
from meshrt.manifest import Manifest
from meshrt.program.parser import parse_program
from meshrt.target import load_target
from meshrt.weights import StoredTensor

HERE = Path(__file__).parent / "bad_programs"
MESHRT = Path(__file__).parents[1] / "meshrt"
PROOFS = MESHRT / "program" / "proofs" / "rejected"
PROGRAMS = {
    "deadlock": PROOFS / "deadlock_ring.mesh",
    "routing_conflict": PROOFS / "route_conflict.mesh",
    "address_overlap": PROOFS / "overwritten_in_the_second_round.mesh",
    "touched_asynchronous_buffer": PROOFS / "held_in_a_loop.mesh",
    "too_many_colors": HERE / "too_many_colors.mesh",
    "queue_overrun": PROOFS / "queue_overrun.mesh",
}


@pytest.fixture
def build(request, tmp_path):
    """A build of the program of a kind."""
    text = PROGRAMS[request.param].read_text(encoding="utf-8")
    weights = {"a": StoredTensor.of(np.arange(24, dtype=np.float32))}
    manifest = Manifest(request.param, "0" * 64, "prefill", (), ())
    target = load_target(MESHRT / "machine" / "machine.toml")
    write_build(tmp_path / "build", Build(parse_program(text), weights, manifest, target, {}))
    return tmp_path / "build"


@pytest.mark.parametrize(("build", "kind"), [(kind, kind) for kind in PROGRAMS], indirect=["build"], ids=PROGRAMS)
def test_it_is_rejected_and_stopped(build, kind, capsys):
    golden = (HERE / f"{kind}.err").read_text(encoding="utf-8")
    assert status_of_line(["check", str(build)]) == DIAGNOSTIC
    checked = capsys.readouterr()
    assert (checked.out, checked.err) == ("", golden)
    for engine in ("batched", "reference"):
        assert status_of_line(["run", str(build), "--checked", "--engine", engine, "-q"]) == DIAGNOSTIC
        code = golden[: golden.index("]")]
        assert capsys.readouterr().err.startswith(code), engine
