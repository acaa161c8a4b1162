"""The whole path from a model to a build: import, graph passes, the choice of a grid, lowering."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from meshc.capacity import Capacity, has_cache
from meshc.emit.program import emit_program
from meshc.emit.weights import stored_weights
from meshc.fitting import Fitting
from meshc.frontend.extents import static_extents
from meshc.frontend.imported import ImportedModel
from meshc.frontend.importer import GRAPH_PIPELINE, import_exported
from meshc.frontend.load import load_exported
from meshc.ir.clone import clone
from meshc.ir.core import Module, TensorType
from meshc.ir.printer import print_module
from meshc.kernels.sample_top_k import MILLIONTHS, SCALARS
from meshc.kernels.token_loop import FIRST, STEPS, STOPS, TOKENS, length_scalars
from meshc.options import CompileOptions
from meshc.passes.base import Pass, PassContext
from meshc.passes.candidates import Choice
from meshc.passes.padding import padding_report
from meshc.passes.pipeline import PassTiming, parse_pipeline, run_pipeline
from meshc.passes.strategy import Chosen
from meshrt.build import Build, write_build
from meshrt.diagnostics import MeshError
from meshrt.manifest import ChanceBinding, DecodeBinding, Manifest, ScalarBinding, TensorBinding
from meshrt.program.model import Program
from meshrt.program.printer import print_program
from meshrt.progress import Progress
from meshrt.target import Target, load_target

#: Passes from the tile level to the mesh level, in order.
_PLACING_PIPELINE = ("select-kernels", "place", "allocate-colors", "plan-memory")
#: Passes from the graph level to the mesh level, in order.
LOWERING_PIPELINE = ("slice-layers", "tile", *_PLACING_PIPELINE)
#: The same where a function is of the decode phase.
_DECODING_PIPELINE = ("slice-layers", "tile", "fuse-norm-gemv", "choose-trees", *_PLACING_PIPELINE)
#: The whole default pipeline of each phase.
PIPELINES = {
    "prefill": ",".join((*GRAPH_PIPELINE, *LOWERING_PIPELINE)),
    "decode": ",".join((*GRAPH_PIPELINE, "derive-decode", *_DECODING_PIPELINE)),
    "generate": ",".join((*GRAPH_PIPELINE, "derive-generate", *_DECODING_PIPELINE)),
}
DEFAULT_PIPELINE = PIPELINES["prefill"]


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model: the build, and the IR of each level as text."""

    build: Build
    options: CompileOptions
    levels: Mapping[str, str]
    pass_times: tuple[PassTiming, ...] = ()
    #: For each tile operation the kernels that were considered; see :mod:`meshc.passes.candidates`.
    choices: tuple[Choice, ...] = ()
    _report: list[Mapping[str, Any]] = field(default_factory=list, compare=False, repr=False)

    def ir(self, level: str) -> str:
        """The text of a level: ``graph``, ``tile``, ``mesh`` or ``program``."""
        return self.levels[level]

    def save(self, path: str | Path) -> Path:
        """Write the build directory."""
        write_build(Path(path), self.build)
        return Path(path)

    def summary(self) -> str:
        """One line: the grid and the memory of the fullest PE."""
        d, sram = self.build.manifest.details, self.build.target.sram_bytes
        grid = f"{d['grid'][0]}x{d['grid'][1]} PEs"
        if len(d["regions"]) == 1:
            return f"{grid}, {d['peak_bytes']:,} of {sram:,} bytes of SRAM ({d['code_bytes']:,} of it code and runtime)"
        each = [f"{name} {r['peak_bytes']:,} ({r['code_bytes']:,})" for name, r in d["regions"].items()]
        return f"{len(each)} x {grid}, of {sram:,} bytes of SRAM (of it code and runtime) {', '.join(each)}"

    def run(self, **inputs: Any) -> Mapping[str, Any]:
        """Run on the emulated wafer: inputs by the names of the model's forward, outputs likewise (numpy arrays)."""
        from meshrt.run import run_build

        result = run_build(self.build, {name: _as_array(value) for name, value in inputs.items()})
        self._report[:] = [result.report]
        return result.outputs

    def report(self) -> Mapping[str, Any]:
        """The report (``meshc.report/1``) of the last run. Raises M0501 before the first."""
        if not self._report:
            raise MeshError("M0501", "there is no report before the first run", helps=["call run(...) first"])
        return self._report[0]


