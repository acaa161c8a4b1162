"""One batch and sequence length for an exported program: every shape a number, every node a tensor operator.

An export may be dynamic (shapes with symbols), carry shape arithmetic as nodes, run-time checks, and
nested graphs under ``no_grad`` or ``autocast``. The static graph made here has none of these: what the
importer reads is a flat list of ATen operators on tensors of known shape. Nothing is executed; shapes come
from the symbolic ones by substitution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from meshrt.diagnostics import MeshError
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, InputSpec, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

#: Run-time checks and shape constraints: with static shapes they say nothing more.
_CHECKS = (
    "aten._assert_tensor_metadata.default",
    "aten._assert_async.msg",
    "aten._assert_scalar.default",
    "aten.sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default",
    "aten._functional_assert_async.msg",
)

#: Higher-order operators that run a nested graph under a mode that does not matter for inference, and the
#: number of their arguments before the nested graph.
_MODE_WRAPPERS = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of the model's forward: its name there, the placeholder node, its shape and torch dtype."""

    name: str
    node: torch.fx.Node
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class StaticGraph:
    """An exported program at one shape.

    ``graph`` holds placeholders, call_function nodes and one output node; ``node.meta["val"]`` of each is a
    meta-device tensor (or a tuple or list of them) with static shape and dtype; ``stack_trace`` and
    ``nn_module_stack`` are the export's. ``weights`` maps a source tensor's name to the tensor (parameters,
    buffers, lifted constants; on meta when the model has none), ``sources`` maps a placeholder node's name to
    the name of the source tensor that it reads; tied weights read one name. ``outputs`` are the nodes that
    forward returns, with their paths in the returned structure (``""`` for a bare tensor, ``"logits"``).
    """

    graph: torch.fx.Graph
    inputs: tuple[ModelInput, ...]
    sources: Mapping[str, str]
    weights: Mapping[str, torch.Tensor]
    outputs: tuple[tuple[str, torch.fx.Node], ...]


def specialise(exported: ExportedProgram, batch: int | None = None, seq: int | None = None) -> StaticGraph:
    """Fix the batch and sequence length and flatten the graph.

    Both may be None: a static dimension then keeps its extent, a dynamic batch becomes 1, and a dynamic
    sequence length raises M0107. Extents that the export does not allow raise M0108.
    """
    exported = _without_mutation(exported)
    values = _symbol_values(exported, batch, seq)
    return _Flattening(exported, values).result()


def token_input(exported: ExportedProgram) -> tuple[str, torch.Tensor]:
    """Name and symbolic value of the input whose dimensions are (batch, sequence): token ids when there are any.

    Raises M0110 when the model has no tensor input.
    """
    tensors = [
        (spec.arg.name, value)
        for spec, value in _user_inputs(exported)
        if isinstance(spec.arg, TensorArgument) and isinstance(value, torch.Tensor)
    ]
    for wanted_rank in (2, 1):
        for name, value in tensors:
            if value.dim() == wanted_rank and not value.dtype.is_floating_point:
                return name, value
    if not tensors:
        raise MeshError(
            "M0110",
            "the exported model has no tensor input",
            helps=["export a forward that takes the token ids: int64 [batch, sequence]"],
        )
    return tensors[0]


def static_extents(exported: ExportedProgram) -> tuple[int | None, int | None]:
    """(batch, sequence) of the token input where the export fixes them; None where they are dynamic."""
    _, value = token_input(exported)
    dims = [int(d) if _static(d) else None for d in value.shape]
    return (1, dims[0]) if len(dims) == 1 else (dims[0], dims[1])


def _user_inputs(exported: ExportedProgram) -> list[tuple[InputSpec, Any]]:
    placeholders = [n for n in exported.graph.nodes if n.op == "placeholder"]
    pairs = zip(exported.graph_signature.input_specs, placeholders, strict=True)
    return [(spec, node.meta.get("val")) for spec, node in pairs if spec.kind == InputKind.USER_INPUT]


def _static(extent: Any) -> bool:
    return not isinstance(extent, torch.SymInt) or not extent.node.expr.free_symbols


