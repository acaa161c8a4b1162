"""Types of command-line values that several commands take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

#: A file that must exist is checked by who reads it: a diagnostic says more than a usage error.
FILE = click.Path(path_type=Path)


class GridType(click.ParamType):
    """``WxH``: PEs from west to east, and from north to south."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(width, height), both at least 1."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value.strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a grid; write width x height in PEs, such as 24x16", param, ctx)
        return int(match[1]), int(match[2])


class LayersType(click.ParamType):
    """``A:B``: the layers from A up to, without, B."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(start, stop), start below stop."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+):(\d+)", value.strip())
        if match is None or int(match[1]) >= int(match[2]):
            self.fail(f"{value!r} is no slice of layers; write A:B with A < B, such as 0:4", param, ctx)
        return int(match[1]), int(match[2])


GRID = GridType()
LAYERS = LayersType()
