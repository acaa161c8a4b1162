"""The fresh state of an execution: empty queues, initial routes, host sources and sinks, every PE at its first step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.expr import Int
from meshrt.program.memory_map import rect_slices
from meshrt.program.model import Region, instructions_in
from meshrt.program.proofs.borders import NO_BORDERS, Borders
from meshrt.program.proofs.buffers import Buffers
from meshrt.program.proofs.expressions import Expressions
from meshrt.program.proofs.processes import values
from meshrt.program.proofs.records import (
    A_ALIVE,
    A_BYTECODE,
    A_CALLS,
    A_CANDIDATES,
    A_CHANGES,
    A_CHANNELS,
    A_COLORS,
    A_DECLARED,
    A_DIMS,
    A_ENTRIES,
    A_EXPRS,
    A_FLAGS,
    A_OPERANDS,
    A_PES,
    A_READY,
    A_SINKS,
    A_SOURCES,
    A_STACK,
    A_STEPS,
    A_TABLES,
    A_WORK,
    DTYPE_NUMBERS,
    ENDED,
    F_BEYOND,
    F_CHANGES,
    F_COLOR,
    F_EXITS,
    F_INPUT,
    F_OUTPUTS,
    F_PE,
    F_QUEUED,
    F_QUEUES,
    F_SOURCE,
    G_SIZE,
    H_ALIVE,
    H_ASYNC_MOVES,
    H_CANDIDATE,
    H_CAPACITY,
    H_CHANNEL_SIZE,
    H_COLOR_LIMIT,
    H_ENDED,
    H_ERROR,
    H_GRIDS,
    H_HANDLES,
    H_INPUT_QUEUES,
    H_KEPT,
    H_KEPT_SIZE,
    H_LIVE,
    H_LIVE_WIDTH,
    H_MOVES,
    H_NAMES,
    H_OUTPUT_QUEUES,
    H_PE_SIZE,
    H_PES,
    H_QUEUE,
    H_READY_MASK,
    H_READY_TAIL,
    H_SCALARS,
    H_SCRATCH,
    H_SIZE,
    H_WORD_BYTES,
    H_WORK_MASK,
    H_WORK_TAIL,
    M_HANDLE,
    M_PE,
    M_SIZE,
    MOST_FLAGS,
    MOST_PENDING,
    MOST_RUNS,
    P_CHANNELS,
    P_FLAGS,
    P_NUMBER,
    P_ON,
    P_STATUS,
    P_STEP,
    PORT_NUMBERS,
    QUEUES,
    R_SIZE,
    S_SIZE,
    U_CHANNEL,
    U_DTYPE,
    U_LEFT,
    U_NEXT,
    U_PORT,
    U_SIDE,
    U_SIZE,
    X_CHANNEL,
    X_DTYPE,
    X_EXPECTED,
    X_LOG,
    X_PORT,
    X_SIZE,
)
from meshrt.program.proofs.skeleton import Skeleton, output_bits
from meshrt.program.proofs.state import Layout, State
from meshrt.program.proofs.stretches import Stretch
from meshrt.program.proofs.tables import program_tables
from meshrt.target import Target


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """A stretch made ready for proofs on a target: what does not change between executions. ``region`` is all of it.

    ``colors`` are those that the region speaks of, in ascending order; channels count them in this order;
    ``rewritten`` are those whose routes the code may change. ``counts`` has the number of the expression of each host
    port's count.
    """

    stretch: Stretch
    target: Target
    expressions: Expressions
    buffers: Buffers
    skeleton: Skeleton
    colors: tuple[int, ...]
    rewritten: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def region(self) -> Region:
        """All regions of the stretch as one."""
        return self.stretch.region


def prepare(stretch: Stretch, target: Target) -> Prepared:
    """Read regions whose declarations and code are sound."""
    region = stretch.region
    expressions, buffers = Expressions(stretch), Buffers(region)
    skeleton = Skeleton(region, expressions, buffers)
    counts = tuple(expressions.number(port.count, {}) for port in region.ports)
    colors = {route.color for route in region.routes} | {port.color for port in region.ports}
    rewritten: set[int] = set()
    for code in region.codes:
        for instruction in instructions_in(code.body):
            color = instruction.option("color")
            if instruction.opcode == "route":
                # A computed color may be any.
                rewritten |= {color.value} if isinstance(color, Int) else set(range(target.colors))
    known = tuple(sorted(colors | rewritten))
    return Prepared(stretch, target, expressions, buffers, skeleton, known, tuple(sorted(rewritten)), counts)


def fresh_state(prepared: Prepared, candidates: np.ndarray, alive: np.ndarray, borders: Borders = NO_BORDERS) -> State:
    """The state before the first step, for the last of the ``alive`` rows of ``candidates`` (values of the scalars)."""
    region, target, skeleton = prepared.region, prepared.target, prepared.skeleton
    pes = region.width * region.height
    layout = Layout(
        pes=pes,
        colors=len(prepared.colors),
        loops=skeleton.loops,
        names=len(prepared.buffers.names),
        live=prepared.buffers.live_width,
        grids=len(prepared.expressions.grids()),
        handles=len(skeleton.handles),
        capacity=target.queue_words,
    )
    channels = pes * layout.colors
    ports = sum(port.rect.count for port in region.ports)
    sinks, sources = ports + len(borders.sinks), ports + len(borders.sources)
    tables = program_tables(prepared.expressions, prepared.buffers, skeleton, layout)
    sizes = {"header": H_SIZE, **{name: table.size for name, table in tables.items()}}
    sizes |= {
        "candidates": candidates.size,
        "alive": len(alive),
        "colors": max(prepared.colors, default=0) + 1,
        "work": _power(channels + 1),
        "ready": _power(pes + 1),
        "sinks": sinks * X_SIZE,
        "sources": sources * U_SIZE,
        "crossings": len(borders.sinks) * MOST_RUNS * R_SIZE,
        "scratch": M_SIZE,
        "changes": pes * len(prepared.rewritten) * MOST_PENDING * G_SIZE,
        "flags": MOST_FLAGS if any(skeleton.flagged) else 0,
        "pes": pes * layout.pe_size,
        "channels": channels * layout.channel_size,
    }
    starts, total = {}, 0
    for name, size in sizes.items():
        starts[name] = total
        # Nothing is empty, so that no two tables begin at one place.
        total += max(8, -(-size // 8) * 8)
    s = np.zeros(total, np.int64)
    for name, table in tables.items():
        s[starts[name] : starts[name] + table.size] = table.rebased(starts)
    s[starts["candidates"] : starts["candidates"] + candidates.size] = candidates.reshape(-1)
    s[starts["alive"] : starts["alive"] + len(alive)] = alive
    state = _views(s, layout, starts, (sinks, sources), sizes["flags"])
    _fill_header(prepared, state, candidates, alive)
    _fill_pes(prepared, state)
    _fill_channels(prepared, state)
    opened = _open_ports(prepared, state)
    _open_borders(prepared, state, borders, opened)
    return state


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _views(s: np.ndarray, layout: Layout, starts: dict[str, int], ends: tuple[int, int], flags: int) -> State:
    def table(name: str, rows: int, size: int) -> np.ndarray:
        return s[starts[name] : starts[name] + rows * size].reshape(rows, size)

    pes = table("pes", layout.pes, layout.pe_size)
    channels = table("channels", layout.pes * layout.colors, layout.channel_size)
    moves = pes[:, layout.moves_at : layout.kept_at].reshape(layout.pes, layout.handles + 1, M_SIZE)
    queues = channels[:, F_QUEUES:].reshape(len(channels), QUEUES, layout.queue_size)
    sinks, sources = table("sinks", ends[0], X_SIZE), table("sources", ends[1], U_SIZE)
    assert np.shares_memory(moves, s) and (not queues.size or np.shares_memory(queues, s))
    looked_at = s[starts["flags"] : starts["flags"] + flags]
    return State(s, layout, starts, pes, channels, moves, queues, sinks, sources, looked_at)


_STARTS = {
    "pes": A_PES,
    "channels": A_CHANNELS,
    "steps": A_STEPS,
    "calls": A_CALLS,
    "operands": A_OPERANDS,
    "dims": A_DIMS,
    "exprs": A_EXPRS,
    "bytecode": A_BYTECODE,
    "stack": A_STACK,
    "entries": A_ENTRIES,
    "tables": A_TABLES,
    "candidates": A_CANDIDATES,
    "alive": A_ALIVE,
    "declared": A_DECLARED,
    "colors": A_COLORS,
    "work": A_WORK,
    "ready": A_READY,
    "sinks": A_SINKS,
    "sources": A_SOURCES,
    "changes": A_CHANGES,
    "flags": A_FLAGS,
    "scratch": H_SCRATCH,
}


def _fill_header(prepared: Prepared, state: State, candidates: np.ndarray, alive: np.ndarray) -> None:
    target, layout, s = prepared.target, state.layout, state.s
    for name, field in _STARTS.items():
        s[field] = state.starts[name]
    numbers = {
        H_PES: layout.pes,
        H_CAPACITY: layout.capacity,
        H_HANDLES: layout.handles,
        H_WORD_BYTES: target.word_bytes,
        H_INPUT_QUEUES: target.input_queues,
        H_OUTPUT_QUEUES: target.output_queues,
        H_ASYNC_MOVES: target.async_moves_max,
        H_SCALARS: candidates.shape[1],
        H_CANDIDATE: alive[-1],
        H_ALIVE: len(alive),
        H_WORK_MASK: _power(len(state.channels) + 1) - 1,
        H_READY_MASK: _power(layout.pes + 1) - 1,
        H_NAMES: layout.names_at,
        H_LIVE: layout.live_at,
        H_GRIDS: layout.grids_at,
        H_MOVES: layout.moves_at,
        H_KEPT: layout.kept_at,
        H_KEPT_SIZE: layout.kept_size,
        H_PE_SIZE: layout.pe_size,
        H_CHANNEL_SIZE: layout.channel_size,
        H_QUEUE: layout.queue_size,
        H_LIVE_WIDTH: layout.live,
        H_COLOR_LIMIT: max(prepared.colors, default=-1) + 1,
    }
    for field, number in numbers.items():
        s[field] = number
    colors = s[state.starts["colors"] :]
    colors[: s[H_COLOR_LIMIT]] = -1
    for i, color in enumerate(prepared.colors):
        colors[color] = i


def _fill_pes(prepared: Prepared, state: State) -> None:
    region, layout, starts = prepared.region, state.layout, state.starts
    pes = state.pes
    numbers = np.arange(layout.pes)
    addresses = starts["pes"] + numbers * layout.pe_size
    pes[:, P_NUMBER] = numbers
    pes[:, P_CHANNELS] = starts["channels"] + numbers * layout.colors * layout.channel_size
    pes[:, P_STATUS] = ENDED
    pes[:, P_ON] = 0
    grid = numbers.reshape(region.height, region.width)
    pes[:, P_FLAGS] = -1
    skeleton = prepared.skeleton
    for code, start, flagged in zip(region.codes, skeleton.starts, skeleton.flagged, strict=True):
        here = grid[rect_slices(code.rect)].reshape(-1)
        pes[here, P_STATUS] = 0
        pes[here, P_FLAGS] = 0 if flagged else -1
        pes[here, P_STEP] = starts["steps"] + start * S_SIZE
    size = prepared.buffers.record_size
    named = prepared.buffers.named.T[:, : layout.names]
    pes[:, layout.names_at : layout.live_at] = np.where(named >= 0, starts["declared"] + named * size, 0)
    pes[:, layout.live_at : layout.grids_at] = prepared.buffers.live()
    pes[:, layout.grids_at : layout.moves_at] = prepared.expressions.grids().T
    state.moves[:, :, M_PE] = addresses[:, None]
    state.moves[:, :, M_HANDLE] = np.arange(layout.handles + 1)
    state.moves[:, -1, M_HANDLE] = -1
    running = addresses[pes[:, P_STATUS] != ENDED]
    state.s[starts["ready"] : starts["ready"] + len(running)] = running
    state.s[H_READY_TAIL] = len(running)
    state.s[H_ENDED] = layout.pes - len(running)


def _fill_channels(prepared: Prepared, state: State) -> None:
    region, layout, starts = prepared.region, state.layout, state.starts
    if not layout.colors:
        return
    shape = (region.height, region.width, layout.colors)
    addresses = (starts["channels"] + np.arange(len(state.channels)) * layout.channel_size).reshape(shape)
    channels = state.channels.reshape(*shape, layout.channel_size)
    channels[..., F_INPUT] = -1
    channels[..., F_COLOR] = np.array(prepared.colors)
    channels[..., F_PE] = starts["pes"] + (np.arange(layout.pes) * layout.pe_size).reshape(shape[:2])[..., None]
    inside = prepared.stretch.owners() >= 0
    around = np.pad(np.where(inside[..., None], addresses, 0), ((1, 1), (1, 1), (0, 0)))
    sides = (around[:-2, 1:-1], around[1:-1, 2:], around[2:, 1:-1], around[1:-1, :-2])
    for side, beyond in enumerate(sides):
        channels[..., F_BEYOND + side] = beyond
    numbers = {color: i for i, color in enumerate(prepared.colors)}
    for i, color in enumerate(prepared.rewritten):
        changes = starts["changes"] + (i * layout.pes + np.arange(layout.pes)) * (MOST_PENDING * G_SIZE)
        channels[:, :, numbers[color], F_CHANGES] = changes.reshape(shape[:2])
    for route in region.routes:
        here = channels[(*rect_slices(route.rect), numbers[route.color])]
        here[..., F_INPUT] = PORT_NUMBERS[route.source]
        here[..., F_OUTPUTS] = output_bits(route.destinations)


def _open_ports(prepared: Prepared, state: State) -> int:
    """Host sources and sinks, with as many elements as the ports' counts say; gives how many sources there are."""
    region, layout, starts, s = prepared.region, state.layout, state.starts, state.s
    grid = np.arange(layout.pes).reshape(region.height, region.width)
    sinks = sources = 0
    for number, port in enumerate(region.ports):
        here = grid[rect_slices(port.rect)].reshape(-1)
        counts = np.zeros(len(here), np.int64)
        exprs = np.full(len(here), starts["exprs"] + 2 * prepared.counts[number], np.int64)
        values(s, exprs, starts["pes"] + here * layout.pe_size, counts)
        if s[H_ERROR]:
            return sources
        color = prepared.colors.index(port.color)
        side, dtype = PORT_NUMBERS[port.side], DTYPE_NUMBERS[port.dtype]
        for pe, count in zip(here.tolist(), counts.tolist(), strict=True):
            f = pe * layout.colors + color
            address = starts["channels"] + f * layout.channel_size
            if port.direction == "out":
                row = state.sinks[sinks]
                row[X_EXPECTED], row[X_DTYPE], row[X_PORT], row[X_CHANNEL] = max(0, count), dtype, number, address
                state.channels[f, F_EXITS + side] = starts["sinks"] + sinks * X_SIZE
                sinks += 1
            elif count > 0:
                state.sources[sources, U_PORT] = number
                _add_source(state, sources, f, side, dtype, count)
                sources += 1
    return sources


