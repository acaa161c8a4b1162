"""What a relayout cannot do is said before code is made for it; the texts lie beside the bad modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshc.dialects.levels import parse_module
from meshc.passes.base import PassContext
from meshc.passes.pipeline import run_pipeline
from meshc.passes.select_kernels import SelectKernels
from meshrt.diagnostics import CATALOG, MeshError
from meshrt.target import load_target

BAD = sorted((Path(__file__).parent / "relayout_errors").glob("*.mir"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_diagnostic_beside_its_input(path):
    module = parse_module(path.read_text(encoding="utf-8"))
    with pytest.raises(MeshError) as caught:
        run_pipeline(module, [SelectKernels()], PassContext(target=load_target("wse2")))
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")
