"""Times one workload and puts beside it what was predicted and what bounds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from meshc.bench.shares import Shares, shares_by_event
from meshc.bench.workload import Workload
from meshrt.diagnostics import MeshError
from meshrt.engines.choice import DEFAULT_ENGINE
from meshrt.program.check import check_program
from meshrt.progress import Progress
from meshrt.run import RunOptions, run_program
from meshrt.target import Target

SCHEMA = "meshc.bench-kernels/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One case and what came of it. Cycles, hops, stages, colors, bytes as in ``meshc.report/1``.

    ``predicted`` is the cost model's, where the algorithm has one; ``bounds`` those of
    :class:`meshc.bench.bounds.Bounds`. ``shares`` says what the critical path is made of, in
    cycles, where the engine keeps account of it. ``paths`` is how the number of PEs whose words
    cross one router grows with N, the PEs of an axis, as the algorithm declares it. ``impossible``
    is the diagnostic's first line where the algorithm cannot run there; all figures are then missing.
    """

    operation: str
    algorithm: str
    grid: tuple[int, int]
    size: tuple[int, ...]
    dtype: str
    bounds: Mapping[str, int]
    cycles: int | None = None
    predicted: int | None = None
    shares: Shares | None = None
    hops: int | None = None
    stages: int | None = None
    colors: int | None = None
    route_writes: int | None = None
    peak_bytes: int | None = None
    macs: int | None = None
    paths: str | None = None
    impossible: str | None = None

    @property
    def error(self) -> float | None:
        """How far the prediction is from the run, relatively."""
        return self.predicted / self.cycles - 1 if self.predicted is not None and self.cycles else None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; :meth:`from_json` gives the same row back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The row that :meth:`to_json` wrote."""
        shares = Shares(**data["shares"]) if data["shares"] is not None else None
        return cls(**{**data, "grid": tuple(data["grid"]), "size": tuple(data["size"]), "shares": shares})


def timing_only(engine: str, values: bool) -> bool:
    """Whether a run keeps time and computes nothing: the default engine can, where no values are asked for."""
    return engine == DEFAULT_ENGINE and not values


def measure(workload: Workload, target: Target, engine: str, values: bool, progress: Progress | None = None) -> Row:
    """Run a workload on an engine, with values or for its time only.

    What cannot run there (a grid the kernel does not take, M0405; too little SRAM or too few
    colors, M0401 and M0406; M04xx of the kernel itself) gives a row that says so. Raises what a run raises.
    """
    bounds = workload.bounds(target).to_json()
    case = workload.operation, workload.algorithm, workload.grid, workload.size, workload.dtype, bounds
    try:
        program = workload.program(target)
        check_program(program, target)
        estimate = workload.estimate(target)
    except MeshError as error:
        return Row(*case, impossible=f"{error.diagnostic.code}: {error.diagnostic.message}")
    options = RunOptions(engine=engine, timing_only=timing_only(engine, values), events=engine == DEFAULT_ENGINE)
    weights = {} if options.timing_only else workload.weights()
    result = run_program(program, target, weights, {}, workload.scalars(), options=options, progress=progress)
    report = result.report
    events = report["latency"].get("events")
    before, scaling = workload.preparation(target), workload.scaling()
    return Row(
        *case,
        cycles=report["cycles"] - before,
        predicted=None if estimate is None else estimate.cycles,
        shares=None if events is None else shares_by_event(events, target).less(before),
        hops=report["latency"]["critical_hops"],
        stages=report["latency"]["critical_stages"],
        colors=report["routing"]["colors_peak"],
        route_writes=report["routing"]["route_writes"],
        peak_bytes=report["memory"]["peak_bytes"],
        macs=report["parallelism"]["macs"],
        paths=None if scaling is None else scaling.paths,
    )