def _open_borders(prepared: Prepared, state: State, borders: Borders, sources: int) -> None:
    """Sinks behind those of the ports, and sources from number ``sources`` on."""
    layout, starts = state.layout, state.starts
    numbers = {color: i for i, color in enumerate(prepared.colors)}
    first = len(state.sinks) - len(borders.sinks)
    for i, sink in enumerate(borders.sinks):
        f = sink.pe * layout.colors + numbers[sink.color]
        state.sinks[first + i, X_LOG] = starts["crossings"] + i * MOST_RUNS * R_SIZE
        state.sinks[first + i, X_CHANNEL] = starts["channels"] + f * layout.channel_size
        state.channels[f, F_EXITS + sink.side] = starts["sinks"] + (first + i) * X_SIZE
    for i, source in enumerate(borders.sources):
        f = source.pe * layout.colors + numbers[source.color]
        _add_source(state, sources + i, f, source.side, source.dtype, source.elements)


def _add_source(state: State, number: int, f: int, side: int, dtype: int, elements: int) -> None:
    """Source ``number`` has so many elements ready for a side of channel f."""
    s, starts = state.s, state.starts
    address = starts["channels"] + f * state.layout.channel_size
    row = state.sources[number]
    row[U_SIDE], row[U_LEFT], row[U_DTYPE], row[U_CHANNEL] = side, elements, dtype, address
    _append_source(state, f, starts["sources"] + number * U_SIZE)
    if state.channels[f, F_QUEUED] == 0:
        state.channels[f, F_QUEUED] = 1
        s[starts["work"] + s[H_WORK_TAIL]] = address
        s[H_WORK_TAIL] += 1


def _append_source(state: State, f: int, address: int) -> None:
    """Sources of one channel take turns in the order of their ports."""
    if state.channels[f, F_SOURCE] == 0:
        state.channels[f, F_SOURCE] = address
        return
    last = int(state.channels[f, F_SOURCE])
    while state.s[last + U_NEXT]:
        last = int(state.s[last + U_NEXT])
    state.s[last + U_NEXT] = address
