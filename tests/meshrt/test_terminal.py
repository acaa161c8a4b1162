"""Diagnostics on the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshrt.diagnostics import Diagnostic, Place
from meshrt.terminal import styled

FULL = Diagnostic(
    "M0201",
    "a value is used before it is defined",
    Place("model.mir", 3, 7, "  %1 = %0"),
    ("it is defined below",),
    ("move it up",),
)


@pytest.mark.parametrize("diagnostic", [FULL, Diagnostic("M0100", "short"), Diagnostic("M0100", "[bold]not markup[/]")])
def test_colour_adds_nothing_to_the_text(diagnostic):
    assert styled(diagnostic).plain == diagnostic.render()


def test_the_parts_have_their_colours():
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system="standard", no_color=False, width=100).print(styled(FULL))
    red, blue, cyan, green = "\x1b[1;31m", "\x1b[1;34m", "\x1b[1;36m", "\x1b[1;32m"
    text = out.getvalue()
    for start in (red + "error[M0201]:", blue + "-->", red + "^", cyan + "note:", green + "help:"):
        assert start in text
