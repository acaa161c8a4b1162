"""A machine made of a program and a target, run once: state in, outputs and counts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched.code_run import code_run
from meshrt.engines.batched.critical import EVENT_SIZE, LAST_OUT, Ledger
from meshrt.engines.batched.failures import Explainer
from meshrt.engines.batched.fast_forward import FastForward
from meshrt.engines.batched.held import WatchedPreparer
from meshrt.engines.batched.hostio import Outputs, feed
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.lanes import Lanes
from meshrt.engines.batched.metrics import Metrics
from meshrt.engines.batched.pe_sets import PeSets
from meshrt.engines.batched.phase_ends import PhaseEnds
from meshrt.engines.batched.prepare import Preparer
from meshrt.engines.batched.prepare_fabric import route_config
from meshrt.engines.batched.records import (
    C_CONTENDED,
    C_ERROR,
    C_HOST_IN,
    C_HOST_OUT,
    C_LAST_HOPS,
    C_LAST_OUT,
    C_LAST_STAGES,
    C_ROUTE_WRITES,
    C_STALLED,
    E_CLOCK,
    E_HOPS,
    E_STAGES,
    L_WORDS,
    SIDES,
)
from meshrt.engines.batched.replay import Recorder
from meshrt.engines.batched.scheduler import Scheduler
from meshrt.engines.batched.sram import Sram
from meshrt.engines.batched.state import make_tables
from meshrt.engines.listening import Listener
from meshrt.engines.loading.colors import program_colors
from meshrt.engines.loading.flatten import Again, Execute, LinearCode, flatten
from meshrt.engines.loading.names import RegionNames, rect_pes
from meshrt.engines.loading.placement import load_placements
from meshrt.engines.loading.ports import check_input
from meshrt.engines.result import Finished
from meshrt.program.expr import Int
from meshrt.program.fabric import linked, region_bases
from meshrt.program.model import Instruction, Program, instructions_in
from meshrt.program.phases import Phases
from meshrt.progress import Progress
from meshrt.target import Target


class Machine:
    """Builds the state for one run and runs it."""

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
        timing_only: bool = False,
        until_rounds: int | None = None,
        fast_forward: bool = True,
        events: bool = False,
        text: Sequence[str] = (),
        listener: Listener | None = None,
    ):
        self._program = program
        self._target = target
        self._max_cycles = max_cycles
        self._checked = checked
        self._timing_only = timing_only
        self._until_rounds = until_rounds
        self._fast_forward = fast_forward
        self._per_layer = per_layer
        self._ledger = Ledger(target) if events else None
        self._bases = region_bases(program.regions)
        pes = sum(region.width * region.height for region in program.regions)
        self._names = [RegionNames(r, scalars.get(r.name, {})) for r in program.regions]
        self._sram = Sram(program, self._bases, pes, values=not timing_only, watched=checked)
        self._codes: list[tuple[int, LinearCode]] = []
        instructions: list[Instruction] = []
        phases = Phases.of(program)
        rounds = until_rounds if timing_only else None
        for r, region in enumerate(program.regions):
            for code in region.codes:
                linear = flatten(code, len(instructions), not timing_only, rounds, phases)
                instructions += [step.instruction for step in linear.steps if isinstance(step, Execute)]
                self._codes.append((r, linear))
        self._instructions = len(instructions)
        if timing_only and until_rounds is None:
            _refuse_until([linear for _, linear in self._codes])
        self._handles = [_handles(linear) for _, linear in self._codes]
        colors = program_colors(program, instructions, target)
        ports = [port for region in program.regions for port in region.ports]
        self._tables = make_tables(
            target,
            program.regions,
            colors,
            _switched(instructions, colors),
            max((len(h) for h in self._handles), default=1),
            len(self._sram.rows),
            self._sram.elements,
            sum(int(np.prod(port.shape)) for port in ports),
            1 + sum(port.rect.count for port in ports),
            values=not timing_only,
            event_size=EVENT_SIZE if events else 0,
        )
        self._sram.attach(self._tables)
        self._phase_ends = PhaseEnds(self._tables, len(phases.names))
        self._sets = PeSets()
        self._index = IndexCache(self._names, self._bases)
        self._metrics = Metrics(self._tables.metrics, per_layer)
        names = {number: name for table in self._handles for name, number in table.items()}
        self._explain = Explainer(program, self._bases, self._tables, instructions, colors, names, text)
        parts = (self._tables, self._sram, self._index, target, self._sets)
        self._preparer = WatchedPreparer(*parts, self._explain) if checked else Preparer(*parts)
        self._outputs = Outputs(self._tables, listener)
        self._load(weights, inputs)

    def _load(self, weights: Mapping, inputs: Mapping[str, np.ndarray]) -> None:
        tables, sram = self._tables, self._sram
        for r, region in enumerate(self._program.regions):
            base, names = self._bases[r], self._names[r]
            for route in region.routes:
                pes = rect_pes(route.rect, region, base)
                dense = int(tables.color_numbers[route.color])
                config = route_config(route.source, route.destinations)
                tables.routes[dense * tables.pe_count + pes] = config
            if not self._timing_only:
                for row, pes in load_placements(region, r, base, names, sram, tables.memory, weights):
                    sram.claim(tables.memory_at, row, pes.astype(np.int32), True)
            for port in region.ports:
                if port.direction == "out":
                    self._outputs.open(port, region, names, base)
        for r, region in enumerate(self._program.regions):
            for port in region.ports:
                if port.direction == "in":
                    tensor = None if self._timing_only else check_input(port, inputs)
                    feed(tables, port, region, self._names[r], self._bases[r], tensor)
                    self._check()

    def _check(self) -> None:
        if self._tables.header[C_ERROR] != 0:
            raise self._explain.failure()

    def run(self, progress: Progress) -> Finished:
        """Run all codes to their end.

        Raises M0500 for a deadlock, M0518 for words left over, M0530 past ``max_cycles``
        and M05xx for what else fails.
        """
        runs = [
            code_run(i, r, linear, self._handles[i], not self._checked) for i, (r, linear) in enumerate(self._codes)
        ]
        lanes = forward = recorder = None
        if self._timing_only and not self._checked and self._ledger is None:
            lanes = Lanes(self._tables, self._metrics, self._target)
        if not self._checked and self._fast_forward:
            if not self._timing_only:
                recorder = Recorder(self._tables, self._preparer, self._instructions)
            ends = [*self._bases[1:], self._tables.pe_count]
            groups = [[(self._bases[r], ends[r]) for r in group] for group in linked(self._program.regions)]
            forward = FastForward(
                self._tables, self._metrics, runs, groups, lanes, recorder, self._per_layer, self._max_cycles
            )
        scheduler = Scheduler(
            self._tables,
            runs,
            self._sets,
            self._index,
            self._preparer,
            self._target,
            self._metrics,
            self._check,
            self._max_cycles,
            self._until_rounds if self._timing_only else None,
            lanes,
            forward,
            self._ledger,
            recorder,
            self._outputs.told(),
            self._phase_ends,
        )
        for i, (r, linear) in enumerate(self._codes):
            pes = rect_pes(linear.code.rect, self._program.regions[r], self._bases[r])
            scheduler.start(i, self._sets.intern(r, np.sort(pes)))
        scheduler.run(progress)
        if lanes is not None:
            lanes.leave(for_good=True)
        stuck = scheduler.waiting()
        if len(stuck):
            raise self._explain.deadlock(stuck)
        left = self._explain.leftovers()
        if left is not None:
            raise left
        return self._finished()

    def _finished(self) -> Finished:
        tables = self._tables
        for r, linear in self._codes:
            pes = rect_pes(linear.code.rect, self._program.regions[r], self._bases[r])
            self._phase_ends.left(linear.last_phase, pes)
        clocks = tables.pes[:, E_CLOCK].copy()
        c = tables.header
        vectors, row = tables.scratch_events, LAST_OUT
        cycles, hops, stages = int(c[C_LAST_OUT]), int(c[C_LAST_HOPS]), int(c[C_LAST_STAGES])
        if len(clocks) and int(clocks.max()) >= cycles:
            cycles = int(clocks.max())
            ended = np.flatnonzero(clocks == cycles)
            # Of critical paths that end at once the one with fewer stages, then hops, counts.
            last = ended[np.lexsort((tables.pes[ended, E_HOPS], tables.pes[ended, E_STAGES]))[0]]
            stages, hops = int(tables.pes[last, E_STAGES]), int(tables.pes[last, E_HOPS])
            vectors, row = tables.pe_events, last
        routed = (tables.routes != 0).reshape(tables.colors, -1)
        return Finished(
            outputs=self._outputs.collect(),
            cycles=cycles,
            hops=hops,
            stages=stages,
            rows=self._metrics.finish(),
            clocks=clocks,
            contended_words=int(c[C_CONTENDED]),
            stalled_words=int(c[C_STALLED]),
            route_writes=int(c[C_ROUTE_WRITES]),
            host_words_in=int(c[C_HOST_IN]),
            host_words_out=int(c[C_HOST_OUT]),
            link_words=tables.links[:, L_WORDS].reshape(-1, SIDES).copy(),
            events=self._ledger.counts(vectors[row]) if self._ledger is not None else {},
            router_colors=routed.sum(axis=0),
            phase_ends=self._phase_ends.table,
        )


def _refuse_until(codes: Sequence[LinearCode]) -> None:
    """Without values nothing ends an ``until``. Raises M0526 for the first."""
    for linear in codes:
        for step in linear.steps:
            if isinstance(step, Again):
                raise MeshError(
                    "M0526",
                    f"the until at line {step.line} ends on a value, and a timing-only run computes none",
                    helps=["--until-rounds N times every until as N rounds"],
                )


def _handles(linear: LinearCode) -> dict[str, int]:
    """Number of each handle that a code uses, in the order of its text."""
    numbers: dict[str, int] = {}
    for instruction in instructions_in(linear.code.body):
        for option in ("async", "handle"):
            name = instruction.option(option)
            if name is not None:
                numbers.setdefault(str(name), len(numbers))
    return numbers


def _switched(instructions: Sequence[Instruction], colors: Sequence[int]) -> list[bool]:
    """For each color, whether a ``route`` instruction rewrites it."""
    switched = [False] * len(colors)
    for instruction in instructions:
        if instruction.opcode == "route":
            color = instruction.option("color")
            if not isinstance(color, Int):
                return [True] * len(colors)
            switched[colors.index(color.value)] = True
    return switched