def compile_model(
    source: str | Path | ExportedProgram,
    options: CompileOptions,
    progress: Progress | None = None,
    dump_ir: Path | None = None,
    until: str = "program",
    name: str | None = None,
    say: Callable[[str], None] | None = None,
) -> CompiledModel:
    """Compile a model file or an exported program.

    ``until`` stops after a level (``graph``, ``tile``, ``mesh``, ``program``); ``say`` takes what passes
    were asked to tell. Raises the diagnostics of the front end (M01xx) and of compilation (M04xx).
    """
    progress = progress or Progress()
    target = load_target(options.target)
    if options.grid is not None:
        check_grid(options.grid, target, options.regions)
    passes = pipeline_of(options)
    progress.stage("reading the model")
    imported = _import(source, options, name)
    options = _with_extents(options, imported)
    context = PassContext(imported.weights, options, target)
    module = clone(imported.module)
    fitted = options
    fitting: Fitting | None = None
    levels: dict[str, str] = {}
    padding: Mapping[str, object] = {}
    timings: tuple[PassTiming, ...] = ()
    done = 0
    for level, stop in _stops(passes):
        if level == "tile":
            progress.stage("fitting the model into the wafer")
            fitting = Fitting(clone(module), passes[done:], imported, target)
            fitted = fitting.fit(options)
            context = PassContext(imported.weights, fitted, target)
            if say is not None:
                context.say = say
            progress.stage("lowering")
        timings += run_pipeline(module, passes[done:stop], context, dump_dir=dump_ir, done=done)
        done = stop
        if module.level != level:
            raise MeshError(
                "M0404",
                f"the pipeline ends at the {module.level} level",
                helps=[f"to come to the {until} level it needs the passes {', '.join(LOWERING_PIPELINE[1:])}"],
            )
        levels[level] = print_module(module)
        if level == "tile":
            padding = padding_report(module)
        if level == until:
            return CompiledModel(_empty_build(target), fitted, levels, timings, _choices(context))
    progress.stage("emitting the program")
    program = emit_program(module)
    levels["program"] = print_program(program)
    build = _build(program, module, imported, fitted, target, {"padding": padding, **_capacity(fitting, fitted)})
    return CompiledModel(build, fitted, levels, timings, _choices(context))


def _capacity(fitting: Fitting | None, options: CompileOptions) -> Mapping[str, object]:
    """For the manifest: the longest context that the grid can hold, of a build that caches keys and values."""
    if fitting is None or not options.writes or not has_cache(fitting.graph):
        return {}
    return {"capacity": Capacity(fitting, options).report()}


def pipeline_of(options: CompileOptions) -> tuple[Pass, ...]:
    """The passes of a compilation: those that were asked for, or those of its phase as its strategy has them.

    Raises M0660 to M0662 for a wrong pipeline, M0405 and M0601 for a wrong strategy.
    """
    if options.pipeline:
        return parse_pipeline(options.pipeline)
    return Chosen.of(options.strategy).strategy.adapted(parse_pipeline(PIPELINES[options.phase]))


def _choices(context: PassContext) -> tuple[Choice, ...]:
    """The analysis that ``select-kernels`` left, where it ran."""
    return context.extra.get("select-kernels", ())


def _stops(passes: tuple[Pass, ...]) -> list[tuple[str, int]]:
    """After how many passes the IR should have come to each level."""

    def first(name: str) -> int:
        return next((i for i, each in enumerate(passes) if each.name == name), len(passes))

    return [("graph", first("tile")), ("tile", first("place")), ("mesh", len(passes))]


def _with_extents(options: CompileOptions, imported: ImportedModel) -> CompileOptions:
    """The options with the extents of the imported model's first input: its batch, and its tokens.

    These are the longest prompt; of a build that writes the context, if it is not given, and that the longest prompt
    likewise.
    """
    shape = imported.inputs[0].shape if imported.inputs else ()
    if len(shape) != 2:
        return options
    batch, tokens = shape
    if not options.writes:
        return replace(options, batch=batch, seq=tokens)
    context = options.context or tokens
    return replace(options, batch=batch, context=context, seq=options.seq or context)


def check_grid(grid: tuple[int, int], target: Target, regions: int = 1) -> None:
    """Raise M0407 where the grid, or so many of them side by side, is larger than the fabric."""
    width, height = grid
    widest = target.fabric_width // regions
    if width > widest or height > target.fabric_height:
        beside = f", {regions} of them side by side," if regions > 1 else ""
        raise MeshError(
            "M0407",
            f"a grid of {width}x{height} PEs{beside} does not fit on {target.name}, whose fabric has "
            f"{target.fabric_width}x{target.fabric_height}",
            helps=[f"choose a grid of at most {widest}x{target.fabric_height}, or another --target"],
        )


