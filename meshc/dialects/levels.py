"""The levels of the IR together: reading, printing and checking a module of any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from meshc.dialects.graph import GRAPH
from meshc.dialects.mesh import MESH
from meshc.dialects.tile import TILE, TILE_TYPES
from meshc.ir import parser, verifier
from meshc.ir.core import Module
from meshc.ir.spec import Dialect

#: Every level by its name, from the highest to the lowest.
LEVELS: Mapping[str, Dialect] = MappingProxyType({"graph": GRAPH, "tile": TILE, "mesh": MESH})

#: The types that a module may use besides tensors.
TYPES = tuple(dict.fromkeys((*(type for dialect in LEVELS.values() for type in dialect.types), *TILE_TYPES)))


def parse_module(text: str, file: str = "<text>") -> Module:
    """The module that a text of any level stands for; see :func:`meshc.ir.parser.parse_module`."""
    return parser.parse_module(text, file, TYPES)


def read_module(path: Path) -> Module:
    """The module in a file of any level; see :func:`meshc.ir.parser.read_module`."""
    return parser.read_module(path, TYPES)


def verify(module: Module, title: str = "") -> None:
    """Raise where a module is not legal at its level; see :func:`meshc.ir.verifier.verify`."""
    verifier.verify(module, LEVELS, title)
