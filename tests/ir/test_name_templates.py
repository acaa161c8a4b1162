"""Names of weights in repeated layers: reading, evaluating and shifting templates."""

import pytest

from meshc.ir.name_templates import NameTemplate
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Name


def test_a_plain_name_is_a_template_too():
    template = NameTemplate.of("model.norm.weight")
    assert template.counters == frozenset()
    assert template.name({}) == str(template) == "model.norm.weight"


def test_expressions_of_counters():
    template = NameTemplate.of("h.{2*l+1}.experts.{m}.w")
    assert template.counters == {"l", "m"}
    assert template.name({"l": 3, "m": 0}) == "h.7.experts.0.w"


def test_substitution_leaves_the_rest():
    template = NameTemplate.of("h.{2*l+1}.e{m}").substituted({"l": Name("k") + 4})
    assert str(template) == "h.{2 * (k + 4) + 1}.e{m}"
    assert NameTemplate.of(str(template)) == template


def test_braces_around_something_else():
    with pytest.raises(MeshError) as caught:
        NameTemplate.of("h.{l+}.w")
    assert caught.value.diagnostic.code == "M0301"
