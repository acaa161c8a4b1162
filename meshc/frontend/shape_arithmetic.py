"""Evaluates, at one shape, what a graph computes from its shapes alone.

A TorchScript trace records ``x.shape[-1] // 2`` as tensor operators on 0-dimensional tensors, turned back
into integers where a slice needs them. With the input shapes known, each is a number, and is replaced by it;
0-dimensional constants that stand as operands of arithmetic become plain numbers too.
Tensors of one dimension or more are never evaluated: positions stay what they are.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from meshc.frontend.export import EXPORT_FAILURES

#: Operators of two operands, either of which may be a number, as torch.export writes them.
_ARITHMETIC = ("add", "sub", "mul", "div", "rsub", "remainder", "floor_divide", "eq", "ne", "lt", "le", "gt", "ge")


class _Unknown:
    """The value of a node whose shape could not be found; what depends on it is left alone."""


_UNKNOWN = _Unknown()


def fold_shape_arithmetic(module: GraphModule, inputs: Sequence[torch.Tensor], constants: Collection[str]) -> None:
    """Replace shape arithmetic by its results, in place.

    ``inputs`` are samples of the graph's inputs (their shapes matter, their values do not); ``constants`` are
    the attributes that hold constants of the code, not weights.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    values: dict[Node, Any] = {}
    remaining = iter(inputs)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = _fake(mode, next(remaining))
        elif node.op == "get_attr":
            held = operator.attrgetter(node.target)(module)
            constant = node.target in constants and isinstance(held, torch.Tensor) and held.dim() == 0
            values[node] = held if constant or not isinstance(held, torch.Tensor) else _fake(mode, held)
        elif node.op in ("call_function", "call_method"):
            values[node] = _evaluate(mode, node, values)
    _replace(module, values)


def _evaluate(mode: FakeTensorMode, node: Node, values: dict[Node, Any]) -> Any:
    args, kwargs = pytree.tree_map_only(Node, lambda n: values[n], (tuple(node.args), dict(node.kwargs)))
    leaves = pytree.tree_leaves((args, kwargs))
    if any(leaf is _UNKNOWN for leaf in leaves):
        return _UNKNOWN
    known = all(_is_known(leaf) for leaf in leaves)
    try:
        if known:
            result = _call(node, args, kwargs)
            if all(_is_known(leaf) for leaf in pytree.tree_leaves(result)):
                return result
        with mode:
            return _call(node, args, kwargs)
    except EXPORT_FAILURES:
        # What cannot run on shapes alone stays in the graph; the export that follows reports it if it matters.
        return _UNKNOWN


def _call(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _fake(mode: FakeTensorMode, tensor: torch.Tensor) -> torch.Tensor:
    with mode:
        return torch.empty_strided(tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype)


def _is_known(value: Any) -> bool:
    """A plain Python value or a real tensor of no dimensions."""
    if isinstance(value, torch.Tensor):
        return value.dim() == 0 and type(value) in (torch.Tensor, torch.nn.Parameter) and value.device.type == "cpu"
    return not isinstance(value, (torch.nn.Module, torch.SymInt, torch.SymFloat, torch.SymBool))


def _replace(module: GraphModule, values: dict[Node, Any]) -> None:
    graph = module.graph
    for node in list(graph.nodes):
        value = values.get(node, _UNKNOWN)
        if node.op in ("placeholder", "output") or value is _UNKNOWN:
            continue
        if not all(_is_known(leaf) for leaf in pytree.tree_leaves(value)):
            continue
        for user in list(node.users):
            _put(user, node, value)
        if isinstance(value, torch.Tensor) and node.users and node.op != "get_attr":
            name = f"lifted_{node.name}"
            module.register_buffer(name, value)
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.get_attr(name))
    graph.eliminate_dead_code()
    graph.lint()
    module.recompile()


def _put(user: Node, node: Node, value: Any) -> None:
    """Put a known value in the place of a node among a user's arguments, where the user takes numbers there."""
    if isinstance(value, torch.Tensor):
        if not _takes_numbers(user):
            return
        value = value.item()
    elif user.op == "output":
        return

    def swap(argument: Any) -> Any:
        return value if argument is node else argument

    is_node = lambda leaf: isinstance(leaf, Node)  # noqa: E731
    user.args = pytree.tree_map(swap, user.args, is_leaf=is_node)
    user.kwargs = pytree.tree_map(swap, user.kwargs, is_leaf=is_node)


def _takes_numbers(user: Node) -> bool:
    """Whether an operator is arithmetic on a tensor and something else: one of the two may be a number."""
    name = getattr(getattr(user.target, "_schema", None), "name", "").partition("::")[2]
    first = user.args[0] if user.args else None
    tensors = [a for a in user.args if isinstance(a, Node)]
    return name in _ARITHMETIC and isinstance(first, Node) and len(tensors) > 1
