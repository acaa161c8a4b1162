"""Lines of the user's model, the same on every machine."""

from __future__ import annotations

import pytest
import torch

from meshc.frontend import source_locations
from meshc.frontend.export import export_module
from meshc.frontend.source_locations import node_location, package_relative, relative_stack_trace
from meshc.ir.core import UNKNOWN, Location
from tests.frontend.small_models import Scorer, tokens
from tests.models import tiny, token_ids

PATHS = [
    (
        "/usr/lib/python3.11/site-packages/transformers/models/llama/modeling_llama.py",
        (),
        "transformers/models/llama/modeling_llama.py",
    ),
    ("/usr/lib/python3/dist-packages/torch/nn/modules/linear.py", (), "torch/nn/modules/linear.py"),
    ("C:\\venv\\Lib\\site-packages\\torch\\nn\\modules\\linear.py", (), "torch/nn/modules/linear.py"),
    ("/home/me/src/mymodel/layers/mlp.py", ("mymodel",), "mymodel/layers/mlp.py"),
    ("/home/me/mymodel/src/mymodel/mlp.py", ("mymodel",), "mymodel/mlp.py"),
    ("/home/me/src/model.py", ("__main__",), "model.py"),
    ("/home/me/src/model.py", (), "model.py"),
    ("../elsewhere/model.py", (), "model.py"),
    ("mymodel/mlp.py", (), "mymodel/mlp.py"),
    (source_locations.__file__, (), "meshc/frontend/source_locations.py"),
]


@pytest.mark.parametrize(("path", "packages", "expected"), PATHS)
def test_paths_are_seen_from_their_package(path, packages, expected):
    assert package_relative(path, packages) == expected


def test_a_trace_keeps_all_but_the_directories():
    trace = 'File "/home/me/model.py", line 3, in forward\n    return self.head(x)'
    assert relative_stack_trace(trace) == 'File "model.py", line 3, in forward\n    return self.head(x)'


def test_the_innermost_line_of_the_model_counts():
    exported = export_module(Scorer(), tokens())
    found = {str(node.target): node_location(node) for node in exported.graph.nodes if node.op == "call_function"}
    file = "tests/frontend/small_models.py"
    assert found["aten.linear.default"].scope == "head"
    assert found["aten.gelu.default"].scope == ""
    assert {location.file for location in found.values()} <= {file, "small_models.py"}
    assert len({location.line for location in found.values()}) == 1


def test_building_blocks_of_transformers_are_passed_over():
    exported = export_module(tiny("llama", num_hidden_layers=1), token_ids(1, 8))
    (silu,) = [node for node in exported.graph.nodes if node.target is torch.ops.aten.silu.default]
    assert "transformers/activations.py" in silu.meta["stack_trace"]
    location = node_location(silu)
    assert location.file == "transformers/models/llama/modeling_llama.py"
    assert location.scope == "model.layers.0.mlp.act_fn"


def test_gpt2_projections_lead_to_their_callers():
    exported = export_module(tiny("gpt2", num_hidden_layers=1), token_ids(1, 8))
    lines = {node_location(node).file for node in exported.graph.nodes if node.op == "call_function"}
    assert lines == {"transformers/models/gpt2/modeling_gpt2.py"}


def test_a_node_without_a_trace_has_no_location():
    graph = torch.fx.Graph()
    node = graph.placeholder("x")
    assert node_location(node) == UNKNOWN
    node.meta["nn_module_stack"] = {"L__self__head": ("head", "torch.nn.modules.linear.Linear")}
    assert node_location(node) == Location(scope="head")


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("L['self'].model.layers[0].mlp", "model.layers.0.mlp"),
        ("L__self__.model", "model"),
        ("model.layers.slice(None, 2, None).0.mlp", "model.layers.0.mlp"),
        ("model.layers.0", "model.layers.0"),
    ],
)
def test_module_paths_are_dotted(recorded, expected):
    node = torch.fx.Graph().placeholder("x")
    node.meta["nn_module_stack"] = {"key": (recorded, torch.nn.Linear)}
    assert node_location(node).scope == expected
