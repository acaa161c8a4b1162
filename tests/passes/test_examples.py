"""What each pass does, shown: the example in its docstring, and pairs of IR texts in the folder of its name.

``X.before.mir`` becomes ``X.after.mir``; ``X.mir`` gets the diagnostic in ``X.err``. Options of the pass stand in a
comment in the first line of an input, and in double backquotes in a docstring. Graphs are also run: the graph before
and the graph after compute the same.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

from meshc.dialects.levels import LEVELS, parse_module
from meshc.frontend.importer import GRAPH_PIPELINE
from meshc.ir.core import Module
from meshc.ir.equality import equal
from meshc.ir.printer import print_module
from meshc.ir.verifier import verify
from meshc.passes.base import Pass, PassContext
from meshc.passes.pipeline import parse_pipeline, run_pipeline
from meshc.passes.registry import PassRegistry
from meshrt.diagnostics import CATALOG, MeshError
from tests.graph_reference import run_graph
from tests.passes.example_weights import example_weights

HERE = Path(__file__).parent
#: The passes that change something.
PASSES = sorted(set(PassRegistry()) - {"require-covered"})
#: Of these, the ones that keep what the graph computes. (slice-layers keeps the level, but not the layers.)
GRAPH_PASSES = sorted(set(GRAPH_PIPELINE) - {"require-covered"})
GOLDENS = sorted(HERE.glob("*/*.before.mir"))
BAD = sorted(path for path in HERE.glob("*/*.mir") if path.with_suffix(".err").is_file())


def case(path: Path) -> str:
    return f"{path.parent.name}-{path.name.split('.')[0]}"


def example_of(name: str) -> tuple[Pass, str, str]:
    """The pass with the options of its docstring's example, and the two modules there."""
    text = inspect.cleandoc(PassRegistry()[name].__doc__ or "")
    blocks = [inspect.cleandoc(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", text)]
    assert len(blocks) == 2, f"{name} shows no before and after"
    before, after = (f"{block}\n" if block.startswith("module") else f"module graph\n\n{block}\n" for block in blocks)
    options = re.search(rf"``({name}\{{.*?\}})``", text, re.DOTALL)
    (instance,) = parse_pipeline(options[1] if options else name)
    return instance, before, after


def pass_of(path: Path) -> Pass:
    """The pass that a golden's folder names, with the options in the text's first line."""
    name = path.parent.name.replace("_", "-")
    options = re.match(rf"// ({name}\{{.*\}})\n", path.read_text(encoding="utf-8"))
    (instance,) = parse_pipeline(options[1] if options else name)
    return instance


def run_pass(instance: Pass, text: str) -> Module:
    """The module after the pass; where it rewrites a graph, that it computes what it did before is checked."""
    module = parse_module(text)
    verify(module, LEVELS)
    weights = example_weights(module)
    checked = instance.name in GRAPH_PASSES
    inputs = random_inputs(module) if checked else []
    wanted = run_graph(module, weights, *inputs) if checked else None
    run_pipeline(module, [instance], PassContext(weights))
    if checked:
        torch.testing.assert_close(run_graph(module, weights, *inputs), wanted, rtol=1e-4, atol=2e-5)
    return module


def random_inputs(module: Module) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for argument in module.body.ops[0].regions[0].args:
        if argument.type.dtype == "i64":
            found.append(torch.randint(0, 8, argument.type.shape, generator=generator))
        else:
            found.append(torch.randn(argument.type.shape, generator=generator))
    return found


@pytest.mark.parametrize("name", PASSES)
def test_the_docstring_shows_what_the_pass_does(name):
    instance, before, after = example_of(name)
    found, wanted = run_pass(instance, before), parse_module(after)
    assert equal(found, wanted), print_module(found)


@pytest.mark.parametrize("name", PASSES)
def test_the_docstring_says_what_the_pass_needs_and_what_holds_after(name):
    text = PassRegistry()[name].__doc__ or ""
    assert all(word in text for word in ("Needs:", "Does:", "Holds after:"))


@pytest.mark.parametrize("path", GOLDENS, ids=case)
def test_the_pass_gives_the_text_beside_its_input(path):
    found = run_pass(pass_of(path), path.read_text(encoding="utf-8"))
    wanted = path.with_name(path.name.replace(".before.", ".after.")).read_text(encoding="utf-8")
    assert print_module(found) == wanted


@pytest.mark.parametrize("path", BAD, ids=case)
def test_the_pass_gives_the_diagnostic_beside_its_input(path):
    with pytest.raises(MeshError) as caught:
        run_pass(pass_of(path), path.read_text(encoding="utf-8"))
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [p for p in GOLDENS if pass_of(p).name in GRAPH_PASSES], ids=case)
def test_a_second_run_of_the_pass_changes_nothing(path):
    instance = pass_of(path)
    module = parse_module(path.read_text(encoding="utf-8"))
    context = PassContext(example_weights(module))
    instance.run(module, context)
    once = print_module(module)
    instance.run(module, context)
    assert print_module(module) == once
