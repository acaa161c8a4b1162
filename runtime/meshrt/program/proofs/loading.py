"""The fresh state of an execution: empty queues, initial routes, host sources and sinks, every PE at its first step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.expr import Int
from meshrt.program.memory_map import rect_slices
from meshrt.program.model import Region, instructions_in
from meshrt.program.proofs.buffers import Buffers
from meshrt.program.proofs.expressions import Expressions
from meshrt.program.proofs.processes import port_counts
from meshrt.program.proofs.records import (
    DTYPE_NUMBERS,
    ENDED,
    F_INPUT,
    F_LAST_RECEIVER,
    F_LAST_SENDER,
    F_OUTPUTS,
    F_QUEUED,
    F_RECEIVERS,
    F_SENDERS,
    F_SIZE,
    F_SOURCE,
    G_SIZE,
    H_ALIVE,
    H_ASYNC_MOVES,
    H_CANDIDATE,
    H_CAPACITY,
    H_COLORS,
    H_ENDED,
    H_ERROR,
    H_HANDLES,
    H_INPUT_QUEUES,
    H_OUTPUT_QUEUES,
    H_PES,
    H_READY_TAIL,
    H_SIZE,
    H_WORD_BYTES,
    H_WORK_TAIL,
    M_SIZE,
    MOST_PENDING,
    P_ON,
    P_SIZE,
    P_STATUS,
    P_STEP,
    PORT_NUMBERS,
    QUEUES,
    SIDES,
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
    X_PORT,
    X_SIZE,
    State,
)
from meshrt.program.proofs.skeleton import Skeleton, output_bits
from meshrt.target import Target


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """A region made ready for proofs on a target: what does not change between executions."""

    region: Region
    target: Target
    expressions: Expressions
    buffers: Buffers
    skeleton: Skeleton
    #: Colors that the region speaks of, in ascending order; channels count them in this order.
    colors: tuple[int, ...]
    #: For each host port, the number of the expression of its count.
    counts: tuple[int, ...]


def prepare(region: Region, target: Target) -> Prepared:
    """Read a region whose declarations and code are sound."""
    expressions, buffers = Expressions(region), Buffers(region)
    skeleton = Skeleton(region, expressions, buffers)
    counts = tuple(expressions.number(port.count, {}) for port in region.ports)
    colors = {route.color for route in region.routes} | {port.color for port in region.ports}
    for code in region.codes:
        for instruction in instructions_in(code.body):
            color = instruction.option("color")
            if instruction.opcode == "route":
                # A computed color may be any.
                colors |= {color.value} if isinstance(color, Int) else set(range(target.colors))
    return Prepared(region, target, expressions, buffers, skeleton, tuple(sorted(colors)), counts)


def fresh_state(prepared: Prepared, candidates: np.ndarray, alive: np.ndarray) -> State:
    """The state before the first step, for the last of the ``alive`` rows of ``candidates`` (values of the scalars)."""
    region, target, skeleton = prepared.region, prepared.target, prepared.skeleton
    pes = region.width * region.height
    handles = len(skeleton.handles)
    channels = max(1, len(prepared.colors)) * pes
    steps, calls, operands, dims = skeleton.tables()
    entries, tables = prepared.expressions.tables()
    own, rivals, live = prepared.buffers.bits()
    header = np.zeros(H_SIZE, np.int64)
    header[H_PES] = pes
    header[H_CAPACITY] = target.queue_words
    header[H_HANDLES] = handles
    header[H_WORD_BYTES] = target.word_bytes
    header[H_COLORS] = len(prepared.colors)
    header[H_INPUT_QUEUES] = target.input_queues
    header[H_OUTPUT_QUEUES] = target.output_queues
    header[H_ASYNC_MOVES] = target.async_moves_max
    header[H_CANDIDATE] = alive[-1]
    header[H_ALIVE] = len(alive)
    colors = np.full(max(prepared.colors, default=0) + 1, -1, np.int32)
    for i, color in enumerate(prepared.colors):
        colors[color] = i
    table = np.zeros((channels, F_SIZE), np.int32)
    for column in (F_INPUT, F_RECEIVERS, F_LAST_RECEIVER, F_SENDERS, F_LAST_SENDER, F_SOURCE):
        table[:, column] = -1
    grid = np.arange(pes).reshape(region.height, region.width)
    for route in region.routes:
        here = colors[route.color] * pes + grid[rect_slices(route.rect)].reshape(-1)
        table[here, F_INPUT] = PORT_NUMBERS[route.source]
        table[here, F_OUTPUTS] = output_bits(route.destinations)
    state = State(
        header=header,
        steps=steps,
        calls=calls,
        operands=operands,
        dims=dims,
        exprs=prepared.expressions.rows(),
        bytecode=prepared.expressions.bytecode(),
        stack=prepared.expressions.stack(),
        grids=prepared.expressions.grids(),
        entries=entries,
        tables=tables,
        candidates=candidates,
        alive=np.array(alive, np.int32),
        declared=prepared.buffers.declared(),
        own=own,
        rivals=rivals,
        live=live,
        named=prepared.buffers.named.copy(),
        pes=_pes(prepared),
        counters=np.zeros((pes, skeleton.loops), np.int64),
        moves=np.zeros((pes * (handles + 1) + 1, M_SIZE), np.int32),
        channels=table,
        pending=np.zeros((channels, MOST_PENDING, G_SIZE) if _rewrites(prepared) else (1, 1, G_SIZE), np.int32),
        count=np.zeros(channels * QUEUES, np.int32),
        words=np.zeros((channels * QUEUES, target.queue_words), np.int32),
        neighbours=_neighbours(grid),
        exits=np.full((channels, SIDES), -1, np.int32),
        sinks=np.zeros((1, X_SIZE), np.int32),
        sources=np.zeros((1, U_SIZE), np.int32),
        colors=colors,
        work=np.zeros(channels + 1, np.int32),
        ready=np.zeros(pes + 1, np.int32),
    )
    running = np.flatnonzero(state.pes[:, P_STATUS] != ENDED)
    state.ready[: len(running)] = running
    header[H_READY_TAIL] = len(running)
    header[H_ENDED] = pes - len(running)
    return _open_ports(prepared, state, grid)


def _rewrites(prepared: Prepared) -> bool:
    return any(i is not None and i.opcode == "route" for i in prepared.skeleton.called)


def _pes(prepared: Prepared) -> np.ndarray:
    region = prepared.region
    pes = np.zeros((region.height, region.width, P_SIZE), np.int32)
    pes[:, :, P_STATUS] = ENDED
    pes[:, :, P_ON] = -1
    for code, start in zip(region.codes, prepared.skeleton.starts, strict=True):
        area = rect_slices(code.rect)
        pes[(*area, P_STATUS)] = 0
        pes[(*area, P_STEP)] = start
    return pes.reshape(-1, P_SIZE)


def _neighbours(grid: np.ndarray) -> np.ndarray:
    """PE beyond each side N, E, S, W, -1 beyond the region."""
    around = np.pad(grid, 1, constant_values=-1)
    sides = (around[:-2, 1:-1], around[1:-1, 2:], around[2:, 1:-1], around[1:-1, :-2])
    return np.ascontiguousarray(np.stack(sides, axis=-1).reshape(-1, SIDES), np.int32)


def _open_ports(prepared: Prepared, state: State, grid: np.ndarray) -> State:
    """Host sources and sinks, with as many elements as the ports' counts say."""
    pes = grid.size
    sinks, sources = [], []
    for number, port in enumerate(prepared.region.ports):
        here = np.ascontiguousarray(grid[rect_slices(port.rect)].reshape(-1), np.int64)
        counts = np.zeros(len(here), np.int64)
        port_counts(state, np.full(len(here), prepared.counts[number], np.int64), here, counts)
        if state.header[H_ERROR]:
            return state
        first = int(state.colors[port.color]) * pes
        for pe, count in zip(here.tolist(), counts.tolist(), strict=True):
            f, side, dtype = first + pe, PORT_NUMBERS[port.side], DTYPE_NUMBERS[port.dtype]
            if port.direction == "out":
                row = [0] * X_SIZE
                row[X_EXPECTED], row[X_DTYPE], row[X_PORT], row[X_CHANNEL] = max(0, count), dtype, number, f
                state.exits[f, side] = len(sinks)
                sinks.append(row)
            elif count > 0:
                row = [0] * U_SIZE
                row[U_SIDE], row[U_LEFT], row[U_DTYPE], row[U_NEXT] = side, count, dtype, -1
                row[U_PORT], row[U_CHANNEL] = number, f
                if state.channels[f, F_SOURCE] < 0:
                    state.channels[f, F_SOURCE] = len(sources)
                else:
                    last = int(state.channels[f, F_SOURCE])
                    while sources[last][U_NEXT] >= 0:
                        last = sources[last][U_NEXT]
                    sources[last][U_NEXT] = len(sources)
                sources.append(row)
    opened = state._replace(
        sinks=np.array(sinks or state.sinks, np.int32), sources=np.array(sources or state.sources, np.int32)
    )
    for f in sorted({row[U_CHANNEL] for row in sources}):
        opened.channels[f, F_QUEUED] = 1
        opened.work[opened.header[H_WORK_TAIL]] = f
        opened.header[H_WORK_TAIL] += 1
    return opened
