"""A machine made of a program and a target, run once, word by word: state in, outputs and counts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.faults import Fault
from meshrt.engines.listening import Ears, Edge, Listener
from meshrt.engines.loading.codes import DTYPES, PORT_NUMBERS, SIDES
from meshrt.engines.loading.colors import program_colors
from meshrt.engines.loading.names import RegionNames, rect_pes
from meshrt.engines.loading.placement import load_placements, to_dtype
from meshrt.engines.loading.ports import check_input, edge_counts, entries, fill_output
from meshrt.engines.reference.core import clock
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.executed import Executed
from meshrt.engines.reference.failures import Explainer
from meshrt.engines.reference.injected import fault_records
from meshrt.engines.reference.layout import Layout
from meshrt.engines.reference.lowering import Lowering, route_config
from meshrt.engines.reference.state import make_state
from meshrt.engines.result import Finished, Row
from meshrt.program.cost import price, words
from meshrt.program.fabric import region_bases
from meshrt.program.model import Port, Program, Region
from meshrt.progress import Progress
from meshrt.target import Target

#: Cycles between two reports of progress.
_STRETCH = 1 << 16


class Machine:
    """Builds the state for one run and runs it.

    ``checked`` watches what asynchronous moves hold (M0509) and lets every word carry what a
    receive needs to see that none was lost or damaged (M0532, M0533). ``faults`` are injected.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        weights: Mapping,
        inputs: Mapping[str, np.ndarray],
        scalars: Mapping[str, Mapping[str, int]],
        *,
        per_layer: bool = False,
        checked: bool = False,
        max_cycles: int | None = None,
        faults: Sequence[Fault] = (),
        text: Sequence[str] = (),
        listener: Listener | None = None,
    ):
        self._program = program
        self._target = target
        self._max_cycles = max_cycles
        self._bases = region_bases(program.regions)
        pes = sum(region.width * region.height for region in program.regions)
        self._names = [RegionNames(r, scalars.get(r.name, {})) for r in program.regions]
        self._layout = Layout(program, self._bases, pes)
        environment, slots = self._environment(pes)
        self._lowered = Lowering(program, target, self._layout, self._names, slots).lower()
        colors = program_colors(program, self._lowered.instructions, target)
        ports = [port for region in program.regions for port in region.ports]
        counts = [
            edge_counts(port, region, names)[1].clip(0)
            for region, names in zip(program.regions, self._names, strict=True)
            for port in region.ports
        ]
        self._state = make_state(
            target,
            program.regions,
            colors,
            self._lowered,
            self._layout,
            environment,
            sum(int(c.sum()) for c in counts),
            sum(port.rect.count for port in ports),
            fault_records(faults, program, self._bases),
        )
        header = self._state.header
        header[rec.X_PER_LAYER] = per_layer
        header[rec.X_CHECKED] = checked
        header[rec.X_MAX_CYCLES] = -1 if max_cycles is None else max_cycles
        self._rows: list[Row] = []
        self._prices: dict[tuple, int] = {}
        self._explain = Explainer(program, self._bases, self._state, self._lowered, self._layout, self._names, text)
        self._places: list[tuple[Port, RegionNames, int, int]] = []
        self._load(weights, inputs)
        self._tell: Callable[[], None] | None = None
        if listener is not None:
            header[rec.X_LISTENS] = 1
            self._tell = self._ears(listener)

    def _environment(self, pes: int) -> tuple[np.ndarray, list[dict[str, int]]]:
        """Values of coordinates and parameters by PE, and the place of each name, by region."""
        slots = [{name: i for i, name in enumerate(names.per_pe)} for names in self._names]
        environment = np.zeros((pes, max((len(s) for s in slots), default=1)), np.int64)
        for names, base, mine in zip(self._names, self._bases, slots, strict=True):
            for name, i in mine.items():
                values = names.per_pe[name]
                environment[base : base + len(values), i] = values
        return environment, slots

    def _load(self, weights: Mapping, inputs: Mapping[str, np.ndarray]) -> None:
        state, layout = self._state, self._layout
        tables, header = state.tables, state.header
        channels = tables["channels"].reshape(state.pes, -1, rec.F_SIZE)
        tables["pes"][:, rec.E_BLOCKED] = rec.ENDED
        for r, region in enumerate(self._program.regions):
            base, names = self._bases[r], self._names[r]
            for route in region.routes:
                config = route_config(route.source, route.destinations)
                channels[rect_pes(route.rect, region, base), state.dense[route.color], rec.F_CONFIG] = config
            for row, pes in load_placements(region, r, base, names, layout, state.memory, weights):
                numbers = layout.named[row, pes]
                for number in np.unique(numbers).tolist():
                    mine = pes[numbers == number]
                    tables["live"][np.ix_(mine, layout.rivals.get(number, []))] = 0
                    tables["live"][mine, number] = 1
            for port in region.ports:
                if port.direction == "out":
                    self._open(port, region, names, base)
        state.install_routes()
        for r, region in enumerate(self._program.regions):
            for port in region.ports:
                if port.direction == "in":
                    self._feed(port, region, self._names[r], self._bases[r], check_input(port, inputs))
        for number, (r, linear) in enumerate(self._lowered.codes):
            pes = rect_pes(linear.code.rect, self._program.regions[r], self._bases[r])
            entries_ = tables["pes"][pes]
            entries_[:, rec.E_STEP] = self._lowered.firsts[number]
            entries_[:, rec.E_BLOCKED] = rec.RUNNING
            tables["pes"][pes] = entries_
        running = np.flatnonzero(tables["pes"][:, rec.E_BLOCKED] == rec.RUNNING)
        np.bitwise_or.at(tables["runs"][0], running >> 6, np.left_shift(1, running & 63))
        header[rec.H_SLOTS] = 1

    def _place(self, port: Port, region: Region, base: int, pe: int, count: int, first: int) -> np.ndarray:
        """A new place of the host for a port's stream at one edge PE."""
        number = len(self._places)
        place = self._state.tables["places"][number]
        place[rec.O_BASE] = first
        place[rec.O_COUNT] = count
        place[rec.O_DTYPE] = DTYPES[port.dtype]
        place[rec.O_CHANNEL] = (base + pe) * self._state.header[rec.B_COLORS] + self._state.dense[port.color]
        place[rec.O_PORT] = PORT_NUMBERS[port.side]
        return place

    def _first_free(self) -> int:
        used = sum(count for _, _, _, count in self._places)
        return self._layout.elements + used

    def _open(self, port: Port, region: Region, names: RegionNames, base: int) -> None:
        local, counts = edge_counts(port, region, names)
        for pe, count in zip(local.tolist(), counts.clip(0).tolist(), strict=True):
            place = self._place(port, region, base, pe, count, self._first_free())
            at = int(place[rec.O_CHANNEL]) * SIDES + PORT_NUMBERS[port.side]
            self._places.append((port, names, pe, count))
            self._state.tables["exits"][at] = len(self._places)

    def _feed(self, port: Port, region: Region, names: RegionNames, base: int, tensor: np.ndarray) -> None:
        state, values = self._state, to_dtype(tensor, port.dtype).reshape(-1)
        memory = state.memory.view(np.int32) if port.dtype == "i32" else state.memory
        local, counts = edge_counts(port, region, names)
        for pe, count in zip(local.tolist(), counts.tolist(), strict=True):
            if count <= 0:
                continue
            first = self._first_free()
            place = self._place(port, region, base, pe, count, first)
            place[rec.O_WORDS] = words(count, port.dtype, self._target.word_bytes)
            flat, inside = entries(port, names, pe, count)
            memory[first : first + count] = np.where(inside, values[flat] if values.size else 0, 0)
            number = len(self._places)
            self._places.append((port, names, pe, count))
            at = int(place[rec.O_CHANNEL]) * SIDES + PORT_NUMBERS[port.side]
            state.tables["sources"][at] = number + 1
            place[rec.O_LISTED] = 1
            state.queues[place[rec.O_CHANNEL], PORT_NUMBERS[port.side], rec.Q_ROUTE] |= rec.TELL
            state.tables["hosts"][state.header[rec.H_HOSTS]] = number
            state.header[rec.H_HOSTS] += 1

    def run(self, progress: Progress) -> Finished:
        """Run all codes to their end.

        Raises M0500 for a deadlock, M0536 to M0538 for broken parts, M0518 for words left over,
        M0530 past ``max_cycles`` and M05xx for what else fails.
        """
        header = self._state.header
        while True:
            clock.run(self._state.at, self._state.least_words, _STRETCH)
            status = int(header[rec.H_STATUS])
            if header[rec.H_HEARD] and self._tell is not None:
                header[rec.H_HEARD] = 0
                self._tell()
            if status == rec.FINISHED:
                break
            if status == rec.PAUSED:
                progress.advance(int(header[rec.H_TIME]))
            elif status == rec.WANTS_WORDS:
                self._state.grow_words()
            elif status in (rec.WANTS_COST, rec.WANTS_ROW):
                self._answer(status)
            elif status == rec.ERROR_MAX_CYCLES:
                raise MeshError("M0530", f"the run has taken more than {self._max_cycles:,} cycles and was stopped")
            else:
                raise self._explain.failure()
        blocked = self._state.tables["pes"][:, rec.E_BLOCKED]
        failed = self._explain.standstill(np.flatnonzero(blocked != rec.ENDED))
        if failed is not None:
            raise failed
        left = self._explain.leftovers()
        if left is not None:
            raise left
        return self._finished()

    @property
    def link_words(self) -> np.ndarray:
        """Words over each link so far: [routers, sides N E S W]."""
        words = self._state.tables["links"][:, rec.L_WORDS]
        return words.reshape(-1, rec.LINKS)[:, :SIDES].copy()

    def _answer(self, status: int) -> None:
        """A cost or a row of counts that compiled code asked for."""
        header = self._state.header
        key = [int(v) for v in header[rec.H_KEY : rec.H_KEY + 7]]
        if status == rec.WANTS_ROW:
            _, op, layer, *_ = key
            if len(self._rows) == len(self._state.tables["rows"]):
                raise MeshError("M0531", f"the program has more than {len(self._rows):,} operations and layers")
            value = len(self._rows)
            self._rows.append(Row(op, None if layer == rec.NO_LAYER else layer))
        else:
            value = self._price(key)
        self._state.answer(key, value)

    def _ears(self, listener: Listener) -> Callable[[], None]:
        """What to call when a message has come to the host."""
        outgoing = [n for n, (port, *_) in enumerate(self._places) if port.direction == "out"]
        ears = Ears(listener, [Edge(*self._places[n][:3]) for n in outgoing])
        places = self._state.tables["places"]

        def tell() -> None:
            whole, cycles = places[outgoing, rec.O_WHOLE], places[outgoing, rec.O_TIME]
            ears.tell(whole, cycles, lambda edge, first, stop: self._values(outgoing[edge], first, stop))

        return tell

    def _values(self, number: int, first: int, stop: int) -> np.ndarray:
        """Elements that have left at a place of the host."""
        integers = self._places[number][0].dtype == "i32"
        memory = self._state.memory.view(np.int32) if integers else self._state.memory
        base = int(self._state.tables["places"][number, rec.O_BASE])
        return memory[base + first : base + stop]

    def _price(self, key: Sequence[int]) -> int:
        """Cycles of an instruction of some sizes, worked out once for all that are alike."""
        alike = Executed.alike(self._lowered.instructions, key)
        if alike not in self._prices:
            self._prices[alike] = price(self._target, Executed.of(self._lowered.instructions, key).events)
        return self._prices[alike]

    def _outputs(self) -> dict[str, np.ndarray]:
        """The tensors of all output ports: i32 as int32, floats as float32. Raises M0510 where words are missing."""
        state = self._state
        tensors: dict[str, np.ndarray] = {}
        for number, (port, names, pe, count) in enumerate(self._places):
            if port.direction != "out":
                continue
            got = int(state.tables["places"][number, rec.O_DONE])
            fill_output(tensors, port, names, pe, count, self._values(number, 0, got))
        return tensors

    def _finished(self) -> Finished:
        state = self._state
        tables, header = state.tables, state.header
        outputs = self._outputs()
        clocks = tables["pes"][:, rec.E_CLOCK].copy()
        cycles, hops, stages = (int(header[f]) for f in (rec.H_LAST_OUT, rec.H_LAST_HOPS, rec.H_LAST_STAGES))
        if len(clocks) and int(clocks.max()) >= cycles:
            cycles = int(clocks.max())
            last = tables["pes"][clocks == cycles]
            stages, hops = min(zip(last[:, rec.E_STAGES].tolist(), last[:, rec.E_HOPS].tolist(), strict=True))
        for row, counts in zip(self._rows, tables["rows"][: len(self._rows)].tolist(), strict=True):
            row.cycles, row.busy, row.macs = counts[rec.N_CYCLES], counts[rec.N_BUSY], counts[rec.N_MACS]
            row.instructions, row.words = counts[rec.N_INSTRUCTIONS], counts[rec.N_WORDS]
            row.waits, row.word_hops = counts[rec.N_WAITS], counts[rec.N_HOPS]
        for entry in state.costs[state.costs[:, rec.K_USED] != 0].tolist():
            if entry[rec.K_CALL] != rec.ROW_CALL:
                done = Executed.of(self._lowered.instructions, entry[rec.K_CALL : rec.K_CYCLES])
                row, count = self._rows[entry[rec.K_ROW]], entry[rec.K_COUNT]
                row.sram_bytes += count * done.sram_bytes
                for cause, times in done.events.items():
                    row.events[cause] += count * times
        ends = tables["phase_ends"].reshape(-1, state.pes, 4).copy()
        for r, linear in self._lowered.codes:
            pes = rect_pes(linear.code.rect, self._program.regions[r], self._bases[r])
            ends[linear.last_phase, pes, :3] = tables["pes"][pes][:, (rec.E_CLOCK, rec.E_HOPS, rec.E_STAGES)]
        routed = tables["channels"][:, rec.F_CONFIG].reshape(state.pes, -1) != 0
        return Finished(
            outputs=outputs,
            cycles=cycles,
            hops=hops,
            stages=stages,
            rows=self._rows,
            clocks=clocks,
            contended_words=int(header[rec.H_CONTENDED]),
            stalled_words=int(header[rec.H_STALLED]),
            route_writes=int(header[rec.H_ROUTE_WRITES]),
            host_words_in=int(header[rec.H_HOST_IN]),
            host_words_out=int(header[rec.H_HOST_OUT]),
            link_words=self.link_words,
            router_colors=routed.sum(axis=1),
            phase_ends=ends,
        )