def _import(source: str | Path | ExportedProgram, options: CompileOptions, name: str | None) -> ImportedModel:
    try:
        if isinstance(source, ExportedProgram):
            _, fixed = static_extents(source)
            seq = _tokens(options, fixed)
            return import_exported(source, batch=options.batch, seq=seq, name=name or "model")
        path = Path(source)
        loaded = load_exported(path, options.batch, _tokens(options, None))
        return import_exported(
            loaded.exported_program,
            batch=options.batch,
            seq=_tokens(options, loaded.seq),
            name=name or path.stem,
            tokenizer_files=loaded.tokenizer_files,
        )
    except MeshError as error:
        if options.writes and error.diagnostic.code == "M0107":
            raise MeshError(
                "M0422",
                "the model may be of any sequence length, so the context to decode with must be given",
                helps=["add --context N, the most tokens that a prompt and its answer may come to"],
            ) from None
        raise


def _tokens(options: CompileOptions, fixed: int | None) -> int | None:
    """At how many tokens to import a model: the longest prompt, or of a build that writes the context, which an export
    of a fixed length may exceed.
    """
    if not options.writes:
        return options.seq
    return options.context if fixed is None else None


def _build(
    program: Program,
    module: Module,
    imported: ImportedModel,
    options: CompileOptions,
    target: Target,
    found: Mapping[str, object],
) -> Build:
    # The region that tells results; where there is one before it, that takes the same inputs.
    region = program.regions[-1]
    ports = {way: [port for port in region.ports if port.direction == way] for way in ("in", "out")}
    has_data = all(t.device.type != "meta" for t in imported.weights.values())
    manifest = Manifest(
        model=imported.name,
        model_digest=imported.digest,
        phase=options.phase,
        inputs=tuple(TensorBinding(p.name, "i64", p.shape, region.name, p.name) for p in ports["in"]),
        outputs=tuple(
            TensorBinding(p.name, "i64" if p.dtype == "i32" else "f32", p.shape, region.name, p.name)
            for p in ports["out"]
        ),
        scalars=_scalars(options, region.name, ports["in"][0].name),
        decode=_decode(options, program, ports["in"][0].name, imported) if options.writes else None,
        timing_only=not has_data,
        options=options.to_json(),
        versions={name: importlib.metadata.version(name) for name in ("meshc", "torch")},
        details=_details(module, found),
    )
    weights = stored_weights(program, imported.weights) if has_data else {}
    return Build(program, weights, manifest, target, imported.tokenizer_files)


def _details(module: Module, found: Mapping[str, object]) -> Mapping[str, object]:
    """The grid of a region, what the fullest PE and the longest code take, both of each region by its name, and what
    was found besides.
    """
    regions = {op.attributes["name"]: op.attributes for op in module.body.ops}
    sizes = {name: {size: a[size] for size in ("peak_bytes", "code_bytes")} for name, a in regions.items()}
    return {
        "grid": [max(a[side] for a in regions.values()) for side in ("width", "height")],
        "peak_bytes": max(size["peak_bytes"] for size in sizes.values()),
        "code_bytes": max(size["code_bytes"] for size in sizes.values()),
        "regions": sizes,
        **found,
    }


def _scalars(options: CompileOptions, region: str, ids: str) -> tuple[ScalarBinding, ...]:
    """What follows from the extent of the prompts that a run is given."""
    if not options.writes:
        return (ScalarBinding(region, "length", ids, 1),)
    names = (*length_scalars(options.batch), STEPS)
    return tuple(ScalarBinding(region, name, ids, 1) for name in names)


def _decode(options: CompileOptions, program: Program, ids: str, imported: ImportedModel) -> DecodeBinding:
    *before, region = program.regions
    assert options.context is not None and options.seq is not None
    (logits, *_) = imported.module.body.ops[0].regions[0].ops[-1].operands
    assert isinstance(logits.type, TensorType)
    chance = next((scalar for scalar in region.scalars if scalar.name == SCALARS[0]), None)
    return DecodeBinding(
        region.name,
        ids,
        TOKENS,
        length_scalars(options.batch),
        STEPS,
        options.seq,
        options.context,
        logits.type.shape[-1],
        STOPS,
        ChanceBinding(*SCALARS, chance.high, MILLIONTHS) if chance is not None else None,
        *((FIRST, before[0].name) if before else ()),
    )


def _empty_build(target: Target) -> Build:
    """What a compilation that stops early has: no program."""
    return Build(Program(), {}, Manifest("", "", "", (), ()), target)


def _as_array(value: Any) -> Any:
    """A torch tensor as a numpy array; anything else as it is."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