def _symbol_values(exported: ExportedProgram, batch: int | None, seq: int | None) -> dict[sympy.Symbol, int]:
    """The number each shape symbol stands for, given the extents asked for."""
    name, value = token_input(exported)
    axes = [("sequence length", "--seq", seq)]
    if value.dim() > 1:
        axes.insert(0, ("batch", "--batch", batch))
    values: dict[sympy.Symbol, int] = {}
    for axis, (what, option, wanted) in enumerate(axes):
        extent = value.shape[axis]
        if _static(extent):
            _check_static(name, what, option, int(extent), wanted)
            continue
        if wanted is None and option == "--seq":
            raise MeshError(
                "M0107",
                f"the model was exported with a dynamic {what}, so the {what} to compile for must be given",
                helps=[f"add {option} N, the longest prompt in tokens"],
            )
        symbol, number = _solve(extent.node.expr, 1 if wanted is None else wanted, name, what, option)
        values[symbol] = number
    _check_ranges(exported, values, name, value, axes)
    for spec, other in _user_inputs(exported):
        for axis, extent in enumerate(other.shape if isinstance(other, torch.Tensor) else ()):
            loose = [] if _static(extent) else sorted(map(str, extent.node.expr.free_symbols - values.keys()))
            if loose:
                raise MeshError(
                    "M0108",
                    f"dimension {axis} of input {spec.arg.name} is dynamic, and neither batch nor sequence length",
                    helps=["export the model with that dimension static"],
                )
    return values


def _check_static(name: str, what: str, option: str, extent: int, wanted: int | None) -> None:
    if wanted is None or wanted == extent:
        return
    raise MeshError(
        "M0108",
        f"the model was exported for {what} {extent} only, not {wanted}",
        notes=[f"input {name} is static in that dimension"],
        helps=[f"use {option} {extent}", f"or export it again with a dynamic {what} (meshc trace without --seq)"],
    )


def _solve(expr: sympy.Expr, wanted: int, name: str, what: str, option: str) -> tuple[sympy.Symbol, int]:
    """The symbol of a one-symbol extent, and its value that makes the extent ``wanted``."""
    symbols = sorted(expr.free_symbols, key=str)
    if len(symbols) == 1:
        if expr == symbols[0]:
            return symbols[0], wanted
        whole = [s for s in sympy.solve(expr - wanted, symbols[0]) if s.is_Integer and s >= 0]
        if whole:
            return symbols[0], int(whole[0])
    raise MeshError(
        "M0108",
        f"the model's {what} cannot be {wanted}: input {name} has the extent {expr} there",
        helps=[f"choose {option} so that the extent can be met, or export with a plain dynamic dimension"],
    )


def _check_ranges(
    exported: ExportedProgram,
    values: Mapping[sympy.Symbol, int],
    name: str,
    value: torch.Tensor,
    axes: Sequence[tuple[str, str, int | None]],
) -> None:
    for symbol, allowed in exported.range_constraints.items():
        number = values.get(symbol)
        if number is None or (allowed.lower <= number and number <= allowed.upper):
            continue
        for axis, (what, option, _) in enumerate(axes):
            extent = value.shape[axis]
            if not _static(extent) and symbol in extent.node.expr.free_symbols:
                raise MeshError(
                    "M0108",
                    f"the model was exported for {what} {allowed.lower} to {allowed.upper}, not {number}",
                    notes=[f"input {name} is limited to that range in this dimension"],
                    helps=[f"choose {option} inside the range, or export with a wider one"],
                )


