"""What text cannot say wrongly but a pass can: broken structure, found and shown."""

from __future__ import annotations

import pytest

from meshc.dialects.levels import LEVELS, parse_module, verify
from meshc.ir.core import Block, Module, Operation, TensorType
from meshc.ir.verifier import first_violation
from meshrt.diagnostics import MeshError

TEXT = """module graph

func() {name = "forward"} (%x: tensor<4xf32>) {
  %a = graph.silu(%x) : tensor<4xf32> loc("model.py":3 "act")
  %b = graph.neg(%a) : tensor<4xf32>
  return(%b)
}
"""


def module() -> tuple[Module, list[Operation]]:
    """The module of the text, and the operations of its function, to be broken."""
    parsed = parse_module(TEXT)
    return parsed, body(parsed).ops


def body(of: Module) -> Block:
    return of.body.ops[0].regions[0]


def error(broken: Module) -> str:
    with pytest.raises(MeshError) as caught:
        verify(broken, "after testing")
    return str(caught.value)


def test_sound_ir_passes():
    verify(module()[0])


def test_an_operation_in_two_places():
    broken, ops = module()
    ops.insert(1, ops[0])
    assert "error[M0210]: graph.silu stands in two places" in error(broken)


def test_a_use_before_the_definition_is_shown_in_the_ir():
    broken, ops = module()
    ops[0], ops[1] = ops[1], ops[0]
    assert error(broken) == (
        "error[M0210]: %a is used where it is not defined\n"
        "  --> after testing:4:3\n"
        "   |   %b = graph.neg(%a) : tensor<4xf32>\n"
        "   |   ^\n"
        "  note: in the IR\n"
        "       2 |\n"
        '       3 | func() {name = "forward"} (%x: tensor<4xf32>) {\n'
        "  >    4 |   %b = graph.neg(%a) : tensor<4xf32>\n"
        '       5 |   %a = graph.silu(%x) : tensor<4xf32> loc("model.py":3 "act")\n'
        "       6 |   return(%b)"
    )


def test_the_users_line_is_named():
    broken, ops = module()
    ops[0].attributes["dim"] = 3
    assert "note: it comes from model.py:3 (act)" in error(broken)


def test_an_operand_of_an_erased_operation():
    broken, ops = module()
    body(broken).erase(ops[0])
    assert "%a is used where it is not defined" in error(broken)


def test_an_operation_that_does_not_know_its_block():
    broken, ops = module()
    ops[1].parent = None
    assert "graph.neg does not know the region that it stands in" in error(broken)


def test_a_region_that_does_not_know_its_operation():
    broken, _ = module()
    body(broken).parent = None
    assert "a region does not know the operation that it belongs to" in error(broken)


def test_a_result_moved_to_another_operation():
    broken, ops = module()
    ops[1].results = [ops[0].results[0]]
    assert "%a is defined in two places" in error(broken)


def test_a_value_with_a_wrong_index():
    broken, ops = module()
    ops[0].results[0].index = 1
    assert "%a does not know where it is defined" in error(broken)


def test_an_attribute_that_is_no_attribute_value():
    broken, ops = module()
    ops[0].attributes["weights"] = ({"a": [object()]},)
    assert "error[M0208]: the attribute 'weights' of graph.silu holds a value of class object" in error(broken)


def test_results_cannot_be_seen_in_their_own_region():
    broken, ops = module()
    inner = Block([TensorType((4,), "f32")])
    repeat = Operation(
        "graph.repeat", [body(broken).args[0]], [TensorType((4,), "f32")], {"count": 1, "counter": "l"}, [inner]
    )
    inner.append(Operation("graph.yield", [repeat.results[0]]))
    body(broken).insert_before(ops[0], repeat)
    violation = first_violation(broken, LEVELS)
    assert violation is not None and violation.op is inner.ops[0]
