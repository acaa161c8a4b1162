"""Generated programs give the values that the naive interpreter gives, which shares no code with the engines.

It computes with numpy, whose transcendental functions and order of sums are its own: instructions that rest on
them stand aside here for others of the same operands.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings

from meshrt.program.check import check_program
from meshrt.program.model import For, If, Instruction, Program, Statement, Until
from meshrt.run import run_program
from tests.differential.acts.local import UNARY
from tests.differential.case import Case
from tests.differential.programs import cases
from tests.meshrt.naive_interpreter import Interpreter

#: What numpy computes in its own way, and what stands in for it.
STAND_INS = {**dict.fromkeys(UNARY, "copy"), "sum": "reduce_max", "fma": "add"}


def exact(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The same statements with stand-ins; a sum that stands in for a product and sum leaves out the last operand."""
    found: list[Statement] = []
    for statement in body:
        match statement:
            case Instruction(opcode) if opcode in STAND_INS:
                args = statement.args[:3] if opcode == "fma" else statement.args
                found.append(replace(statement, opcode=STAND_INS[opcode], args=args))
            case For() | Until():
                found.append(replace(statement, body=exact(statement.body)))
            case If():
                then, otherwise = exact(statement.then), exact(statement.otherwise)
                found.append(replace(statement, then=then, otherwise=otherwise))
            case _:
                found.append(statement)
    return tuple(found)


def interpreted(case: Case) -> dict[str, np.ndarray]:
    """Outputs by port; regions do not speak to each other, so each is a program of its own."""
    outputs: dict[str, np.ndarray] = {}
    for region in case.program.regions:
        alone = Interpreter(Program((), (region,)), case.weights, case.scalars[region.name])
        outputs |= alone.run(case.inputs)
    return outputs


@given(cases)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_values(case):
    regions = tuple(
        replace(region, codes=tuple(replace(code, body=exact(code.body)) for code in region.codes))
        for region in case.program.regions
    )
    case = replace(case, program=replace(case.program, regions=regions))
    check_program(case.program, case.target)
    with np.errstate(all="ignore"):
        wanted = interpreted(case)
    found = run_program(case.program, case.target, case.weights, case.inputs, case.scalars).outputs
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, name)