class _Flattening:
    """Copies an export's graph node by node with shapes substituted and nested graphs inlined."""

    def __init__(self, exported: ExportedProgram, values: Mapping[sympy.Symbol, int]):
        self.exported = exported
        self.values = values
        self.graph = torch.fx.Graph()
        self.sources: dict[str, str] = {}
        self.inputs: list[ModelInput] = []
        self.weights: dict[str, torch.Tensor] = {}

    def result(self) -> StaticGraph:
        program = self.exported
        placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
        env: dict[torch.fx.Node, Any] = {}
        for spec, node in zip(program.graph_signature.input_specs, placeholders, strict=True):
            env[node] = self._placeholder(spec, node)
        returned = self._copy(program.graph_module, env)
        outputs = self._outputs(returned)
        self.graph.output(tuple(node for _, node in outputs))
        self.graph.eliminate_dead_code()
        self._name_weights()
        return StaticGraph(self.graph, tuple(self.inputs), self.sources, self.weights, outputs)

    def _placeholder(self, spec: InputSpec, node: torch.fx.Node) -> Any:
        if isinstance(spec.arg, ConstantArgument):
            return spec.arg.value
        if not isinstance(spec.arg, TensorArgument):
            raise MeshError(
                "M0105",
                f"the exported model has an input of a kind that has no meaning here: {spec.kind.name.lower()}",
                helps=["export a forward whose inputs and weights are tensors"],
            )
        new = self.graph.placeholder(node.name)
        new.meta = self._meta(node)
        if spec.kind == InputKind.USER_INPUT:
            value = new.meta["val"]
            self.inputs.append(ModelInput(spec.arg.name, new, tuple(value.shape), value.dtype))
            return new
        assert spec.target is not None
        self.sources[new.name] = spec.target
        return new

    def _name_weights(self) -> None:
        """Drop the placeholders of weights that nothing reads, and give tied weights their first name."""
        first_name: dict[Any, str] = {}
        unused: list[torch.fx.Node] = []
        for node in self.graph.nodes:
            target = self.sources.get(node.name) if node.op == "placeholder" else None
            if target is None:
                continue
            tensor = self._tensor(target)
            name = first_name.setdefault(_identity(tensor), target)
            if node.users:
                self.sources[node.name] = name
                self.weights[name] = tensor
            else:
                del self.sources[node.name]
                unused.append(node)
        for node in unused:
            self.graph.erase_node(node)

    def _tensor(self, target: str) -> torch.Tensor:
        held = self.exported.state_dict.get(target)
        if held is None:
            held = self.exported.constants[target]
        return held

    def _copy(self, module: torch.nn.Module, env: dict[torch.fx.Node, Any]) -> Any:
        """Copy a graph's body; ``env`` maps its placeholders. Returns the mapped structure of its output."""
        graph: torch.fx.Graph = module.graph  # type: ignore[assignment]
        for node in graph.nodes:
            if node.op == "placeholder":
                continue
            if node.op == "get_attr":
                env[node] = _attribute(module, str(node.target))
            elif node.op == "output":
                return pytree.tree_map_only(torch.fx.Node, lambda n: env[n], node.args[0])
            else:
                env[node] = self._call(node, env)
        return ()

    def _call(self, node: torch.fx.Node, env: dict[torch.fx.Node, Any]) -> Any:
        if str(node.target) in _CHECKS:
            return None
        args, kwargs = pytree.tree_map_only(torch.fx.Node, lambda n: env[n], (list(node.args), dict(node.kwargs)))
        skip = _MODE_WRAPPERS.get(getattr(node.target, "__name__", ""))
        if skip is not None:
            nested = args[skip]
            inner = [n for n in nested.graph.nodes if n.op == "placeholder"]
            return self._copy(nested, dict(zip(inner, args[skip + 1 :], strict=True)))
        value = node.meta.get("val")
        if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return self._number(value, node)
        if isinstance(value, (int, float, bool)):
            return value
        if getattr(node.target, "__module__", "") == "_operator" and not _has_node(args):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        new = self.graph.create_node("call_function", node.target, tuple(args), kwargs, name=node.name)
        new.meta = self._meta(node)
        return new

    def _outputs(self, returned: Any) -> tuple[tuple[str, torch.fx.Node], ...]:
        spec = self.exported.call_spec.out_spec
        kinds = [s.kind for s in self.exported.graph_signature.output_specs]
        flat = [n for n, kind in zip(returned, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
        names = [""] * len(flat)
        if spec is not None and spec.num_leaves == len(flat):
            leaves = pytree.tree_flatten_with_path(pytree.tree_unflatten(list(range(len(flat))), spec))[0]
            for path, index in leaves:
                names[index] = pytree.keystr(path).strip("[]'\".")
        return tuple((name, n) for name, n in zip(names, flat, strict=True) if isinstance(n, torch.fx.Node))

    def _meta(self, node: torch.fx.Node) -> dict[str, Any]:
        kept = {key: node.meta[key] for key in ("stack_trace", "nn_module_stack") if key in node.meta}
        kept["val"] = pytree.tree_map_only(torch.Tensor, lambda t: self._shape(t, node), node.meta.get("val"))
        return kept

    def _shape(self, tensor: torch.Tensor, node: torch.fx.Node) -> torch.Tensor:
        shape = [int(self._number(extent, node)) for extent in tensor.shape]
        return torch.empty(shape, dtype=tensor.dtype, device="meta")

    def _number(self, value: Any, node: torch.fx.Node) -> Any:
        """A symbolic number with the chosen extents put in."""
        if not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return value
        expr = value.node.expr.xreplace(self.values)
        if getattr(expr, "free_symbols", None):
            from meshc.frontend.source_locations import node_location

            raise MeshError(
                "M0108",
                f"the shape of {node.target} depends on the values of tensors",
                notes=[f"at {node_location(node)}"],
                helps=["export a forward whose shapes follow from its inputs' shapes alone"],
            )
        if isinstance(value, torch.SymBool):
            return bool(expr)
        return int(expr) if isinstance(value, torch.SymInt) else float(expr)


def _without_mutation(exported: ExportedProgram) -> ExportedProgram:
    """In-place operators rewritten to pure ones where the graph has any; all other operators stay as they are."""
    for module in exported.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            schema = getattr(node.target, "_schema", None)
            if node.op == "call_function" and schema is not None and schema.is_mutable:
                return exported.run_decompositions({})
    return exported


def _identity(tensor: torch.Tensor) -> Any:
    """Equal for tensors that are the same memory seen the same way (tied weights)."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _attribute(module: torch.nn.Module, path: str) -> Any:
    held: Any = module
    for part in path.split("."):
        held = getattr(held, part)
    return held


def _has_node(structure: Any) -> bool:
    return any(isinstance(leaf, torch.fx.Node) for leaf in pytree.tree_leaves(structure))
