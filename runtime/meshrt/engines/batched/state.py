"""Lays the machine's records out in one array and gives Python views of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from meshrt.engines.batched.critical import SCRATCH, WORD_KINDS
from meshrt.engines.batched.records import (
    A_CELLS,
    A_CHANNELS,
    A_COLORS,
    A_EXITS,
    A_GROUPS,
    A_LINKS,
    A_LOG,
    A_MESSAGE_EVENTS,
    A_MESSAGES,
    A_METRICS,
    A_NEIGHBOURS,
    A_NODES,
    A_PARKED,
    A_PE_EVENTS,
    A_PES,
    A_PLACES,
    A_POOLS,
    A_ROUTES,
    A_SCRATCH_EVENTS,
    A_SEND_EVENTS,
    A_SLOT_EVENTS,
    A_SLOTS,
    A_STACK,
    A_SWITCHED,
    A_VIEWS,
    A_WOKEN,
    A_WORD_EVENTS,
    A_WORK,
    B_COLOR_LIMIT,
    B_COLORS,
    B_HANDLES,
    B_LOG_END,
    B_MEMORY_END,
    B_MESSAGES_END,
    B_NODES_END,
    B_PES,
    B_STACK,
    B_WORK_MASK,
    C_MEMORY_TOP,
    C_MESSAGE_TOP,
    C_NODE_TOP,
    D_SIZE,
    E_SIZE,
    F_SIZE,
    G_SIZE,
    HEADER_SIZE,
    K_SIZE,
    L_SIZE,
    M_SIZE,
    METRIC_ROWS,
    N_SIZE,
    O_SIZE,
    P_SIZE,
    PORTS,
    Q_SIZE,
    SIDES,
    T_SIZE,
    V_SIZE,
    X_ASYNC_MOVES,
    X_EVENTS,
    X_HOP,
    X_INPUT_QUEUES,
    X_ISSUE,
    X_LAUNCH,
    X_LINK_WORDS,
    X_OUTPUT_QUEUES,
    X_QUEUE_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    X_ROUTE_WRITE,
    X_SETUP,
    X_VALUES,
    X_VECTOR_ISSUE,
    X_WAKEUP,
    X_WORD_BYTES,
)
from meshrt.program.fabric import neighbours
from meshrt.program.model import Region
from meshrt.target import Target

#: Sizes of tables that are filled on demand: the operating system gives their memory when it is touched.
_VIEWS = 1 << 16
_GROUPS = 1 << 20
_POOLS = 1 << 12
_MESSAGES_PER_PE = 64
_NODES_PER_PE = 128
_LOGGED_PER_PE = 320
_MOST_LOGGED = 1 << 25
_WIRE_ELEMENTS_PER_PE = 8192
_LEAST_WIRE_ELEMENTS = 1 << 22
#: Where memory ends that holds no values, and so is never used up.
_NO_END = 1 << 62
#: Integers in a cache line.
_LINE = 8


#: The header's fields: where each table starts, and the target's numbers.
_STARTS = MappingProxyType(
    {
        "pes": A_PES,
        "channels": A_CHANNELS,
        "slots": A_SLOTS,
        "parked": A_PARKED,
        "links": A_LINKS,
        "neighbours": A_NEIGHBOURS,
        "exits": A_EXITS,
        "places": A_PLACES,
        "metrics": A_METRICS,
        "views": A_VIEWS,
        "groups": A_GROUPS,
        "woken": A_WOKEN,
        "work": A_WORK,
        "stack": A_STACK,
        "color_numbers": A_COLORS,
        "switched": A_SWITCHED,
        "messages": A_MESSAGES,
        "nodes": A_NODES,
        "cells": A_CELLS,
        "pools": A_POOLS,
        "routes": A_ROUTES,
        "pe_events": A_PE_EVENTS,
        "slot_events": A_SLOT_EVENTS,
        "message_events": A_MESSAGE_EVENTS,
        "send_events": A_SEND_EVENTS,
        "scratch_events": A_SCRATCH_EVENTS,
        "word_events": A_WORD_EVENTS,
        "log": A_LOG,
    }
)
_NUMBERS = MappingProxyType(
    {
        "issue_cycles": X_ISSUE,
        "vector_setup_cycles": X_SETUP,
        "vector_issue_cycles": X_VECTOR_ISSUE,
        "async_launch_cycles": X_LAUNCH,
        "task_wakeup_cycles": X_WAKEUP,
        "hop_cycles": X_HOP,
        "ramp_cycles": X_RAMP,
        "queue_words": X_QUEUE_WORDS,
        "word_bytes": X_WORD_BYTES,
        "link_words_per_cycle": X_LINK_WORDS,
        "ramp_words_per_cycle": X_RAMP_WORDS,
        "route_write_cycles": X_ROUTE_WRITE,
        "input_queues": X_INPUT_QUEUES,
        "output_queues": X_OUTPUT_QUEUES,
        "async_moves_max": X_ASYNC_MOVES,
    }
)


@dataclass(frozen=True, eq=False, slots=True)
class Tables:
    """The state. Compiled code takes ``records_at`` and ``memory_at``, addresses of memory; the arrays share it.

    ``memory`` holds f32 elements of all SRAM buffers, then of messages, and i32 elements bit
    for bit (``integers``); without ``values`` it is empty. The tables are [records, fields];
    ``starts`` are their first indices.
    """

    memory_at: int
    records_at: int
    pe_count: int
    colors: int
    values: bool
    memory: np.ndarray
    integers: np.ndarray
    records: np.ndarray
    header: np.ndarray
    starts: Mapping[str, int]
    pes: np.ndarray
    channels: np.ndarray
    slots: np.ndarray
    cells: np.ndarray
    pools: np.ndarray
    routes: np.ndarray
    parked: np.ndarray
    links: np.ndarray
    places: np.ndarray
    metrics: np.ndarray
    views: np.ndarray
    groups: np.ndarray
    exits: np.ndarray
    woken: np.ndarray
    color_numbers: np.ndarray
    pe_events: np.ndarray
    slot_events: np.ndarray
    message_events: np.ndarray
    send_events: np.ndarray
    scratch_events: np.ndarray
    word_events: np.ndarray

    def extent(self, name: str) -> slice:
        """Where a table lies in ``records``."""
        start = self.starts[name]
        return slice(start, start + getattr(self, name).size)


def make_tables(
    target: Target,
    regions: Sequence[Region],
    colors: Sequence[int],
    switched: Sequence[bool],
    handle_count: int,
    buffers: int,
    sram_elements: int,
    host_elements: int,
    place_count: int,
    values: bool = True,
    event_size: int = 0,
) -> Tables:
    """Fresh state: empty queues, no routes, clocks at 0. ``colors`` are those of the program, in ascending order.

    Memory holds ``sram_elements`` of buffers, then messages; those of the host take ``host_elements``.
    Without ``values`` there is no memory: only time is kept. ``event_size`` is that of the
    vectors of :mod:`.critical`, 0 where none are kept.
    """
    pes = sum(region.width * region.height for region in regions)
    count = max(1, len(colors))
    color_limit = max(colors, default=0) + 1
    handle_count = max(1, handle_count)
    messages = pes * _MESSAGES_PER_PE + (1 << 16)
    nodes = pes * _NODES_PER_PE + (1 << 16)
    logged = min(pes * _LOGGED_PER_PE, _MOST_LOGGED) if values else 0
    work = 1 << (messages - 1).bit_length()
    fields = {
        "header": (1, HEADER_SIZE),
        "pes": (pes, E_SIZE),
        "channels": (count * pes, F_SIZE),
        "slots": ((handle_count + 1) * pes, P_SIZE),
        "cells": (buffers * pes, 1),
        "links": (pes * SIDES, L_SIZE),
        "messages": (messages, M_SIZE),
        "nodes": (nodes, N_SIZE),
        "parked": (count * pes * PORTS, K_SIZE),
        "neighbours": (pes * SIDES, 1),
        "exits": (count * pes * SIDES, 1),
        "places": (place_count, O_SIZE),
        "metrics": (METRIC_ROWS, T_SIZE),
        "pools": (_POOLS, 1),
        "routes": (count * pes, 1),
        "pe_events": (pes, event_size),
        "slot_events": ((handle_count + 1) * pes, event_size),
        "message_events": (messages, 2 * event_size),
        "send_events": (nodes, event_size),
        "scratch_events": (SCRATCH, event_size),
        "word_events": (WORD_KINDS, event_size),
        "views": (_VIEWS, V_SIZE),
        "groups": (_GROUPS, G_SIZE),
        "woken": (pes, 1),
        "work": (work, 1),
        "stack": (pes + 1, Q_SIZE),
        "color_numbers": (color_limit, 1),
        "switched": (count, 1),
        "log": (logged, D_SIZE),
    }
    starts: dict[str, int] = {}
    total = 0
    for name, (rows, width) in fields.items():
        starts[name] = total
        total += -(-rows * width // _LINE) * _LINE
    records = _aligned(np.zeros(total + _LINE, np.int64))
    table = {
        name: records[starts[name] : starts[name] + rows * width].reshape(rows, width)
        for name, (rows, width) in fields.items()
    }
    wire = 8 * host_elements + _LEAST_WIRE_ELEMENTS + pes * _WIRE_ELEMENTS_PER_PE
    memory = _aligned(np.empty((sram_elements + wire if values else 0) + 2 * _LINE, np.float32))
    if values:
        memory[:sram_elements] = np.nan
    header = table["header"][0]
    for name, field in _STARTS.items():
        header[field] = starts[name]
    header[B_PES] = pes
    header[B_COLORS] = count
    header[B_COLOR_LIMIT] = color_limit
    header[B_WORK_MASK] = work - 1
    header[B_MESSAGES_END] = starts["messages"] + messages * M_SIZE
    header[B_NODES_END] = starts["nodes"] + nodes * N_SIZE
    header[B_LOG_END] = starts["log"] + logged * D_SIZE
    header[B_MEMORY_END] = memory.size if values else _NO_END
    header[B_HANDLES] = handle_count
    header[C_MESSAGE_TOP] = starts["messages"] + M_SIZE  # the first is for outgoing messages
    header[C_NODE_TOP] = starts["nodes"]
    header[C_MEMORY_TOP] = sram_elements if values else 0
    header[X_VALUES] = int(values)
    header[X_EVENTS] = int(event_size > 0)
    header[B_STACK] = pes + 1
    for name, field in _NUMBERS.items():
        header[field] = getattr(target, name)
    table["neighbours"][:, 0] = neighbours(regions).reshape(-1)
    table["color_numbers"][:] = -1
    for dense, color in enumerate(colors):
        table["color_numbers"][color] = dense
    table["switched"][: len(switched), 0] = switched
    vectors = ("pe_events", "slot_events", "message_events", "send_events", "scratch_events", "word_events")
    flat = ("cells", "pools", "routes", "exits", "woken", "color_numbers")
    kept = ("pes", "channels", "slots", "parked", "links", "places", "metrics", "views", "groups")
    return Tables(
        memory_at=memory.ctypes.data,
        records_at=records.ctypes.data,
        pe_count=pes,
        colors=count,
        values=values,
        memory=memory,
        integers=memory.view(np.int32),
        records=records,
        header=header,
        starts=starts,
        **{name: table[name][:, 0] for name in flat},
        **{name: table[name] for name in kept},
        **{name: table[name] for name in vectors},
    )


def _aligned(array: np.ndarray) -> np.ndarray:
    """The array from its first cache line on, a line shorter."""
    line = _LINE * 8 // array.itemsize
    skip = -(array.ctypes.data // array.itemsize) % line
    return array[skip : len(array) - line + skip]
