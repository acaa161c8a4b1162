"""Lays the machine's tables out in one array and gives Python views of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.reference.core import counts
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.core.arithmetic import calculate
from meshrt.engines.reference.core.branching import branch, can_branch
from meshrt.engines.reference.core.faults import disturb
from meshrt.engines.reference.core.operands import D_SIZE, SCRATCH
from meshrt.engines.reference.core.pes import run_pe
from meshrt.engines.reference.core.receiving import take_through
from meshrt.engines.reference.core.routers import settle
from meshrt.engines.reference.layout import Layout
from meshrt.engines.reference.lowering import Lowered
from meshrt.program import cost
from meshrt.program.fabric import neighbours
from meshrt.program.model import Region
from meshrt.target import Target

#: Entries of the table of costs at the beginning, and rows of counts.
_COSTS, _ROWS = 1 << 12, 1 << 17
#: Words and pending route changes at the beginning; words grow when they are needed.
_WORDS_PER_PE, _TURNS_PER_PE = 32, 16
#: Bytes of a cache line.
_LINE = 64
#: Routers keep the colors that wait for a link in one number of 64 bits, and words are two elements at most.
MOST_COLORS, WORD_BYTES = 63, 4


@dataclass(eq=False, slots=True)
class State:
    """Everything that changes while a program runs. ``at`` is the header's address; tables are [records, fields]."""

    at: int
    pes: int
    colors: Sequence[int]
    dense: Mapping[int, int]
    header: np.ndarray
    tables: dict[str, np.ndarray]
    queues: np.ndarray
    routes: np.ndarray
    memory: np.ndarray
    words: np.ndarray
    free: np.ndarray
    costs: np.ndarray
    least_words: int
    answers: int = 0
    kept: list[np.ndarray] = field(default_factory=list)

    def grow_words(self) -> None:
        """Twice as many words."""
        old = len(self.words)
        words = _aligned(2 * old * rec.W_SIZE, np.int64).reshape(-1, rec.W_SIZE)
        words[:old] = self.words
        free = np.zeros(2 * old, np.int32)
        count = int(self.header[rec.H_WORDS_FREE])
        free[:count] = self.free[:count]
        free[count : count + old] = np.arange(2 * old - 1, old - 1, -1, dtype=np.int32)
        self.words, self.free = words, free
        self.header[rec.P_WORDS] = words.ctypes.data
        self.header[rec.P_FREE] = free.ctypes.data
        self.header[rec.H_WORDS_FREE] = count + old

    def install_routes(self) -> None:
        """Let queues and routers know the routes that the channels begin with."""
        configs = self.tables["channels"][:, rec.F_CONFIG]
        routed = np.flatnonzero(configs)
        ports, outputs = (configs[routed] & 7) - 1, configs[routed] >> 3
        several = (outputs & (outputs - 1)) != 0
        branches = several.copy()
        self.queues[routed, ports, rec.Q_ROUTE] |= outputs.astype(np.int32)
        flat, shift = self.queues.reshape(-1, self.queues.shape[2]), int(self.header[rec.B_SHIFT])
        for output in range(rec.FROM_PE):
            routers, colors = routed >> shift, routed & (1 << shift) - 1
            behind = self.tables["ahead"][routers * rec.LINKS + output, 0] + colors * rec.QUEUES
            goes = outputs >> output & 1 != 0
            branches |= goes & (behind < 0)
            flat[behind[goes & several & (behind >= 0)], rec.Q_ROUTE] |= rec.TELL
        self.routes[routed] = 2 * (routed * rec.QUEUES + ports) + branches

    def answer(self, key: Sequence[int], value: int) -> None:
        """Enter what compiled code asked for in the table of costs, which is never more than half full."""
        if 2 * self.answers >= len(self.costs):
            entries = self.costs[self.costs[:, rec.K_USED] != 0]
            self.costs = np.zeros((2 * len(self.costs), rec.K_SIZE), np.int64)
            for entry in entries.tolist():
                counts.remember(self.costs.ctypes.data, len(self.costs) - 1, *entry[rec.K_CALL :])
            self.header[rec.P_COSTS] = self.costs.ctypes.data
            self.header[rec.B_COSTS] = len(self.costs)
        counts.remember(self.costs.ctypes.data, len(self.costs) - 1, *key, value, 0)
        self.answers += 1


