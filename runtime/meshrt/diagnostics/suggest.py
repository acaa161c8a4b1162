"""Suggestions for misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], kind: str = "") -> tuple[str, ...]:
    """Helps for an unknown word: the nearest known one, else what is known (as far as it is a short list)."""
    candidates = sorted(known)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if near:
        return (f"did you mean {near[0]!r}?",)
    if candidates and len(candidates) <= 32:
        return (f"known {kind or 'names'}: {', '.join(candidates)}",)
    return ()
