"""The kernels by name: entry points of the group ``meshc.kernels``, the built-in ones among them."""

from __future__ import annotations

from meshc.kernels.kernel import Kernel
from meshrt.diagnostics import MeshError
from meshrt.entry_points import entry_points, load

GROUP = "meshc.kernels"


def kernels() -> dict[str, Kernel]:
    """Every kernel by name, those of lower rank first. Raises M0663 where an entry point names no kernel."""
    found = []
    for name, entry in entry_points(GROUP).items():
        kernel = load(entry)
        if not isinstance(kernel, Kernel) or kernel.name != name:
            raise MeshError("M0663", f"{entry.value}, declared as the kernel {name!r}, is not a kernel of that name")
        found.append(kernel)
    return {kernel.name: kernel for kernel in sorted(found, key=lambda k: (k.rank, k.name))}