def check_target(target: Target, colors: Sequence[int]) -> None:
    """Raise M0531 for what this engine's records have no room for."""
    if target.word_bytes != WORD_BYTES:
        raise MeshError("M0531", f"the reference engine has words of {WORD_BYTES} bytes, not of {target.word_bytes}")
    if len(colors) > MOST_COLORS:
        raise MeshError("M0531", f"the program uses {len(colors)} colors; the reference engine has {MOST_COLORS}")


def make_state(
    target: Target,
    regions: Sequence[Region],
    colors: Sequence[int],
    lowered: Lowered,
    layout: Layout,
    environment: np.ndarray,
    host_elements: int,
    places: int,
    faults: np.ndarray,
) -> State:
    """Fresh state: empty queues, no routes, clocks at 0. ``environment`` holds the per-PE values of names."""
    check_target(target, colors)
    pes = sum(region.width * region.height for region in regions)
    # A power of two, so that router and color of a channel are a shift away.
    count = 1 << max(0, len(colors) - 1).bit_length()
    color_limit = max(colors, default=0) + 1
    moves = max((len(h) for h in lowered.handles), default=0) + 1
    links, channels = pes * rec.LINKS, pes * count
    widest = max(target.link_words_per_cycle, target.ramp_words_per_cycle)
    wheel = 1 << max(target.hop_cycles, target.ramp_cycles).bit_length()
    slot = 2 * links * widest
    declared, rivals = layout.declared()
    turns = pes * _TURNS_PER_PE + 16
    events = 16 * pes + 4 * channels + 4 * pes * moves + 2 * turns
    fields: dict[int, tuple[str, int, int]] = {
        rec.A_LINKS: ("links", links, rec.L_SIZE),
        rec.A_NEIGHBOURS: ("neighbours", pes * SIDES, 1),
        rec.A_AHEAD: ("ahead", links, 1),
        rec.A_ACTIVE: ("active", -(-links // 64), 1),
        rec.A_AGAIN: ("again", 2 * links, 1),
        rec.A_STACK: ("stack", links + 1, 2),
        rec.A_CHANNELS: ("channels", channels, rec.F_SIZE),
        rec.A_TAKERS: ("takers", channels, 1),
        rec.A_MOVES: ("moves", pes * moves, rec.V_SIZE),
        rec.A_PES: ("pes", pes, rec.E_SIZE),
        rec.A_TURNS: ("turns", turns, rec.T_SIZE),
        rec.A_EXITS: ("exits", channels * SIDES, 1),
        rec.A_SOURCES: ("sources", channels * SIDES, 1),
        rec.A_PLACES: ("places", places + 1, rec.O_SIZE),
        rec.A_FAULTS: ("faults", len(faults) + 1, rec.Z_SIZE),
        rec.A_ARRIVED: ("arrived", links, 1),
        rec.A_HOSTS: ("hosts", places + 1, 1),
        rec.A_WHEEL: ("wheel", wheel * slot, 1),
        rec.A_WHEEL_COUNTS: ("wheel_counts", wheel, 1),
        rec.A_EVENTS: ("events", events, 1),
        rec.A_RUNS: ("runs", rec.SLOTS, -(-pes // 64)),
        rec.A_LISTS: ("lists", rec.SLOTS, 1),
        rec.A_NODES: ("nodes", events + 1, rec.C_SIZE),
        rec.A_DUE: ("due", events + 1, 1),
        rec.A_ROWS: ("rows", _ROWS, rec.N_SIZE),
        rec.A_ENVIRONMENT: ("environment", *environment.shape),
        rec.A_COUNTERS: ("counters", pes, lowered.depth),
        rec.A_STEPS: ("steps", *lowered.steps.shape),
        rec.A_INSTRUCTIONS: ("instructions", *lowered.table.shape),
        rec.A_OPERANDS: ("operands", *lowered.operands.shape),
        rec.A_CODE: ("code", len(lowered.code), 1),
        rec.A_ADDRESSES: ("addresses", *layout.addresses.shape),
        rec.A_SLOTS: ("slots", *layout.named.shape),
        rec.A_NAMED: ("named", *layout.named.shape),
        rec.A_DECLARED: ("declared", len(declared), D_SIZE),
        rec.A_LIVE: ("live", pes, len(declared)),
        rec.A_RIVALS: ("rivals", len(rivals), 1),
        rec.A_COLORS: ("colors", color_limit, 1),
        rec.A_VIEWS: ("views", 1, SCRATCH),
        rec.A_MARKS: ("marks", target.sram_bytes // 2 + 2, 1),
        rec.A_PHASE_ENDS: ("phase_ends", lowered.phases * pes, 4),
    }
    starts, total = {}, rec.HEADER_SIZE
    for number, (_, rows, width) in fields.items():
        starts[number] = total
        total += -(-rows * width // 8) * 8
    arena = _aligned(total, np.int64)
    header = arena[: rec.HEADER_SIZE]
    tables = {
        name: arena[starts[number] : starts[number] + rows * width].reshape(rows, width)
        for number, (name, rows, width) in fields.items()
    }
    for number, start in starts.items():
        header[number] = start
    tables["environment"][:] = environment
    tables["faults"][: len(faults)] = faults
    tables["steps"][:] = lowered.steps
    tables["instructions"][:] = lowered.table
    tables["operands"][:] = lowered.operands
    tables["code"][:, 0] = lowered.code
    tables["addresses"][:] = layout.addresses
    tables["slots"][:] = layout.named
    tables["named"][:] = layout.named
    tables["declared"][:] = declared
    tables["rivals"][:, 0] = rivals
    beyond = neighbours(regions)
    tables["neighbours"][:, 0] = beyond.reshape(-1)
    tables["ahead"][:, 0] = _queues_ahead(beyond, count).reshape(-1)
    tables["colors"][:] = -1
    tables["colors"][list(colors), 0] = np.arange(len(colors))
    # Node 0 stands for none.
    tables["nodes"][1:-1, rec.C_NEXT] = np.arange(2, events + 1)
    tables["turns"][: turns - 1, rec.T_NEXT] = np.arange(2, turns + 1)
    queue = -(-(rec.Q_RING + 2 * target.queue_words) // rec.Q_LINE) * rec.Q_LINE
    queues = _aligned(channels * rec.QUEUES * queue, np.int32)
    routes = np.full(channels, -1, np.int32)
    if len(faults):
        queues.reshape(-1, queue)[:, rec.Q_ROUTE] = rec.TELL
    memory = np.zeros(layout.elements + host_elements + 1, np.float32)
    layout.empty(memory)
    scratch = np.zeros(layout.largest + 16, np.float32)
    numbers = lowered.numbers.copy()
    costs = np.zeros((_COSTS, rec.K_SIZE), np.int64)
    least = 6 * pes * widest + places + 2
    first_words = least + pes * _WORDS_PER_PE
    words = _aligned(first_words * rec.W_SIZE, np.int64).reshape(-1, rec.W_SIZE)
    free = np.arange(first_words - 1, -1, -1, dtype=np.int32)
    arrays = {
        rec.P_QUEUES: queues,
        rec.P_ROUTES: routes,
        rec.P_WORDS: words,
        rec.P_FREE: free,
        rec.P_MEMORY: memory,
        rec.P_SCRATCH: scratch,
        rec.P_IMMEDIATES: numbers,
        rec.P_COSTS: costs,
    }
    sizes = {
        rec.B_PES: pes,
        rec.B_FAULTS: len(faults),
        rec.B_COLORS: count,
        rec.B_SHIFT: count.bit_length() - 1,
        rec.B_COLOR_LIMIT: color_limit,
        rec.B_MOVES: moves,
        rec.B_QUEUE: queue,
        rec.B_ACTIVE: -(-links // 64),
        rec.B_WHEEL: wheel,
        rec.B_SLOT: slot,
        rec.B_NAMES: environment.shape[1],
        rec.B_DEPTH: lowered.depth,
        rec.B_DECLARED: len(declared),
        rec.B_COSTS: _COSTS,
        rec.B_EVENTS: events,
        rec.B_RUNS: -(-pes // 64),
        rec.X_QUEUE_WORDS: target.queue_words,
        rec.X_LINK_WORDS: target.link_words_per_cycle,
        rec.X_RAMP_WORDS: target.ramp_words_per_cycle,
        rec.X_HOP: target.hop_cycles,
        rec.X_RAMP: target.ramp_cycles,
        rec.X_ISSUE: target.issue_cycles,
        rec.X_ROUTE_WRITE: target.route_write_cycles,
        rec.X_WAKEUP: target.task_wakeup_cycles,
        rec.X_LOOP: target.loop_cycles,
        rec.X_BRANCH: target.branch_cycles,
        rec.X_INPUT_QUEUES: target.input_queues,
        rec.X_OUTPUT_QUEUES: target.output_queues,
        rec.X_ASYNC_MOVES: target.async_moves_max,
        rec.X_LAUNCH: cost.launch_cycles(target, True),
        rec.X_SETUP: cost.launch_cycles(target, False),
        rec.H_WORDS_FREE: first_words,
        rec.H_TURN_FREE: 1,
        rec.H_NODE_FREE: 1,
    }
    functions = {
        rec.P_CALCULATE: calculate,
        rec.P_RUN_PE: run_pe,
        rec.P_SETTLE: settle,
        rec.P_TAKE_THROUGH: take_through,
        rec.P_CAN_BRANCH: can_branch,
        rec.P_BRANCH: branch,
        rec.P_DISTURB: disturb,
    }
    for number, function in functions.items():
        header[number] = function.address
    header[rec.P_SELF] = arena.ctypes.data
    for number, array in arrays.items():
        header[number] = array.ctypes.data
    for number, value in sizes.items():
        header[number] = value
    return State(
        at=arena.ctypes.data,
        pes=pes,
        colors=colors,
        dense={color: i for i, color in enumerate(colors)},
        header=header,
        tables=tables,
        queues=queues.reshape(channels, rec.QUEUES, queue),
        routes=routes,
        memory=memory,
        words=words,
        free=free,
        costs=costs,
        least_words=least,
        kept=[arena, scratch, numbers],
    )


def _aligned(count: int, dtype: type) -> np.ndarray:
    """Zeros that begin with a cache line."""
    size = np.dtype(dtype).itemsize
    line = _LINE // size
    array = np.zeros(count + line, dtype)
    skip = -(array.ctypes.data // size) % line
    return array[skip : skip + count]


def _queues_ahead(beyond: np.ndarray, colors: int) -> np.ndarray:
    """[routers, links]: number of the queue of color 0 behind every link, far below 0 where no region lies there."""
    routers = np.arange(len(beyond))
    ahead = np.empty((len(beyond), rec.LINKS), np.int64)
    ports = (np.arange(SIDES) + 2) % SIDES
    ahead[:, :SIDES] = np.where(beyond >= 0, beyond * colors * rec.QUEUES + ports, -(1 << 40))
    ahead[:, rec.TO_PE] = routers * colors * rec.QUEUES + rec.INTO_PE
    ahead[:, rec.FROM_PE] = routers * colors * rec.QUEUES + RAMP
    return ahead
