"""What passes, kernels, targets and importers there are: built in and plugged in, by one mechanism.

All are entry points of a group such as ``meshc.passes``. The built-in ones are declared in
this project's ``pyproject.toml``; an installed package carries them in its metadata, and a
checkout that was never installed is read directly, so that both know the same ones. A
plug-in declares its own in the same way::

    [project.entry-points."meshc.passes"]
    my-pass = "my_package.my_pass:MyPass"
"""

from __future__ import annotations

import functools
import sys
import tomllib
from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points as installed_entry_points
from pathlib import Path
from typing import Any

from meshrt.diagnostics import MeshError

#: The distribution that this file belongs to.
DISTRIBUTION = "meshc"


def entry_points(group: str, checkout: Path | None = None) -> dict[str, EntryPoint]:
    """The entry points of a group by name, sorted.

    ``checkout`` is the folder whose ``pyproject.toml`` declares the built-in ones; by
    default the checkout that this file lies in. Raises M0663 where two packages declare
    one name.
    """
    root = checkout if checkout is not None else Path(__file__).resolve().parents[2]
    declared = _declared(root / "pyproject.toml", group)
    found: dict[str, EntryPoint] = {}
    for entry in (*declared, *_installed(group, declared)):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise MeshError(
                "M0663",
                f"two packages declare {entry.name!r} in {group}",
                notes=[f"one is {known.value}, the other {entry.value}"],
                helps=["uninstall one of the two packages"],
            )
    return dict(sorted(found.items()))


def load(entry: EntryPoint) -> Any:
    """The object that an entry point names. Raises M0663 where it cannot be imported."""
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise MeshError("M0663", f"cannot load {entry.name!r} of {entry.group} from {entry.value}: {error}") from error


def _declared(pyproject: Path, group: str) -> list[EntryPoint]:
    """The entry points of a checkout; none where the file is another project's or is not there."""
    if not pyproject.is_file():
        return []
    project = _project(pyproject, pyproject.stat().st_mtime_ns)
    if project.get("name") != DISTRIBUTION:
        return []
    return [EntryPoint(name, value, group) for name, value in project.get("entry-points", {}).get(group, {}).items()]


@functools.lru_cache(maxsize=8)
def _project(pyproject: Path, changed: int) -> Mapping[str, Any]:
    """What a ``pyproject.toml`` says of its project; read again when it was ``changed``."""
    return tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})


def _installed(group: str, declared: Collection[EntryPoint]) -> list[EntryPoint]:
    """The entry points of installed packages; the checkout's own declarations win over older metadata.

    Whose an entry is stands in the metadata of its package, which takes a while to parse: it is asked only of
    those that the checkout does not declare just so.
    """
    known = {(entry.name, entry.value) for entry in declared}
    return [
        entry
        for entry in _found_on(tuple(sys.path), group)
        if not declared
        or ((entry.name, entry.value) not in known and (entry.dist is None or entry.dist.name != DISTRIBUTION))
    ]


@functools.lru_cache(maxsize=16)
def _found_on(path: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    """The entry points of the packages on ``path``, which is ``sys.path``; looked for once in a process."""
    return tuple(sorted(installed_entry_points(group=group), key=lambda entry: (entry.name, entry.value)))
