"""Weight names of repeated layers as one template: integers that grow evenly become expressions of the counter."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(\d+)")


def shape_of_name(name: str) -> str:
    """A name with its integers blanked out: equal for the same weight of different layers."""
    return _NUMBER.sub("#", name)


def template(names: Sequence[str], counter: str) -> str | None:
    """The template that gives ``names[k]`` when the counter is k; None where there is none.

    ``layers.1.w``, ``layers.3.w``, ``layers.5.w`` give ``layers.{2*l+1}.w``.
    """
    split = [_NUMBER.split(name) for name in names]
    first = split[0]
    if any(len(parts) != len(first) for parts in split) or any("{" in n or "}" in n for n in names):
        return None
    found = []
    for i, part in enumerate(first):
        column = [parts[i] for parts in split]
        if all(text == part for text in column):
            found.append(part)
            continue
        if i % 2 == 0 or any(text != str(int(text)) for text in column):
            return None
        numbers = [int(text) for text in column]
        step = numbers[1] - numbers[0]
        if step <= 0 or any(n != numbers[0] + k * step for k, n in enumerate(numbers)):
            return None
        found.append("{" + _affine(counter, step, numbers[0]) + "}")
    return "".join(found)


def _affine(counter: str, step: int, start: int) -> str:
    term = counter if step == 1 else f"{step}*{counter}"
    return f"{term}+{start}" if start else term
