"""From an exported program to the graph IR: one graph operation, or a few, for every ATen call that matters.

The export is *interpreted* for one batch and sequence length. What depends on neither the model's inputs nor
its parameters (positions, masks, rotary tables, shape arithmetic) is computed then and there, with the export's
own operators; it reaches the graph as ``const.*`` weights, whose values later passes look at. Everything else
runs on the meta device for its shape and becomes graph operations.

Floating-point dtypes are one (f32): a model's casts to bf16 and back leave no trace.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from meshc.frontend.aten import CONVERTERS
from meshc.frontend.aten.site import DTYPES, Held, Site, Traced
from meshc.frontend.imported import ImportedInput
from meshc.frontend.source_locations import node_location
from meshc.frontend.source_tensors import NARROW_FLOATS, SourceTensors, embedding_tables, on_meta, packet_of
from meshc.ir.core import UNKNOWN, Block, Builder, Location, Module, Operation, TensorType, Value
from meshrt.diagnostics import MeshError

#: Operators that run a nested graph under a mode that inference does not feel, and where that graph is.
_MODE_WRAPPERS = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}

#: Checks: nothing is computed by them.
CHECKS = ("aten._assert", "aten.sym_constrain", "aten._functional_assert", "aten._functional_sym_constrain")


@dataclass(frozen=True, slots=True)
class ImportedCall:
    """One ATen call of the export: ``constant`` where importing computed it, else the operations that it became."""

    target: str
    location: Location
    constant: bool
    operations: tuple[Operation, ...] = ()


class MutationError(Exception):
    """An activation is written in place."""


class Interpreter:
    """Interprets one exported program; see the module's docstring."""

    def __init__(self, exported: ExportedProgram, symbols: Mapping[Any, int]):
        self.exported = exported
        self.symbols = symbols
        self.inputs: list[ImportedInput] = []
        self.calls: list[ImportedCall] = []
        self.block = Block()
        self.builder = Builder(self.block)
        self.sources = SourceTensors(embedding_tables(exported))
        self._extents: dict[Any, int] = {}
        self._result: Value | None = None

    def module(self) -> Module:
        """The imported graph."""
        assert self._result is not None
        used = {operand for op in self.block.ops for operand in op.operands} | {self._result}
        ops = [op for op in self.sources.block.ops if op.result in used] + self.block.ops
        self.block.ops = []
        for op in ops:
            self.block.append(op)
        self.block.append(Operation("return", [self._result]))
        module = Module("graph")
        module.body.append(Operation("func", attributes={"name": "forward"}, regions=[self.block]))
        return module

    def run(self) -> None:
        """Interpret the whole program."""
        program = self.exported
        writes = any(_writes(node) for m in _graphs(program.graph_module) for node in m.graph.nodes)
        env: dict[torch.fx.Node, Any] = {}
        nodes = [n for n in program.graph.nodes if n.op == "placeholder"]
        for spec, node in zip(program.graph_signature.input_specs, nodes, strict=True):
            if isinstance(spec.arg, ConstantArgument):
                env[node] = spec.arg.value
            elif spec.kind == InputKind.USER_INPUT:
                env[node] = self._input(node, spec.arg.name)
            elif spec.target is not None:
                tensor = program.state_dict.get(spec.target)
                tensor = program.constants[spec.target] if tensor is None else tensor
                if not isinstance(tensor, torch.Tensor):
                    env[node] = tensor
                elif spec.kind == InputKind.PARAMETER:
                    env[node] = self.sources.parameter(spec.target, tensor)
                else:
                    env[node] = self.sources.buffer(spec.target, tensor, writes)
        returned = self._interpret(program.graph_module, env)
        kinds = [s.kind for s in program.graph_signature.output_specs]
        outputs = [h for h, kind in zip(returned, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
        self._result = self._logits(outputs)

    def _logits(self, outputs: list[Held]) -> Value:
        """Of what forward returns, the first floating-point tensor that depends on the inputs."""
        for held in outputs:
            if isinstance(held, Traced) and held.meta.is_floating_point():
                return held.value
        raise MeshError(
            "M0111",
            "the model's forward returns no floating-point tensor that depends on its inputs",
            helps=["return the logits, [batch, sequence, vocabulary], from forward"],
        )

    # Inputs and weights

    def _input(self, node: torch.fx.Node, name: str) -> Held:
        value = node.meta["val"]
        if not isinstance(value, torch.Tensor):
            return value
        shape = tuple(self._extent(n) for n in value.shape)
        return self._argument(name, value.dtype, shape)

    def _argument(self, name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Traced:
        """An argument of the graph's function."""
        argument = Value(TensorType(shape, DTYPES[dtype]), name, self.block, len(self.block.args))
        self.block.args.append(argument)
        self.inputs.append(ImportedInput(name, shape, DTYPES[dtype]))
        return Traced(argument, on_meta(dtype, shape))

    def _extent(self, extent: int | torch.SymInt) -> int:
        """An extent as a number. Raises TypeError where it holds other symbols than batch and sequence length."""
        if isinstance(extent, torch.SymInt):
            expr = extent.node.expr
            if expr not in self._extents:
                self._extents[expr] = int(expr.xreplace(self.symbols))
            return self._extents[expr]
        return extent

    # Nodes

    def _interpret(self, module: torch.nn.Module, env: dict[torch.fx.Node, Any]) -> Any:
        """Run a graph's nodes in order; ``env`` holds its placeholders. Returns what its output node returns."""
        graph: torch.fx.Graph = module.graph  # type: ignore[assignment]
        waiting = {node: len(node.users) for node in graph.nodes}
        for node in graph.nodes:
            if node.op == "placeholder":
                continue
            if node.op == "get_attr":
                held = operator.attrgetter(str(node.target))(module)
                env[node] = (
                    self.sources.buffer(str(node.target), held, True) if isinstance(held, torch.Tensor) else held
                )
                continue
            args = pytree.tree_map_only(torch.fx.Node, lambda n: env[n], list(node.args))
            if node.op == "output":
                return args[0]
            kwargs = pytree.tree_map_only(torch.fx.Node, lambda n: env[n], dict(node.kwargs))
            env[node] = self._call(node, args, kwargs)
            for used in node.all_input_nodes:
                # Constants may be large (a mask has tokens x tokens elements): keep them no longer than they are read.
                waiting[used] -= 1
                if not waiting[used]:
                    del env[used]
        return ()

    def _call(self, node: torch.fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        target: Any = node.target
        skip = _MODE_WRAPPERS.get(getattr(target, "__name__", ""))
        if skip is not None:
            nested = args[skip]
            inner = [n for n in nested.graph.nodes if n.op == "placeholder"]
            return self._interpret(nested, dict(zip(inner, args[skip + 1 :], strict=True)))
        if str(target).startswith(CHECKS):
            return None
        leaves = pytree.tree_leaves((args, kwargs))
        if not any(isinstance(leaf, Traced) for leaf in leaves) or target is operator.getitem:
            if _is_aten(target):
                self.calls.append(ImportedCall(str(target), UNKNOWN, constant=True))
            return target(*_on_cpu(in_f32(args)), **_on_cpu(in_f32(kwargs)))
        out = self._shapes(node, args, kwargs)
        if not any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(out)):
            return out
        if _writes(node):
            raise MutationError
        before = len(self.block.ops)
        made = self._convert(node, args, kwargs, out)
        operations = tuple(self.block.ops[before:])
        self.calls.append(ImportedCall(str(target), self.builder.location, constant=False, operations=operations))
        return made

    def _shapes(self, node: torch.fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What the call gives, as tensors on the meta device or a number (a size).

        The export's own record serves where its symbols are known; else the call is made on the meta device.
        """
        recorded = node.meta.get("val")
        if recorded is not None and not isinstance(recorded, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            try:
                return pytree.tree_map_only(
                    torch.Tensor, lambda t: on_meta(t.dtype, [self._extent(n) for n in t.shape]), recorded
                )
            except TypeError:
                # A symbol that stands for neither batch nor sequence: numbers that the export left open.
                pass
        target: Any = node.target
        try:
            return target(*moved_to_meta(in_f32(args)), **moved_to_meta(in_f32(kwargs)))
        except (RuntimeError, NotImplementedError, IndexError) as failure:
            raise MeshError(
                "M0112",
                f"the shape of {target}'s result depends on the values of the model's inputs",
                notes=[f"at {node_location(node)}", str(failure).splitlines()[0]],
                helps=["export a forward whose shapes follow from its inputs' shapes alone"],
            ) from failure

    def _convert(self, node: torch.fx.Node, args: list[Any], kwargs: dict[str, Any], out: Any) -> Any:
        target: Any = node.target
        self.builder.location = node_location(node)
        converter = CONVERTERS.get(packet_of(target))
        if converter is not None:
            site = Site(str(target), _bound(target, args, kwargs), out, self.builder, self.sources.constant)
            made = converter(site)
            if isinstance(made, Value):
                return Traced(made, out)
            if made is not None:
                return tuple(Traced(v, o) for v, o in zip(made, out, strict=False))
        return self._opaque(target, args, kwargs, out)

    def _opaque(self, target: Any, args: list[Any], kwargs: dict[str, Any], out: Any) -> Any:
        """``graph.aten``: the call as it stands; ``"%n"`` among its arguments is operand n."""
        operands: list[Value] = []

        def encode(held: Any) -> Any:
            if isinstance(held, (Traced, torch.Tensor)):
                operands.append(held.value if isinstance(held, Traced) else self.sources.constant(held))
                return f"%{len(operands) - 1}"
            if isinstance(held, (list, tuple)):
                return tuple(encode(h) for h in held)
            if held is None or isinstance(held, (bool, int, float, str)):
                return held
            return str(held)

        attributes: dict[str, Any] = {"target": str(target), "args": tuple(encode(a) for a in args)}
        named = {k: encode(v) for k, v in kwargs.items() if k not in _NO_MEANING}
        if named:
            attributes["kwargs"] = named
        outs = [t for t in pytree.tree_leaves(out) if isinstance(t, torch.Tensor)]
        types = [TensorType(tuple(t.shape), DTYPES[t.dtype]) for t in outs]
        op = self.builder.create("graph.aten", operands, types, attributes)
        if isinstance(out, torch.Tensor):
            return Traced(op.result, out)
        return tuple(Traced(v, t) for v, t in zip(op.results, outs, strict=True))


#: Arguments that say where and how a tensor lies in memory.
_NO_MEANING = ("device", "layout", "pin_memory", "memory_format")


def _is_aten(target: Any) -> bool:
    return str(target).startswith("aten.") and not str(target).startswith("aten.sym_")


def _graphs(module: torch.nn.Module) -> list[torch.fx.GraphModule]:
    return [m for m in module.modules() if isinstance(m, torch.fx.GraphModule)]


def _writes(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def in_f32(structure: Any) -> Any:
    """Arguments with f16 and bf16 asked for as f32: constants are computed as exactly as their sources allow."""
    return pytree.tree_map_only(
        torch.dtype, lambda dtype: torch.float32 if dtype in NARROW_FLOATS else dtype, structure
    )


def _on_cpu(structure: Any) -> Any:
    """Arguments with every device the CPU: a model traced on another one, or on meta, has its constants here."""
    return pytree.tree_map_only(torch.device, lambda _: torch.device("cpu"), structure)


def moved_to_meta(structure: Any) -> Any:
    """Arguments with every tensor on the meta device."""

    def moved(held: Any) -> Any:
        if isinstance(held, Traced):
            return held.meta
        if isinstance(held, torch.Tensor):
            return held.to("meta")
        return torch.device("meta") if isinstance(held, torch.device) else held

    return pytree.tree_map(moved, structure, is_leaf=lambda held: isinstance(held, Traced))


def _bound(target: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by their schema names, defaults filled in."""
    bound = {}
    for i, argument in enumerate(target._schema.arguments):
        if i < len(args):
            bound[argument.name] = args[i]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
    return bound
