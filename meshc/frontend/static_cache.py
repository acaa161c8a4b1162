"""Exports of one token with a static cache (transformers' ``TorchExportableModuleWithStaticCache``).

Such an export takes a token of each sequence and its position, writes the token's keys and values
into caches of a fixed length N, and attends to the caches under a mask that follows from the
position. All of this is known for every position from 0 to N - 1, so the export is read for all
of them at once, which gives the graph of a prompt of N tokens: what depends on the position
alone is computed for each of them, where it meets tokens it gets their dimension, and a cache
that has been written at all positions *is* the keys. What follows (fusing, ``derive-decode``) is
then the same as for an export of whole prompts.

Where the tokens lie in a shape, one extent of which is 1, is found with a second shape of
every value, in which that extent is a large prime.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, TensorArgument
from torch.utils import _pytree as pytree

from meshc.frontend.aten.site import Held, Traced
from meshc.frontend.extents import token_input
from meshc.frontend.interpreter import CHECKS, Interpreter, in_f32, moved_to_meta
from meshc.frontend.source_locations import node_location
from meshc.frontend.source_tensors import on_meta, packet_of
from meshrt.diagnostics import MeshError

#: Stands for the number of tokens in probed shapes: no extent of a model is a multiple of it.
_TOKENS = 1_000_003

#: Operators whose arguments spell out the shape of their result.
_SPELLED = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.expand")


@dataclass(frozen=True, slots=True)
class StaticCache:
    """The caches of an export: their length, and the name of the input that says the token's position."""

    length: int
    position: str

    @classmethod
    def of(cls, exported: ExportedProgram) -> StaticCache | None:
        """Find them: buffers written by ``index_copy``, and an integer input of one element beside the ids."""
        buffers = exported.graph_signature.buffers_to_mutate.values()
        names = exported.graph_signature.inputs_to_buffers
        lengths = set()
        for node in exported.graph.nodes:
            if node.op == "call_function" and packet_of(node.target) == "aten.index_copy":
                cache, dim = node.args[:2]
                if names.get(cache.name) in buffers:
                    lengths.add(cache.meta["val"].shape[dim])
        ids, _ = token_input(exported)
        placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
        found = [
            spec.arg.name
            for spec, node in zip(exported.graph_signature.input_specs, placeholders, strict=True)
            if spec.kind == InputKind.USER_INPUT
            and isinstance(spec.arg, TensorArgument)
            and spec.arg.name != ids
            and tuple(node.meta["val"].shape) == (1,)
            and not node.meta["val"].dtype.is_floating_point
        ]
        if len(lengths) != 1 or len(found) != 1:
            return None
        return cls(lengths.pop(), found[0])


@dataclass(frozen=True, slots=True)
class Varying:
    """A constant for each position: a tensor with the positions as a leading dimension."""

    stack: torch.Tensor


@dataclass(frozen=True, slots=True)
class Wide(Traced):
    """A value of all tokens. ``probe`` is its shape with a prime in the place of the number of tokens.

    ``merged``: the dimension of the tokens took in the one before it.
    """

    probe: torch.Tensor
    merged: bool = False

    @property
    def tokens(self) -> int | None:
        """The dimension in which the tokens lie."""
        return next((i for i, n in enumerate(self.probe.shape) if not n % _TOKENS), None)


