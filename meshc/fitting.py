"""Which grid a model gets: the smallest square whose PEs hold its program, found by lowering to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from meshc.capacity import Capacity, has_cache
from meshc.frontend.imported import ImportedModel
from meshc.ir.clone import clone
from meshc.ir.core import Module, Operation, TensorType, Value
from meshc.options import DEFAULT_CHUNK_ELEMENTS, CompileOptions
from meshc.passes.base import Pass, PassContext
from meshc.passes.least_memory import least_bytes, rounds
from meshc.passes.pipeline import run_pipeline
from meshrt.diagnostics import MeshError
from meshrt.target import Target

#: Chunk sizes of token tables to try, from the fastest to the one that takes the least SRAM.
CHUNKS = (DEFAULT_CHUNK_ELEMENTS, DEFAULT_CHUNK_ELEMENTS // 2, DEFAULT_CHUNK_ELEMENTS // 4)

#: What a grid that is too small leads to: the program, or one relayout, exceeds the SRAM of a PE.
TOO_LARGE = ("M0401", "M0410")


@dataclass(frozen=True)
class Fitting:
    """Lowers one graph to grid after grid."""

    graph: Module
    passes: tuple[Pass, ...]
    imported: ImportedModel
    target: Target

    def fit(self, options: CompileOptions) -> CompileOptions:
        """The options with a grid and a chunk size that fit.

        Raises M0401 where none does, and M0423 where one would with a shorter context.
        """
        found = self.smallest_square(options) if options.grid is None else self.on_grid(options, options.grid)
        if isinstance(found, MeshError):
            raise self._explained(found, options)
        return found

    def on_grid(self, options: CompileOptions, grid: tuple[int, int]) -> CompileOptions | MeshError:
        """The options with this grid and the fastest chunk size that fits, or the diagnostic where none does."""
        # In decode no table rides a ring.
        chunks = CHUNKS[:1] if options.phase == "decode" else CHUNKS
        results = (self._attempt(replace(options, grid=grid, chunk_elements=chunk)) for chunk in chunks)
        found: CompileOptions | MeshError = next(results)
        for other in results:
            if isinstance(found, CompileOptions):
                break
            found = other
        return found

    def smallest_square(self, options: CompileOptions) -> CompileOptions | MeshError:
        """The options for the smallest square that fits, or the diagnostic of the fabric's largest."""
        largest = min(self._fabric(options))
        side = min(self._least_side(options), largest)
        for alone in self._functions():
            # Each function has PEs of its own: where one does not fit, all together do not.
            side = alone._first_fit(options, side, largest)
        return self.on_grid(options, (self._first_fit(options, side, largest),) * 2)

    def _first_fit(self, options: CompileOptions, least: int, largest: int) -> int:
        """The side of the smallest square from ``least`` on that fits; ``largest``, where none below does."""
        for side in range(least, largest):
            # Where the chunk that takes the least does not fit, none does.
            leanest = replace(options, grid=(side, side), chunk_elements=CHUNKS[-1])
            if self._may_fit(leanest) and isinstance(self._attempt(leanest), CompileOptions):
                return side
        return largest

    def _functions(self) -> list[Fitting]:
        """The fitting of each function of several, that of the most weights first."""
        count = len(self.graph.body.ops)
        parts = [replace(self, graph=_only(self.graph, number)) for number in range(count) if count > 1]
        return sorted(parts, key=lambda part: -placed_elements(part.graph))

    def _fabric(self, options: CompileOptions) -> tuple[int, int]:
        """The largest grid: as many of it as there are regions lie side by side."""
        return self.target.fabric_width // options.regions, self.target.fabric_height

    def lower(self, options: CompileOptions) -> Module | MeshError:
        """A copy of the graph lowered with these options, or the diagnostic where the SRAM is too small."""
        module = clone(self.graph)
        try:
            run_pipeline(module, self.passes, PassContext(self.imported.weights, options, self.target))
        except MeshError as error:
            if error.diagnostic.code not in TOO_LARGE:
                raise
            return error
        return module

    def tiled(self, options: CompileOptions) -> Module | None:
        """A copy of the graph at the tile level; None where the pipeline does not begin by going there.

        It takes a hundredth of the time that lowering takes.
        """
        module, context = clone(self.graph), PassContext(self.imported.weights, options, self.target)
        for each in self.passes:
            if module.level != "graph":
                break
            each.run(module, context)
        return module if module.level == "tile" else None

    def _may_fit(self, options: CompileOptions) -> bool:
        """Whether the weights and caches alone fit. What a larger grid saves goes by steps: each side is looked at."""
        module = self.tiled(options)
        return module is None or least_bytes(module) + self.target.code_bytes(0) <= self.target.sram_bytes

    def _attempt(self, options: CompileOptions) -> CompileOptions | MeshError:
        """The options, or the diagnostic where the SRAM is too small for them."""
        lowered = self.lower(options)
        return lowered if isinstance(lowered, MeshError) else options

    def _explained(self, error: MeshError, options: CompileOptions) -> MeshError:
        """The diagnostic with what would fit."""
        d = error.diagnostic
        if options.writes and d.code in TOO_LARGE and has_cache(self.graph):
            grid = options.grid or (min(self._fabric(options)),) * 2
            follow = options.seq == options.context
            square = self.smallest_square(options) if options.grid is not None else error
            too_long = Capacity(self, replace(options, grid=grid), prompts_follow=follow).too_long(
                error, None if isinstance(square, MeshError) else square
            )
            if too_long is not None:
                return too_long
        return MeshError(d.code, d.message, place=d.place, notes=d.notes, helps=[self._advice(options)])

    def _advice(self, options: CompileOptions) -> str:
        """What would fit where the grid that was asked for, or any square, does not."""
        less = f"use fewer layers (--layers A:B) or a shorter {'--context' if options.writes else '--seq'}"
        if options.regions > 1:
            less += ", or --phase decode, which takes prompts token by token and holds the weights once"
        if options.grid is not None:
            square = self.smallest_square(options)
            if isinstance(square, CompileOptions):
                return f"the smallest square that fits is {_text(square.grid)} (--grid, or leave it out); or {less}"
        fabric = self._fabric(options)
        if isinstance(self.on_grid(options, fabric), CompileOptions):
            return (
                f"no square of {self.target.name} holds it, the whole fabric does (--grid {_text(fabric)}); or {less}"
            )
        return f"no grid of {self.target.name} holds it: {less}"

    def _least_side(self, options: CompileOptions) -> int:
        """A side below which the weights alone do not fit."""
        element_bytes = 4 if options.dtype == "f32" else 2
        room = max(1, self.target.sram_bytes - self.target.runtime_bytes)
        return max(1, math.isqrt(placed_elements(self.graph) * element_bytes // room))


def _only(graph: Module, number: int) -> Module:
    """A copy of one function of a module, as a module."""
    copy = clone(graph)
    copy.body.ops = [copy.body.ops[number]]
    return copy


def placed_elements(graph: Module) -> int:
    """Elements of weights that any grid must hold: each once, all layers; of position tables the rows in use."""
    found: dict[object, int] = {}
    for op in graph.walk():
        for value in op.operands:
            if value.op is not None and value.op.name == "graph.weight":
                rows, elements = _elements_read(op, value)
                found[value.op.attributes["name"], rows] = elements * rounds(value.op, value.op.attributes["name"])
    return sum(found.values())


def _elements_read(op: Operation, weight: Value) -> tuple[object, int]:
    """Which rows of a weight an operation reads (None: all), and how many elements these have."""
    assert isinstance(weight.type, TensorType)
    shape = weight.type.shape
    rows = op.attributes.get("rows")
    if op.name == "graph.linear" and rows is not None:
        outputs = shape[0] if op.attributes["weight"] == "nk" or len(shape) == 1 else shape[1]
        return rows, math.prod(shape) // outputs * (rows[1] - rows[0])
    index = op.operands[1].op if op.name == "graph.embedding" else None
    if index is not None and index.name == "graph.positions":
        tokens = index.result.type
        assert isinstance(tokens, TensorType)
        return "positions", tokens.shape[0] * shape[1]
    return None, math.prod(shape)


def _text(grid: tuple[int, int] | None) -> str:
    return "x".join(map(str, grid or ()))
