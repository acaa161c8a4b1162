"""Where the grammars are: in the checkout's ``grammar/`` folder, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from meshrt.diagnostics import MeshError


def grammar_text(name: str) -> str:
    """The text of one grammar, ``mir.lark`` (IR) or ``mesh.lark`` (programs).

    A wheel carries the grammars in ``meshrt/grammars/``; a checkout holds them once, in
    ``grammar/`` at its root. Raises M0290 where neither has the file.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "grammars" / name, package.parents[1] / "grammar" / name)
    for path in candidates:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise MeshError(
        "M0290",
        f"the grammar {name!r} is missing",
        notes=[f"looked for {path}" for path in candidates],
        helps=["install meshc again: this installation is incomplete"],
    )
