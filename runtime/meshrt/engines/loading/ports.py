"""Host ports: which entries of a tensor each edge PE carries, and whether an input fits its port."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.names import RegionNames, rect_pes
from meshrt.program.expr import evaluate, names_in
from meshrt.program.model import Port, Region


def edge_counts(port: Port, region: Region, names: RegionNames) -> tuple[np.ndarray, np.ndarray]:
    """PEs of a port, as numbers in their region, and how many elements each carries."""
    local = rect_pes(port.rect, region, 0)
    bindings = {n: a[local] for n, a in names.per_pe.items()} | names.scalars
    counts = evaluate(port.count, {n: bindings[n] for n in names_in(port.count)}, names.tables)
    return local, np.broadcast_to(np.asarray(counts, np.int64), local.shape)


def entries(port: Port, names: RegionNames, pe: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat index in the port's tensor of each element of one edge PE, and which of them lie inside."""
    bindings: dict = {n: int(a[pe]) for n, a in names.per_pe.items()} | names.scalars
    bindings["e"] = np.arange(count, dtype=np.int64)
    flat = np.zeros(count, np.int64)
    inside = np.ones(count, bool)
    for extent, expr in zip(port.shape, port.indices, strict=True):
        index = np.broadcast_to(
            np.asarray(evaluate(expr, {n: bindings[n] for n in names_in(expr)}, names.tables), np.int64), (count,)
        )
        inside &= (index >= 0) & (index < extent)
        flat = flat * extent + np.where(inside, index, 0)
    return np.where(inside, flat, 0), inside


def fill_output(
    tensors: dict[str, np.ndarray], port: Port, names: RegionNames, pe: int, count: int, arrived: np.ndarray
) -> None:
    """Put the elements that one edge PE sent through an output port into its tensor; ``count`` is what it may send.

    Raises M0510 where some of them are missing, unless the port may get fewer.
    """
    got = len(arrived)
    if got != count and port.exact:
        x, y = int(names.per_pe["x"][pe]), int(names.per_pe["y"][pe])
        raise MeshError("M0510", f"port {port.name!r} got {got} of {count} elements from PE ({x}, {y}) before the end")
    tensor = tensors.setdefault(port.name, np.zeros(port.shape, arrived.dtype))
    flat, inside = entries(port, names, pe, got)
    tensor.reshape(-1)[flat[inside]] = arrived[inside]


def check_input(port: Port, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The tensor of an input port. Raises M0514 when it is missing or has another shape or kind."""
    if port.name not in inputs:
        raise MeshError("M0514", f"the run needs an input {port.name!r} of shape {list(port.shape)}")
    tensor = np.asarray(inputs[port.name])
    if tensor.shape != port.shape:
        raise MeshError("M0514", f"input {port.name!r} has shape {list(tensor.shape)}, not {list(port.shape)}")
    if tensor.dtype.kind not in ("iu" if port.dtype == "i32" else "fiu"):
        kind = "integers" if port.dtype == "i32" else "numbers"
        raise MeshError("M0514", f"input {port.name!r} has dtype {tensor.dtype}; {kind} are expected")
    return tensor
