"""``meshc coverage``: how far each operator gets, and the diagnostic of what is not covered."""

from __future__ import annotations

import json

import pytest
import torch

from meshc.cli.main import status_of_line
from meshc.coverage import STAGES, coverage
from meshc.frontend.export import export_module
from meshrt.diagnostics import MeshError
from tests.frontend.comparison import graph_of
from tests.models import tiny, token_ids


class Uncovered(torch.nn.Module):
    """An operator that nothing represents, one without its pattern, and attention with a bias that is no mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(20, 8)
        self.head = torch.nn.Linear(8, 20)
        self.register_buffer("bias", torch.linspace(0, 1, 25).reshape(5, 5))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        x = torch.nn.functional.softplus(x)
        x = x * torch.softmax(x, dim=-1)
        x = torch.softmax(x @ x.transpose(1, 2) + self.bias, dim=-1) @ x
        return self.head(x)


def uncovered() -> torch.export.ExportedProgram:
    return export_module(Uncovered(), token_ids(1, 5, 20))


def test_a_covered_model_is_said_to_be():
    found = coverage(export_module(tiny("llama"), token_ids(1, 6)))
    assert found.complete
    by_name = {each.op: each for each in found.ops}
    assert by_name["aten.linear.default"].stages == {"lowered": 15}
    assert by_name["aten.softmax.int"].reaches == "fused"
    assert by_name["aten.arange.default"].reaches == "constant"
    assert all(each.reaches in STAGES and sum(each.stages.values()) == each.count for each in found.ops)


def test_what_is_not_covered_has_its_line_and_the_nearest_form():
    found = coverage(uncovered())
    assert not found.complete
    assert {each.op for each in found.uncovered} >= {"aten.softplus.default", "graph.softmax"}
    softplus = next(each for each in found.uncovered if each.op == "aten.softplus.default")
    assert softplus.location.file.endswith("test_coverage.py")
    assert "silu" in softplus.nearest
    assert json.loads(json.dumps(found.to_json()))["complete"] is False


def test_a_model_with_an_unsupported_operator_does_not_compile():
    with pytest.raises(MeshError) as caught:
        graph_of(uncovered())
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == "M0402"
    assert diagnostic.message == "no kernel covers aten.softplus.default"
    assert diagnostic.place is not None
    assert diagnostic.place.file.endswith("test_coverage.py")
    assert any("graph.softmax (2)" in note for note in diagnostic.notes)
    assert diagnostic.helps[0].startswith("nearest supported form: one of the activations silu")


def test_the_command_prints_a_table_and_says_by_its_status_whether_all_is_covered(tmp_path, capsys):
    torch.export.save(uncovered(), tmp_path / "model.pt2")
    assert status_of_line(["coverage", str(tmp_path / "model.pt2")]) == 1
    printed = capsys.readouterr().out
    assert "aten.softplus.default" in printed
    assert "Not covered:" in printed
    assert "nearest supported form:" in printed
    torch.export.save(export_module(tiny("gpt2"), token_ids(1, 6)), tmp_path / "fine.pt2")
    assert status_of_line(["coverage", str(tmp_path / "fine.pt2")]) == 0
    assert "Every operator is covered." in capsys.readouterr().out


def test_the_command_prints_json(tmp_path, capsys):
    torch.export.save(uncovered(), tmp_path / "model.pt2")
    assert status_of_line(["coverage", "--json", str(tmp_path / "model.pt2")]) == 1
    assert json.loads(capsys.readouterr().out)["schema"] == "meshc.coverage/1"
