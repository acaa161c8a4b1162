"""Runs a program on an emulated machine: :func:`run_build` for a build, :func:`run_program` for a program in memory.

A run is a pure function of the build (or program and weights), the inputs, the options
and the target: the same give the same outputs and the same report, and all of them pickle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.build import Build, read_build
from meshrt.diagnostics import MeshError
from meshrt.engines.choice import DEFAULT_ENGINE, ENGINES
from meshrt.engines.faults import Fault
from meshrt.engines.listening import Listener
from meshrt.engines.loading.scalars import check_scalars
from meshrt.manifest import DecodeBinding, Manifest, TensorBinding
from meshrt.program.check import check_program
from meshrt.program.model import Program
from meshrt.program.printer import print_program
from meshrt.progress import Progress
from meshrt.report_builder import build_report
from meshrt.target import Target, load_target


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. ``target`` (a name or a file) stands in for the build's own target.

    ``checked`` also watches buffers that asynchronous moves hold; ``max_cycles`` ends the
    run with M0530; ``per_layer`` gives the report a row for each layer.

    ``timing_only`` keeps time and computes nothing: it needs neither weights nor inputs, and
    has no outputs. An ``until`` then takes ``until_rounds`` rounds. ``events`` counts by
    cause what lies on the critical path: ``latency.events`` of the report.

    Loops that repeat themselves are skipped over, exactly, unless ``fast_forward`` is off: where
    values are computed, those of their rounds are, but time is not kept again.

    ``faults`` are injected into the run, by the reference engine only.
    """

    engine: str = DEFAULT_ENGINE
    timing_only: bool = False
    checked: bool = False
    max_cycles: int | None = None
    target: str | None = None
    per_layer: bool = False
    until_rounds: int | None = None
    fast_forward: bool = True
    events: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """``outputs`` by name as numpy arrays (float32, or int32); ``report`` as ``meshc.report/1``.

    ``clocks`` is the clock at which each PE ended, region by region, row by row.
    """

    outputs: dict[str, np.ndarray]
    report: dict[str, Any]
    clocks: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def run_build(
    build: Path | Build,
    inputs: Mapping[str, np.ndarray],
    options: RunOptions | None = None,
    progress: Progress | None = None,
    scalars: Mapping[str, int] | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Run a build directory (or one in memory) on inputs by the names of the model's forward.

    ``scalars`` of a build that writes text stand in for those that follow from the inputs; a ``listener``
    hears of every message that leaves the wafer while the run goes on.

    An input may be shorter than the build's in its dimensions: it is padded with zeros at
    the end, and outputs are cut accordingly where they carry the same extent. A timing-only
    run may be given none, and is timed for the longest; it has no outputs. Raises M035x
    for a damaged build, M03xx for a wrong program, M0514 to M0516 for wrong inputs, M0528 where
    values are wanted from a build without weights, and M05xx for what fails while it runs.
    """
    options = options or RunOptions()
    progress = progress or Progress()
    target = load_target(options.target) if options.target is not None else None
    if isinstance(build, Build):
        target = target or build.target
    else:
        progress.stage("reading the build")
        build = read_build(build, target)
        target = build.target
    manifest = build.manifest
    check_program(build.program, target, build.source)
    if manifest.timing_only and not options.timing_only:
        raise MeshError(
            "M0528", "the build has no weights, so there are no values to compute with", helps=["run it --timing-only"]
        )
    if options.timing_only and not inputs:
        tensors, bound = {}, _longest(manifest)
    else:
        tensors, bound = _bind_inputs(manifest, inputs)
    if manifest.decode is not None:
        _bind_decode(manifest.decode, bound, scalars or {})
    result = run_program(
        build.program,
        target,
        build.weights,
        tensors,
        bound,
        options=options,
        progress=progress,
        text=build.source.lines if hasattr(build.source, "lines") else (),
        manifest=manifest,
        listener=listener,
    )
    outputs = {} if options.timing_only else _bind_outputs(manifest, inputs, result.outputs, bound)
    return RunResult(outputs, result.report, result.clocks)


def run_program(
    program: Program,
    target: Target,
    weights: Mapping[str, Any] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    scalars: Mapping[str, Mapping[str, int]] | None = None,
    *,
    options: RunOptions | None = None,
    progress: Progress | None = None,
    text: Sequence[str] = (),
    manifest: Manifest | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Run a program that is in memory and already checked.

    ``weights`` are numpy arrays or stored tensors by name; ``inputs`` are by port name and
    of the port's shape; ``scalars`` by region, then by name. ``text`` holds the lines of
    the program's text, for diagnostics. Outputs are by port name; a ``listener`` hears of every message that
    leaves through a port while the run goes on.
    """
    options = options or RunOptions()
    progress = progress or Progress()
    if options.engine not in ENGINES:
        raise MeshError("M0519", f"there is no engine {options.engine!r}", helps=[f"engines: {', '.join(ENGINES)}"])
    if options.engine != DEFAULT_ENGINE:
        for chosen, flag, lacks in (
            (options.timing_only, "--timing-only", "run without arithmetic"),
            (options.events, "--events", "count what lies on the critical path"),
        ):
            if chosen:
                raise MeshError(
                    "M0519",
                    f"the {options.engine} engine does not {lacks}",
                    helps=[f"{flag} goes with the {DEFAULT_ENGINE} engine"],
                )
    scalars = scalars or {}
    check_scalars(program, scalars)
    progress.stage("loading the mesh")
    machine = ENGINES[options.engine]()(
        program,
        target,
        weights or {},
        inputs or {},
        scalars,
        per_layer=options.per_layer,
        checked=options.checked,
        max_cycles=options.max_cycles,
        text=text,
        listener=listener,
        **_timing(options),
        **_faults(options),
    )
    progress.stage("running")
    finished = machine.run(progress)
    digest = manifest.files["program.mesh"].sha256 if manifest and "program.mesh" in manifest.files else None
    if digest is None:
        digest = hashlib.sha256(print_program(program).encode()).hexdigest()
    report = build_report(program, target, finished, digest, manifest, options.engine, options.timing_only)
    return RunResult(finished.outputs, report, finished.clocks)


def _timing(options: RunOptions) -> dict[str, Any]:
    """What only the default engine is told, and that only where it is asked for."""
    told: dict[str, Any] = {"events": True} if options.events else {}
    if options.engine == DEFAULT_ENGINE and not options.fast_forward:
        told |= {"fast_forward": False}
    if options.timing_only:
        told |= {"timing_only": True, "until_rounds": options.until_rounds}
    return told


def _faults(options: RunOptions) -> dict[str, Any]:
    """What only an engine that injects faults is told. Raises M0541 for another one."""
    if not options.faults:
        return {}
    if options.engine != "reference":
        raise MeshError(
            "M0541", f"the {options.engine} engine injects no faults", helps=["run it on the reference engine"]
        )
    return {"faults": options.faults}


def _bind_inputs(
    manifest: Manifest, inputs: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Inputs by port, padded to the build's shapes, and the runtime scalars that follow from their extents."""
    known = {binding.name for binding in manifest.inputs}
    for name in inputs:
        if name not in known:
            expected = ", ".join(repr(b.name) for b in manifest.inputs) or "no inputs"
            raise MeshError("M0514", f"the build has no input {name!r}", helps=[f"it takes {expected}"])
    tensors = {}
    for binding in manifest.inputs:
        if binding.name not in inputs:
            if not inputs:
                raise MeshError("M0551", f"the run needs input {binding.name!r}: {_described(binding)}")
            raise MeshError("M0514", f"input {binding.name!r} is missing: {_described(binding)}")
        tensors[binding.port] = _padded(binding, np.asarray(inputs[binding.name]))
    scalars: dict[str, dict[str, int]] = {}
    for scalar in manifest.scalars:
        extent = np.asarray(inputs[scalar.input]).shape[scalar.dimension]
        scalars.setdefault(scalar.region, {})[scalar.scalar] = extent
    return tensors, scalars


def _longest(manifest: Manifest) -> dict[str, dict[str, int]]:
    """The runtime scalars of the longest inputs that the build takes."""
    shapes = {binding.name: binding.shape for binding in manifest.inputs}
    scalars: dict[str, dict[str, int]] = {}
    for scalar in manifest.scalars:
        scalars.setdefault(scalar.region, {})[scalar.scalar] = shapes[scalar.input][scalar.dimension]
    if manifest.decode is not None:
        scalars[manifest.decode.region][manifest.decode.steps] = manifest.decode.context
    return scalars


def _bind_decode(decode: DecodeBinding, bound: dict[str, dict[str, int]], scalars: Mapping[str, int]) -> None:
    """Complete the scalars of the steps, and of the region that works on whole prompts where there is one."""
    steps = bound[decode.region]
    steps |= {**decode.defaults(), **scalars}
    if decode.first is not None and decode.prefill is not None:
        steps[decode.first] = decode.starts(steps)
        bound.setdefault(decode.prefill, {})[decode.first] = steps[decode.first]


def _described(binding: TensorBinding) -> str:
    return f"{binding.dtype} of shape {list(binding.shape)}"


def _padded(binding: TensorBinding, tensor: np.ndarray) -> np.ndarray:
    integer = binding.dtype.startswith(("i", "u"))
    if tensor.dtype.kind not in ("iu" if integer else "fiu"):
        raise MeshError("M0514", f"input {binding.name!r} has dtype {tensor.dtype}; the build takes {binding.dtype}")
    if tensor.ndim != len(binding.shape) or 0 in tensor.shape:
        raise MeshError(
            "M0514", f"input {binding.name!r} has shape {list(tensor.shape)}; the build takes {list(binding.shape)}"
        )
    # The last dimension of token ids is the prompt, which may be shorter; the others must agree.
    if tensor.shape[:-1] != binding.shape[:-1]:
        raise MeshError(
            "M0514", f"input {binding.name!r} has shape {list(tensor.shape)}; the build takes {list(binding.shape)}"
        )
    if tensor.shape[-1] > binding.shape[-1]:
        raise MeshError(
            "M0515",
            f"input {binding.name!r} has {tensor.shape[-1]} tokens; the build takes up to {binding.shape[-1]}",
            helps=[f"compile with --seq {tensor.shape[-1]} or more"],
        )
    padding = [(0, full - given) for full, given in zip(binding.shape, tensor.shape, strict=True)]
    return np.pad(tensor, padding)


def _bind_outputs(
    manifest: Manifest,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    scalars: Mapping[str, Mapping[str, int]],
) -> dict[str, np.ndarray]:
    """Outputs by the user's names; the dimension that grows with a shortened prompt is cut to it."""
    cuts = {
        binding.shape[-1]: np.asarray(inputs[binding.name]).shape[-1]
        for binding in manifest.inputs
        if np.asarray(inputs[binding.name]).shape != binding.shape
    }
    if manifest.decode is not None:
        # What is written for one position after another ends with the steps.
        cuts = {manifest.decode.context: scalars[manifest.decode.region][manifest.decode.steps]}
    named = {}
    for binding in manifest.outputs:
        tensor = outputs[binding.port].reshape(binding.shape)
        # Outputs of a language model are [batch, tokens, ..]: only the second dimension follows the prompt.
        if len(binding.shape) >= 2 and binding.shape[1] in cuts:
            tensor = tensor[:, : cuts[binding.shape[1]]]
        named[binding.name] = np.ascontiguousarray(tensor)
    return named
