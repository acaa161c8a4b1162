"""A language model of one table: the logits of the next token are the row of the last one. For tests of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meshc.dialects.layout import Block as BlockLayout
from meshc.dialects.layout import Layout
from meshc.dialects.shard import over_x
from meshc.emit.program import emit_program
from meshc.ir.core import Block, Builder, Module, Operation, TensorType, Value
from meshc.kernels.builder import MeshBuilder
from meshc.kernels.lowering import Lowering
from meshc.kernels.sample_top_k import MILLIONTHS, SCALARS, TOP_K
from meshc.kernels.sample_top_k import emit as emit_sample
from meshc.kernels.token_loop import STEPS, STOPS, TOKENS, TokenLoop, length_scalars
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.pipeline import run_pipeline
from meshc.passes.plan_memory import PlanMemory
from meshrt.build import Build
from meshrt.manifest import ChanceBinding, DecodeBinding, Manifest, ScalarBinding, TensorBinding
from meshrt.program.expr import Name
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.target import load_target
from meshrt.weights import StoredTensor


@dataclass(frozen=True)
class Bigram:
    """A model on a grid; ``table`` [vocabulary, vocabulary] is not part of the program."""

    width: int
    height: int
    batch: int
    vocabulary: int
    prompt: int = 4
    context: int = 12
    top_k: int | None = None
    dtype: str = "f32"
    layout: Layout | None = None

    def program(self) -> Program:
        """The whole program, with ``table`` as its weight."""
        layout = self.layout or BlockLayout(self.vocabulary, self.width)
        ids = Value(TensorType((self.batch, 1), "i64"), "ids")
        body = Block()
        body.args = [ids]
        build = Builder(body)
        shard = over_x(self.dtype, self.batch, layout, self.height)
        # Nothing but a value to name: what stands in its buffer is written below.
        logits = build.create("tile.unary", [], [shard], {"function": "relu"}).result
        more = {} if self.top_k is None else {"top_k": self.top_k}
        sample = build.create("tile.sample", [logits], [TensorType((self.batch, 1), "i64")], more)
        size = {"width": self.width, "height": self.height}
        region = Operation("mesh.region", attributes={"name": "main", **size, "origin": (0, 0)}, regions=[Block()])
        builder = MeshBuilder(region, **size)
        lowering = Lowering(builder, self.dtype, self.dtype, self.batch, 1, BlockLayout(self.batch, 1), Name("nobody"))
        loop = TokenLoop.receive(ids, self.prompt, self.context, lowering)
        lowering.inputs[sample.result] = loop.tokens
        table = builder.buffer("table", self.dtype, self.vocabulary, layout.tile)
        entry = [Name("i"), layout.index(Name("x"), Name("j"))]
        builder.place(table, [("i", 0, self.vocabulary), ("j", 0, layout.tile)], "table", entry)
        with loop.steps():
            builder.emit("gather", lowering.result_buffer(logits, "logits"), table, loop.tokens)
            lowering.dying = frozenset({logits})
            emit_sample(sample, lowering)
            loop.tell()
        builder.finish()
        module = Module("mesh")
        module.body.append(region)
        module.attributes["ops"] = ()
        run_pipeline(module, [AllocateColors(), PlanMemory(sram_bytes=1 << 20)])
        program = emit_program(module)
        assert parse_program(print_program(program)) == program
        return program

    def build(self, table: np.ndarray, tokenizer: Mapping[str, bytes] | None = None, target: str = "tiny") -> Build:
        """A build of the decode phase, as a compiler would hand it over."""
        program = self.program()
        decode = DecodeBinding(
            "main", "ids", TOKENS, length_scalars(self.batch), STEPS, self.prompt, self.context, self.vocabulary, STOPS,
            None if self.top_k == 1 else ChanceBinding(*SCALARS, min(self.top_k or TOP_K, self.vocabulary), MILLIONTHS),
        )  # fmt: skip
        scalars = tuple(ScalarBinding("main", name, "ids", 1) for name in (*decode.lengths, STEPS))
        ports = {port.name: port.shape for port in program.regions[0].ports}
        inputs, outputs = (TensorBinding(n, "i64", ports[n], "main", n) for n in ("ids", TOKENS))
        manifest = Manifest("bigram", "0" * 64, "decode", (inputs,), (outputs,), scalars, decode)
        return Build(program, {"table": StoredTensor.of(table)}, manifest, load_target(target), dict(tokenizer or {}))

    def inputs(self, prompts: list[list[int]]) -> dict[str, np.ndarray]:
        """The prompts, padded."""
        padded = [p + [0] * (self.prompt - len(p)) for p in prompts]
        return {"ids": np.array(padded, np.int32)}

    def scalars(
        self,
        prompts: list[list[int]],
        steps: int,
        stops: tuple[int, ...] = (),
        top_k: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Mapping[str, Mapping[str, int]]:
        """Runtime scalars of a run."""
        known = dict(zip(length_scalars(self.batch), map(len, prompts), strict=True)) | {STEPS: steps}
        known |= {name: stops[i] if i < len(stops) else -1 for i, name in enumerate(STOPS)}
        if self.top_k != 1:
            known |= {"top_k": top_k, "temperature": round(temperature * MILLIONTHS), "seed": seed}
        return {"main": known}
