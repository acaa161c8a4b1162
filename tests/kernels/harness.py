"""Compiles a small graph to a program and runs it in the naive interpreter, to hold kernels against torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from meshc.emit.program import emit_program
from meshc.ir.core import Block, Builder, Module, Operation, TensorType, Value
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import Pass
from meshc.passes.pipeline import run_pipeline
from meshc.passes.place import Place
from meshc.passes.plan_memory import PlanMemory
from meshc.passes.select_kernels import SelectKernels
from meshc.passes.tile import Tile
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from tests.meshrt.naive_interpreter import Interpreter


class Graph:
    """Builds a graph-level function of token ids; weights are made as they are asked for."""

    def __init__(self, batch: int, sequence: int, vocabulary: int = 19, seed: int = 0):
        self.batch, self.sequence, self.vocabulary = batch, sequence, vocabulary
        self.random = torch.Generator().manual_seed(seed)
        self.weights: dict[str, torch.Tensor] = {}
        self.body = Block()
        self.builder = Builder(self.body)
        self.inputs: dict[str, torch.Tensor] = {}
        self.ids = self.inputs[self.input("input_ids").name]

    def input(self, name: str) -> Value:
        """Another argument of the function, with random ids."""
        ids = torch.randint(0, self.vocabulary, (self.batch, self.sequence), generator=self.random)
        self.inputs[name] = ids
        self.body.args.append(Value(TensorType(ids.shape, "i64"), name, self.body, len(self.body.args)))
        return self.body.args[-1]

    def tensor(self, name: str, *shape: int, value: torch.Tensor | None = None) -> Value:
        self.weights[name] = torch.randn(shape, generator=self.random) * 0.5 if value is None else value
        return self.builder.create("graph.weight", [], [TensorType(shape, "f32")], {"name": name}).result

    def op(self, name: str, operands: list[Value], features: int, **attributes: object) -> Value:
        shape = (self.batch, self.sequence, features)
        return self.builder.create(f"graph.{name}", operands, [TensorType(shape, "f32")], attributes).result

    def embedding(self, features: int, name: str = "table", argument: int = 0) -> Value:
        table = self.tensor(name, self.vocabulary, features)
        return self.op("embedding", [table, self.body.args[argument]], features)

    def position_embedding(self, table: Value) -> Value:
        assert isinstance(table.type, TensorType)
        type = TensorType((self.sequence, table.type.shape[1]), "f32")
        return self.builder.create("graph.embedding", [table, self.positions()], [type]).result

    def linear(self, x: Value, name: str, features: int, **attributes: object) -> Value:
        """x times a new weight, without a bias."""
        assert isinstance(x.type, TensorType)
        weight = self.tensor(name, features, x.type.shape[-1])
        return self.op("linear", [x, weight], features, weight="nk", **attributes)

    def repeat(self, count: int, carried: list[Value], body: Callable[..., list[Value]], counter: str = "l") -> list:
        """A loop: ``body`` takes the carried values and gives those of the next round."""
        types = [value.type for value in carried]
        outer, block = self.builder, Block(types)
        self.builder = Builder(block)
        self.builder.create("graph.yield", body(*block.args))
        self.builder = outer
        attributes = {"count": count, "counter": counter}
        return outer.create("graph.repeat", carried, types, attributes, [block]).results

    def layers(self, name: str, count: int, *shape: int, counter: str = "l") -> Value:
        """A weight of every round, ``name.0`` and so on."""
        for layer in range(count):
            self.weights[f"{name}.{layer}"] = torch.randn(shape, generator=self.random) * 0.5
        attributes = {"name": f"{name}.{{{counter}}}"}
        return self.builder.create("graph.weight", [], [TensorType(shape, "f32")], attributes).result

    def positions(self) -> Value:
        return self.builder.create("graph.positions", [], [TensorType((self.sequence,), "i64")]).result

    def module(self, *results: Value) -> Module:
        """The graph up to these results; asked for again it ends there."""
        self.body.ops = [op for op in self.body.ops if op.name != "return"]
        self.builder.create("return", list(results))
        module = Module("graph")
        module.body.append(Operation("func", attributes={"name": "forward"}, regions=[self.body]))
        return module


def transformer(sequence: int = 5, batch: int = 1) -> tuple[Graph, Value]:
    """One layer with every kernel: lookup, norm, attention with rotations, gated unit, tied head."""
    graph = Graph(batch, sequence)
    x = graph.embedding(8)
    n = graph.op("rms_norm", [x, graph.tensor("norm", 8)], 8, eps=1e-5)
    frequencies = graph.tensor("const.f", 2)
    turn = {"head_dim": 4, "rotary_dim": 4, "pairing": "half"}
    q, k, v = (graph.linear(n, name, features) for name, features in (("q", 16), ("k", 8), ("v", 8)))
    q = graph.op("rope", [q, graph.positions(), frequencies], 16, heads=4, **turn)
    k = graph.op("rope", [k, graph.positions(), frequencies], 8, heads=2, **turn)
    attributes = {"heads": 4, "kv_heads": 2, "head_dim": 4, "value_dim": 4, "scale": 0.5, "mask": "causal"}
    y = graph.op("add", [x, graph.linear(graph.op("attention", [q, k, v], 16, **attributes), "o", 8)], 8)
    gated = graph.op("glu", [graph.linear(y, "gate", 12), graph.linear(y, "up", 12)], 12, activation="silu")
    y = graph.op("layer_norm", [graph.linear(gated, "down", 8)], 8, eps=1e-5)
    return graph, graph.op("linear", [y, x.op.operands[0]], 19, weight="nk")


def lowering_passes(
    width: int, height: int, dtype: str = "f32", pin: tuple[str, ...] = (), **place: object
) -> list[Pass]:
    """The passes from the graph level to planned memory, with more SRAM than any PE has; ``pin`` names kernels."""
    return [
        Tile(width=width, height=height, dtype=dtype),  # type: ignore[arg-type]
        SelectKernels(pin=pin),
        Place(**place),  # type: ignore[arg-type]
        AllocateColors(),
        PlanMemory(sram_bytes=1 << 20),
    ]


def compile_graph(module: Module, width: int, height: int, dtype: str = "f32", **place: object) -> Program:
    run_pipeline(module, lowering_passes(width, height, dtype, **place))
    program = emit_program(module)
    assert parse_program(print_program(program)) == program
    return program


def run_results(
    graph: Graph, results: list[Value], width: int, height: int, dtype: str = "f32", length: int = 0, **place: object
) -> dict[str, np.ndarray]:
    """The function's results on a grid by name, by the naive interpreter; ``length`` of the ids are the prompt's."""
    program = compile_graph(graph.module(*results), width, height, dtype, **place)
    weights = {name: tensor.numpy() for name, tensor in graph.weights.items()}
    interpreter = Interpreter(program, weights, {"length": length or graph.sequence})
    return interpreter.run({name: ids.numpy() for name, ids in graph.inputs.items()})


def run_graph(graph: Graph, result: Value, width: int, height: int, dtype: str = "f32", **options) -> np.ndarray:
    """The function's only result on a grid."""
    return run_results(graph, [result], width, height, dtype, **options)["logits"]


def assert_near(found: np.ndarray, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    """Equal within a fraction of the largest magnitude."""
    expected = wanted.numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(1e-30, np.abs(expected).max())


Reference = Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]