class StaticCacheInterpreter(Interpreter):
    """Interprets an export with a static cache for all positions at once."""

    def __init__(self, exported: ExportedProgram, symbols: Any, cache: StaticCache):
        super().__init__(exported, symbols)
        self.cache = cache

    def _input(self, node: torch.fx.Node, name: str) -> Held:
        value = node.meta["val"]
        if name == self.cache.position:
            return Varying(torch.arange(self.cache.length, dtype=value.dtype)[:, None])  # type: ignore[return-value]
        if isinstance(value, torch.Tensor) and tuple(value.shape[1:]) == (1,):
            wide = self._argument(name, value.dtype, (value.shape[0], self.cache.length))
            return Wide(wide.value, wide.meta, on_meta(value.dtype, (value.shape[0], _TOKENS)))
        return super()._input(node, name)

    def _call(self, node: torch.fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        target: Any = node.target
        leaves = pytree.tree_leaves((args, kwargs))
        varying = any(isinstance(leaf, Varying) for leaf in leaves)
        wide = any(isinstance(leaf, Wide) for leaf in leaves)
        if str(target).startswith(CHECKS) or not (varying or wide) or not hasattr(target, "_schema"):
            return super()._call(node, args, kwargs)
        if not any(isinstance(leaf, Traced) for leaf in leaves):
            if packet_of(target) == "aten.copy" and args[0].shape == args[1].stack.shape[1:]:
                # What lay there before does not matter.
                return args[1]
            return _of_each_position(target, args, kwargs)
        if packet_of(target) == "aten.index_copy":
            return self._written(node, *args)
        back = 1 if not wide else self._from_the_right(leaves)
        args, kwargs = pytree.tree_map_only(Varying, lambda v: self._settled(v, back, node), (args, kwargs))
        return self._on_all_tokens(node, args, kwargs)

    def _from_the_right(self, leaves: list[Any]) -> int:
        """The dimension of the tokens, from the right, in the first operand that has one."""
        for leaf in leaves:
            if isinstance(leaf, Wide) and leaf.tokens is not None:
                return leaf.probe.dim() - leaf.tokens
        return 1

    def _settled(self, varying: Varying, back: int, node: torch.fx.Node) -> Wide:
        """A constant of each position as one of all tokens, which lie in the dimension ``back`` from the right."""
        stack = varying.stack
        while stack.dim() - 1 < back:
            stack = stack.unsqueeze(1)
        dim = stack.dim() - 1 - back
        if stack.shape[dim + 1] != 1:
            raise self._unknown(node, f"a constant of each position has the extent {stack.shape[dim + 1]} for a token")
        whole = stack.movedim(0, dim).squeeze(dim + 1)
        shape = list(whole.shape)
        shape[dim] = _TOKENS
        return Wide(self.sources.constant(whole), on_meta(whole.dtype, whole.shape), on_meta(whole.dtype, shape))

    def _written(self, node: torch.fx.Node, cache: Any, dim: int, index: Any, source: Any) -> Wide:
        """A cache after all positions have been written, each with its token's: the keys or values themselves."""
        positions = torch.arange(self.cache.length)[:, None]
        in_order = isinstance(index, Varying) and torch.equal(index.stack.long(), positions)
        if not in_order or not isinstance(source, Wide) or source.tokens != dim % source.probe.dim():
            raise self._unknown(node, "a cache is not written at the token's position")
        return Wide(source.value, source.meta, source.meta)

    def _on_all_tokens(self, node: torch.fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """One call for all tokens."""
        target: Any = node.target
        if packet_of(target) in _SPELLED:
            probe, merged = self._spelled(node, args[0])
        else:
            merged = any(isinstance(leaf, Wide) and leaf.merged for leaf in pytree.tree_leaves((args, kwargs)))
            probed = pytree.tree_map_only(Wide, lambda v: v.probe, (args, kwargs))
            args_, kwargs_ = moved_to_meta(in_f32(probed))
            probe = target(*args_, **kwargs_)
        out = pytree.tree_map_only(torch.Tensor, self._real, probe)
        made = self._convert(node, args, kwargs, out)
        if isinstance(made, Traced):
            return Wide(made.value, made.meta, probe, merged)
        return tuple(Wide(m.value, m.meta, p, merged) for m, p in zip(made, probe, strict=False))

    def _real(self, probe: torch.Tensor) -> torch.Tensor:
        """The shape that a probed one stands for."""
        return on_meta(probe.dtype, [n // _TOKENS * self.cache.length if not n % _TOKENS else n for n in probe.shape])

    def _spelled(self, node: torch.fx.Node, x: Wide) -> tuple[torch.Tensor, bool]:
        """The probed result of a call whose arguments spell out its shape for one token."""
        shape = list(node.meta["val"].shape)
        tokens = x.tokens
        if tokens is None:
            return on_meta(x.probe.dtype, shape), False
        if packet_of(node.target) == "aten.expand":
            shape[len(shape) - (x.probe.dim() - tokens)] = x.probe.shape[tokens]
            return on_meta(x.probe.dtype, shape), x.merged
        before = math.prod(x.probe.shape[:tokens]) * (x.probe.shape[tokens] // _TOKENS)
        fitting = [i for i, n in enumerate(shape) if n == 1 and math.prod(shape[:i]) == before]
        expected = tokens + 1 if x.merged else tokens
        if fitting:
            # Extents of 1 leave a choice: most views keep the leading dimensions, or merge and split batch and tokens.
            dim = expected if expected in fitting else fitting[-1]
            shape[dim] = _TOKENS
            return on_meta(x.probe.dtype, shape), dim < tokens
        for dim in range(len(shape)):
            if math.prod(shape[: dim + 1]) == before:
                shape[dim] *= _TOKENS
                return on_meta(x.probe.dtype, shape), True
        raise self._unknown(node, "a view mixes the token with other dimensions")

    def _unknown(self, node: torch.fx.Node, reason: str) -> MeshError:
        return MeshError(
            "M0113",
            "the export has a static cache that is not used as one",
            place=node_location(node).place,
            notes=[reason],
            helps=["trace the model without a cache (meshc trace): decode is derived from the whole prompt"],
        )


def _of_each_position(target: Any, args: list[Any], kwargs: dict[str, Any]) -> Varying:
    """A call on constants of each position, and on others that are the same for all."""
    leaves, spec = pytree.tree_flatten((in_f32(args), in_f32(kwargs)))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Varying)]

    def once(*stacks: torch.Tensor) -> Any:
        filled = list(leaves)
        for place, each in zip(places, stacks, strict=True):
            filled[place] = each
        args, kwargs = pytree.tree_unflatten(filled, spec)
        return target(*args, **kwargs)

    return Varying(torch.vmap(once)(*(leaves[place].stack for place in places)))
