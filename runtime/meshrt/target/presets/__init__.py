"""The built-in targets, registered in the entry point group ``meshc.targets`` as a plug-in's would be.

Each function returns the path of its target file.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def wse2() -> Path:
    """The wafer of a Cerebras CS-2."""
    return _HERE / "wse2.toml"


def wse3() -> Path:
    """The wafer of a Cerebras CS-3."""
    return _HERE / "wse3.toml"


def tiny() -> Path:
    """A small mesh for tests."""
    return _HERE / "tiny.toml"


def ideal() -> Path:
    """A machine on which words cost hops and RAMPs, and nothing else costs anything."""
    return _HERE / "ideal.toml"
