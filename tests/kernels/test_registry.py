"""Kernels by name: built in and plugged in; a plug-in cannot take a name that is taken, or name something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshc.kernels.registry import kernels
from meshrt.diagnostics import MeshError

ERRORS = Path(__file__).parent / "registry_errors"
BAD = {
    "the_name_of_a_built_in_kernel": ("gemm.ring", "meshc.kernels.gemm_cannon:KERNEL"),
    "another_kernels_name": ("gemm.torus", "meshc.kernels.gemm_cannon:KERNEL"),
    "no_kernel": ("gemm.torus", "meshc.kernels.gemm_cannon:LINE"),
}


def plug_in(folder: Path, name: str, value: str) -> None:
    """Installed metadata of a package with one kernel."""
    info = folder / "torus-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torus\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[meshc.kernels]\n{name} = {value}\n")


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plug_in_gets_one_diagnostic(case, tmp_path, monkeypatch):
    plug_in(tmp_path, *BAD[case])
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MeshError) as caught:
        kernels()
    assert str(caught.value) + "\n" == (ERRORS / f"{case}.err").read_text(encoding="utf-8")
