"""Steps of decode on a small grid: a tile-level body in an ordinary loop over positions, its results kept step by step.

The body is written here as the ``tile`` pass would write it. Every PE of a line that must hold the same
is read out, so a value that is not alike shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from meshc.dialects.layout import Block as BlockLayout
from meshc.dialects.layout import Heads, Layout
from meshc.dialects.levels import verify
from meshc.dialects.shard import ShardType, over_x, over_y, shard_of
from meshc.dialects.tile import DTYPE_POLICY
from meshc.emit.program import emit_program
from meshc.ir.core import Block, Builder, Module, Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.host_io import drain_rows, emit_input
from meshc.kernels.lowering import Lowering, tensor_shape
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import Pass
from meshc.passes.pipeline import run_pipeline
from meshc.passes.place import _Walk
from meshc.passes.plan_memory import PlanMemory
from meshc.passes.select_kernels import SelectKernels
from meshrt.program.expr import Name, evaluate
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from tests.meshrt.naive_interpreter import Interpreter


@dataclass
class Steps:
    """Builds the body of one step at the tile level; weights are made as they are asked for.

    ``passes`` run before kernels are selected.
    """

    width: int
    height: int
    batch: int = 1
    context: int = 8
    dtype: str = "f32"
    vocabulary: int = 19
    seed: int = 0
    passes: Sequence[Pass] = ()
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    results: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        self.operand, self.other = DTYPE_POLICY[self.dtype]
        self.ids = Value(TensorType((self.batch, 1), "i64"), "ids")
        self.body = Block()
        self.body.args = [self.ids]
        self.ids.owner = self.body
        self.builder = Builder(self.body)

    # ---- types --------------------------------------------------------------------------

    def x(self, layout: Layout | int, dtype: str = "") -> ShardType:
        """Features over x."""
        layout = BlockLayout(layout, self.width) if isinstance(layout, int) else layout
        return over_x(dtype or self.other, self.batch, layout, self.height)

    def y(self, features: int, dtype: str = "") -> ShardType:
        """Features over y."""
        return over_y(dtype or self.other, self.batch, BlockLayout(features, self.height), self.width)

    def heads(self, kv_heads: int, per_kv: int, head_dim: int, rotary: int = 0) -> Heads:
        return Heads(self.width, kv_heads, per_kv, head_dim, rotary)

    # ---- operations ---------------------------------------------------------------------

    def weight(self, name: str, *shape: int, layers: int = 0, scale: float = 0.5) -> Value:
        """A weight, or with ``layers`` one for each round of the loop over ``l``."""
        for layer in range(layers or 1):
            each = f"{name}.{layer}" if layers else name
            if each not in self.weights:
                # Values that f16 holds, so that all dtypes start from the same ones.
                self.weights[each] = (torch.randn(shape, generator=self.random) * scale).half().float()
        attributes = {"name": f"{name}.{{l}}" if layers else name}
        return self.builder.create("tile.weight", [], [TensorType(shape, "f32")], attributes).result

    def op(self, name: str, operands: Sequence[Value], type: ShardType, **attributes: object) -> Value:
        return self.builder.create(f"tile.{name}", operands, [type], attributes).result

    def gemv(
        self, x: Value, parts: Sequence[tuple[Value, Value | None]], types: Sequence[ShardType], order: str = "nk"
    ) -> list[Value]:
        """Products of one value with several weights, each with a bias or None."""
        operands, described = [x], []
        for weight, bias in parts:
            part: dict[str, object] = {"order": order, "start": 0, "stop": tensor_shape(weight)[order.index("n")]}
            for role, value in (("weight", weight), ("bias", bias)):
                if value is not None:
                    part[role] = len(operands)
                    operands.append(value)
            described.append(part)
        return list(self.builder.create("tile.gemv", operands, types, {"parts": tuple(described)}).results)

    def repeat(self, count: int, x: Value, body: Callable[[Value], Value]) -> Value:
        """Layers: ``body`` in a loop over ``l``."""
        outer, block = self.builder, Block([x.type])
        self.builder = Builder(block)
        self.builder.create("tile.yield", [body(block.args[0])])
        self.builder = outer
        return outer.create("tile.repeat", [x], [x.type], {"count": count, "counter": "l"}, [block]).result

    # ---- programs -----------------------------------------------------------------------

    def program(self, steps: int, sram_bytes: int = 1 << 20, **options: Any) -> Program:
        """A program that takes ``steps`` tokens of each sequence, one after the other.

        Ports: ``ids`` [batch, steps] in; ``kept`` out, [rows, columns, elements]: what each PE held of the
        results, step by step, and its states at the end (:meth:`found`).
        """
        self.builder.create("return", list(self.results.values()))
        module = Module("tile")
        attributes = {
            "name": "forward", "width": self.width, "height": self.height, "dtype": self.dtype, "batch": self.batch,
            "sequence": 1, "phase": "decode", "context": self.context, "prompt": steps,
        }  # fmt: skip
        module.body.append(Operation("func", attributes=attributes, regions=[self.body]))
        verify(module, "steps of decode")
        run_pipeline(module, [*self.passes, SelectKernels()])
        self._place(module, steps, options)
        run_pipeline(module, [AllocateColors(), PlanMemory(sram_bytes=sram_bytes)])
        program = emit_program(module)
        assert parse_program(print_program(program)) == program
        return program

    def _place(self, module: Module, steps: int, options: Mapping[str, object]) -> None:
        size = {"width": self.width, "height": self.height}
        region = Operation("mesh.region", attributes={"name": "main", **size, "origin": (0, 0)}, regions=[Block()])
        builder = MeshBuilder(region, **size)
        tokens = BlockLayout(self.batch * steps, 1)
        length = builder.scalar("length", 1, steps)
        lowering = Lowering(builder, self.operand, self.other, self.batch, steps, tokens, length, **options)  # type: ignore[arg-type]
        walk = _Walk(lowering, module.body.ops[0], [])
        prompt = Value(TensorType((self.batch, steps), "i64"), "ids")
        with builder.scope(walk.source("input", "ids")):
            emit_input(prompt, "ids", lowering)
        current = builder.buffer("current", "i32", self.batch)
        lowering.inputs[self.ids] = current
        tiles = {name: shard_of(value).tile for name, value in self.results.items()}
        self.parts = {name: (steps, *tile) for name, tile in tiles.items()}
        buffers = {name: builder.buffer(f"kept_{name}", "f32", *shape) for name, shape in self.parts.items()}
        with builder.loop("t", steps) as t:
            lowering.position = t
            with builder.scope(walk.source("next", "ids")):
                builder.emit("copy", current, lowering.inputs[prompt].at(t, (self.batch, steps)))
            walk.block(self.body)
            with builder.scope(walk.source("keep", "")):
                for name, value in self.results.items():
                    buffer = lowering.buffer_of(value)
                    builder.emit("copy", buffers[name].at(t * buffer.elements, *buffer.shape), buffer)
        buffers |= lowering._states
        self.parts |= {name: state.shape for name, state in lowering._states.items()}
        self._drain(walk, buffers)
        builder.finish()
        module.level = "mesh"
        module.body = Block()
        module.body.append(region)
        module.attributes["ops"] = tuple(walk.sources)

    def _drain(self, walk: _Walk, buffers: Mapping[str, MeshBuffer]) -> None:
        """All buffers of every PE through one port."""
        builder = walk.builder
        kept = builder.buffer("kept", "f32", sum(buffer.elements for buffer in buffers.values()))
        at = 0
        with builder.scope(walk.source("output", "kept")):
            for buffer in buffers.values():
                builder.emit("copy", kept.at(at, *buffer.shape), buffer)
                at += buffer.elements
            shape = self.height, self.width, kept.elements
            drain_rows(builder, "kept", kept, shape, lambda source, element: (Name("y"), source, element))

    # ---- results ------------------------------------------------------------------------

    def run(self, ids: torch.Tensor, **options: Any) -> dict[str, np.ndarray]:
        """:meth:`found` of a run by the naive interpreter; ``ids`` [batch, steps]."""
        program = self.program(ids.shape[1], **options)
        weights = {name: tensor.numpy() for name, tensor in self.weights.items()}
        return self.found(Interpreter(program, weights, {"length": ids.shape[1]}).run({"ids": ids.numpy()})["kept"])

    def found(self, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Results by name, [batch, steps, features], and states, [rows, columns, ..], from what PEs held.

        A result must be the same in all lines that are to hold it alike.
        """
        found, at = {}, 0
        for name, shape in self.parts.items():
            size = math.prod(shape)
            held = kept[:, :, at : at + size].reshape(self.height, self.width, *shape)
            at += size
            found[name] = self._whole(name, held) if name in self.results else held
        return found

    def _whole(self, name: str, held: np.ndarray) -> np.ndarray:
        type = shard_of(self.results[name])
        # [across, along, steps, tokens, features]
        held = held.transpose(1, 0, 2, 4, 3) if type.transposed else held
        assert (held == held[:1]).all(), f"{name} differs between lines that must hold the same"
        whole = np.full((self.batch, held.shape[2], type.features.extent), np.nan, np.float32)
        for p in range(held.shape[1]):
            for i in range(type.features.tile):
                index = evaluate(type.features.index(p, i), {}, {})
                if 0 <= index < type.features.extent:
                    whole[:, :, index] = held[0, p, :, :, i].T
                else:
                    assert not held[0, p, :, :, i].any(), f"padding of {name} is not zero"
        return whole
