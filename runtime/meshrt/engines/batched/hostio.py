"""Host ports: inputs become streams that enter at edge routers, streams that leave become outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched import moves
from meshrt.engines.batched.records import (
    B_MEMORY_END,
    C_ERROR,
    C_HOST_OUT,
    C_MEMORY_TOP,
    DO_INJECT,
    DTYPES,
    M_ADDR,
    O_BASE,
    O_DTYPE,
    O_EXPECTED,
    O_GOT,
    O_SIZE,
    O_TIME,
    PORT_NUMBERS,
    SIDES,
    X_WORD_BYTES,
)
from meshrt.engines.batched.state import Tables
from meshrt.engines.batched.tracing import NO_PATHS
from meshrt.engines.listening import Ears, Edge, Listener
from meshrt.engines.loading.names import RegionNames
from meshrt.engines.loading.placement import to_dtype
from meshrt.engines.loading.ports import edge_counts, entries, fill_output
from meshrt.program.cost import words
from meshrt.program.model import Port, Region


class Outputs:
    """Where outgoing words are collected until the run is over, and told of meanwhile where there is a listener."""

    def __init__(self, tables: Tables, listener: Listener | None = None):
        self._tables = tables
        self._places: list[tuple[Port, RegionNames, int, int]] = []
        self._listener = listener
        self._words = 0
        self._ears: Ears | None = None

    def open(self, port: Port, region: Region, names: RegionNames, first: int) -> None:
        """Make room for what will leave through a port; ``first`` is the region's first PE."""
        tables = self._tables
        places = tables.places
        local, counts = edge_counts(port, region, names)
        color = int(tables.color_numbers[port.color])
        for pe, count in zip(local.tolist(), counts.tolist(), strict=True):
            number = len(self._places) + 1
            places[number, O_BASE] = tables.header[C_MEMORY_TOP]
            places[number, O_EXPECTED] = max(0, count)
            places[number, O_DTYPE] = DTYPES[port.dtype]
            tables.header[C_MEMORY_TOP] += max(0, count)
            if tables.values and tables.header[C_MEMORY_TOP] > tables.header[B_MEMORY_END]:
                raise MeshError("M0513", f"the engine has no room for the {count:,} elements of port {port.name!r}")
            exit_at = (color * tables.pe_count + first + pe) * SIDES + PORT_NUMBERS[port.side]
            tables.exits[exit_at] = tables.starts["places"] + number * O_SIZE
            self._places.append((port, names, pe, max(0, count)))

    def told(self) -> Callable[[], None] | None:
        """What to call after anything may have left, or None where nobody listens."""
        if self._listener is None:
            return None
        self._ears = Ears(self._listener, [Edge(port, names, pe) for port, names, pe, _ in self._places])
        return self._tell

    def _tell(self) -> None:
        words = int(self._tables.header[C_HOST_OUT])
        if words == self._words or self._ears is None:
            return
        self._words = words
        places = self._tables.places[1 : 1 + len(self._places)]
        self._ears.tell(places[:, O_GOT], places[:, O_TIME], self._values)

    def _values(self, number: int, first: int, stop: int) -> np.ndarray:
        tables, (port, *_) = self._tables, self._places[number]
        memory = tables.integers if port.dtype == "i32" else tables.memory
        base = int(tables.places[number + 1, O_BASE])
        # Without values there is no memory, but words were counted all the same.
        return memory[base + first : base + stop] if tables.values else np.zeros(stop - first, memory.dtype)

    def collect(self) -> dict[str, np.ndarray]:
        """The tensors of all output ports: i32 as int32, floats as float32; none where only time is kept.

        Raises M0510 where words are missing.
        """
        tables = self._tables
        places = tables.places
        tensors: dict[str, np.ndarray] = {}
        for number, (port, names, pe, count) in enumerate(self._places, start=1):
            arrived = self._values(number - 1, 0, int(places[number, O_GOT]))
            fill_output(tensors, port, names, pe, count, arrived)
        return tensors if tables.values else {}


def feed(tables: Tables, port: Port, region: Region, names: RegionNames, first: int, tensor: np.ndarray | None) -> None:
    """Send an input tensor into the region through a port, from time 0 on; words without values for None."""
    local, counts = edge_counts(port, region, names)
    values = to_dtype(tensor, port.dtype).reshape(-1) if tensor is not None else None
    color = int(tables.color_numbers[port.color])
    for pe, count in zip(local.tolist(), counts.tolist(), strict=True):
        if count <= 0:
            continue
        total = words(count, port.dtype, int(tables.header[X_WORD_BYTES]))
        m = moves.host_message(
            tables.records_at, count, first + pe, PORT_NUMBERS[port.side], color, DTYPES[port.dtype], total
        )
        if tables.header[C_ERROR] != 0:
            # The caller reports that there is no room.
            return
        if values is None:
            continue
        flat, inside = entries(port, names, pe, count)
        at = int(tables.records[m + M_ADDR])
        memory = tables.integers if port.dtype == "i32" else tables.memory
        memory[at : at + count] = np.where(inside, values[flat] if values.size else 0, 0)
    nothing = np.zeros(1, np.int64)
    nobody = np.zeros(0, np.int32)
    moves.move(tables.records_at, tables.memory_at, DO_INJECT, 0, nobody, nothing, nothing, nothing, nothing, NO_PATHS)
