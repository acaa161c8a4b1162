"""The tensors of an export as weights of the graph: their names, which are tied, and constants beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from typing import Any

import torch
from torch.export import ExportedProgram

from meshc.frontend.aten.site import DTYPES, Traced
from meshc.ir.core import Block, Operation, TensorType, Value

#: Floating-point dtypes that constants are not computed in: their sources may be exact, their casts are not.
NARROW_FLOATS = (torch.float16, torch.bfloat16)


class SourceTensors:
    """Weights by name, and the ``graph.weight`` operation of each, in a block of their own.

    ``tables`` are the names of the parameters that embeddings look up in.
    """

    def __init__(self, tables: Set[str]):
        self.weights: dict[str, torch.Tensor] = {}
        self.block = Block()
        self._tables = tables
        self._values: dict[str, Value] = {}
        self._named: dict[int, tuple[torch.Tensor, str]] = {}
        self._tied: dict[tuple[Any, ...], str] = {}
        self._by_content: dict[tuple[Any, ...], str] = {}

    def parameter(self, name: str, tensor: torch.Tensor) -> Traced:
        """A parameter by its own name; parameters that share storage, or an embedding's content, share a name."""
        key: tuple[Any, ...] = (id(tensor),)
        if tensor.device.type != "meta":
            key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        if key not in self._tied:
            self._tied[key] = self._same_table(name, tensor) or name
        name = self._tied[key]
        self.weights.setdefault(name, tensor.detach())
        return Traced(self._weight(name, tensor), on_meta(tensor.dtype, tensor.shape))

    def _same_table(self, name: str, tensor: torch.Tensor) -> str | None:
        """The name of an embedding with the same content: an output head that was saved apart from it."""
        if tensor.dim() != 2 or tensor.device.type == "meta":
            return None
        for other, held in self.weights.items():
            alike = held.shape == tensor.shape and held.dtype == tensor.dtype
            if alike and (name in self._tables or other in self._tables) and torch.equal(held, tensor):
                return other
        return None

    def buffer(self, name: str, tensor: torch.Tensor, writes: bool) -> torch.Tensor:
        """A buffer or lifted constant, to be computed with; cloned where the trace writes into tensors."""
        if tensor.device.type == "meta":
            tensor = stand_in(tensor)
        tensor = tensor.detach()
        if tensor.dtype in NARROW_FLOATS:
            tensor = tensor.float()
        elif writes:
            tensor = tensor.clone()
        self._named[id(tensor)] = (tensor, f"const.{name}")
        return tensor

    def _weight(self, name: str, tensor: torch.Tensor) -> Value:
        if name not in self._values:
            kind = TensorType(tuple(tensor.shape), DTYPES[tensor.dtype])
            op = Operation("graph.weight", [], [kind], {"name": name})
            self._values[name] = self.block.append(op).result
        return self._values[name]

    def constant(self, tensor: torch.Tensor) -> Value:
        """The weight that holds a constant; equal constants are one weight."""
        if id(tensor) in self._named:
            name = self._named[id(tensor)][1]
        else:
            flat = tensor.contiguous().reshape(-1)
            content = hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).digest() if flat.numel() else b""
            key = (tuple(tensor.shape), tensor.dtype, content)
            name = self._by_content.setdefault(key, f"const.{len(self._by_content)}")
        self.weights.setdefault(name, tensor.contiguous())
        return self._weight(name, tensor)


def stand_in(tensor: torch.Tensor) -> torch.Tensor:
    """Plausible values for a buffer without data (a model traced on the meta device).

    A timing-only build needs the *kind* of a mask or rotary embedding, not its numbers: square integer or
    boolean buffers become causal masks, vectors the usual rotary frequencies, the rest ones.
    """
    shape = tuple(tensor.shape)
    if not tensor.dtype.is_floating_point:
        if len(shape) >= 2 and shape[-1] == shape[-2]:
            return torch.ones(shape, dtype=tensor.dtype).tril()
        return torch.arange(tensor.numel(), dtype=torch.int64).to(tensor.dtype).reshape(shape)
    if len(shape) == 1 and shape[0] > 1:
        return (10000.0 ** (-torch.arange(shape[0], dtype=torch.float32) / shape[0])).to(tensor.dtype)
    return torch.ones(shape, dtype=tensor.dtype)


def embedding_tables(exported: ExportedProgram) -> set[str]:
    """Names of the parameters that embeddings look up in."""
    signature = exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    found = set()
    for node in exported.graph.nodes:
        if node.op == "call_function" and packet_of(node.target) == "aten.embedding":
            table = node.args[0]
            if isinstance(table, torch.fx.Node) and table.name in names:
                found.add(names[table.name])
    return found


def packet_of(target: Any) -> str:
    """``aten.view`` of ``aten.view.default``."""
    return ".".join(str(target).split(".")[:2])


def on_meta(dtype: torch.dtype, shape: Iterable[int]) -> torch.Tensor:
    """A tensor without data; f16 and bf16 are f32."""
    return torch.empty(tuple(shape), dtype=torch.float32 if dtype in NARROW_FLOATS else dtype, device="meta")
