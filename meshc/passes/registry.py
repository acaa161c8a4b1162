"""The passes by name: entry points of the group ``meshc.passes``, the built-in ones among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshc.passes.base import Pass
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.entry_points import entry_points, load

GROUP = "meshc.passes"


class PassRegistry(Mapping[str, type[Pass]]):
    """A mapping from names to pass classes that imports a pass only when it is asked for."""

    def __init__(self) -> None:
        self._entries = entry_points(GROUP)

    def __getitem__(self, name: str) -> type[Pass]:
        entry = self._entries[name]
        found = load(entry)
        if not (isinstance(found, type) and issubclass(found, Pass)):
            raise MeshError("M0663", f"{entry.value}, declared as the pass {name!r}, is no pass")
        if found.name != name:
            raise MeshError("M0663", f"{entry.value}, declared as the pass {name!r}, calls itself {found.name!r}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def find_pass(name: str, passes: Mapping[str, type[Pass]]) -> type[Pass]:
    """The pass of this name. Raises M0661 where there is none."""
    if name not in passes:
        raise MeshError("M0661", f"there is no pass {name!r}", helps=did_you_mean(name, passes, "passes"))
    return passes[name]
