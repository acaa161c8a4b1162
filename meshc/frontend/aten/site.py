"""Where a converter works: one ATen call with its bound arguments and the block that it adds operations to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union

import torch

from meshc.ir.core import Attribute, Builder, TensorType, Value

#: The IR's names of torch dtypes. Every floating-point dtype is f32: a compilation chooses its own.
DTYPES = {
    torch.bool: "i1",
    torch.uint8: "i32",
    torch.int8: "i32",
    torch.int16: "i32",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.float16: "f32",
    torch.bfloat16: "f32",
    torch.float32: "f32",
    torch.float64: "f32",
    torch.complex64: "c64",
    torch.complex128: "c64",
}


@dataclass(frozen=True, slots=True)
class Traced:
    """A tensor that depends on the model's inputs or parameters: its IR value, and its shape on meta."""

    value: Value
    meta: torch.Tensor


#: What an argument of an ATen call holds: a traced tensor, a constant tensor, a number, a list of these.
Held = Union[Traced, torch.Tensor, int, float, bool, str, None, Sequence[Any]]

#: Makes the operations of one call; a tuple for several results, None when it cannot represent the call.
Converter = Callable[["Site"], Union[Value, "tuple[Value, ...]", None]]


@dataclass(frozen=True)
class Site:
    """One ATen call. ``arguments`` are bound by schema name; ``out`` is the result on the meta device."""

    target: str
    arguments: dict[str, Any]
    out: Any
    builder: Builder
    constant: Callable[[torch.Tensor], Value]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or the default where the overload has none of that name."""
        return self.arguments.get(name, default)

    def value(self, held: object) -> Value:
        """The IR value of a tensor argument; constants become ``graph.weight`` operations."""
        if isinstance(held, Traced):
            return held.value
        assert isinstance(held, torch.Tensor), held
        return self.constant(held)

    def operand(self, name: str) -> Value:
        """The IR value of a named tensor argument."""
        return self.value(self.arguments[name])

    def shape(self, name: str) -> tuple[int, ...]:
        """The extents of a named tensor argument."""
        return shape_of(self.arguments[name])

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The extents of the only result."""
        return tuple(self.out.shape)

    @property
    def out_dtype(self) -> str:
        """The IR dtype of the only result."""
        return DTYPES[self.out.dtype]

    def create(
        self, name: str, operands: Sequence[Value], shape: Sequence[int], dtype: str = "f32", /, **attributes: Attribute
    ) -> Value:
        """Add one graph operation with one result."""
        result = TensorType(tuple(int(n) for n in shape), dtype)
        return self.builder.create(f"graph.{name}", operands, [result], attributes).result

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The value with other extents; nothing is added where they are the same."""
        if tuple(shape) == _shape(value):
            return value
        return self.create("reshape", [value], shape, _dtype(value), shape=tuple(int(n) for n in shape))

    def permute(self, value: Value, dims: Sequence[int]) -> Value:
        """The value with its dimensions reordered."""
        if list(dims) == list(range(len(dims))):
            return value
        old = _shape(value)
        return self.create("permute", [value], [old[d] for d in dims], _dtype(value), dims=tuple(dims))

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """The value broadcast to other extents (aligned at the last dimension)."""
        if tuple(shape) == _shape(value):
            return value
        return self.create("expand", [value], shape, _dtype(value), shape=tuple(int(n) for n in shape))

    def slice(self, value: Value, dim: int, start: int, stop: int, step: int = 1) -> Value:
        """Elements start:stop:step of one dimension."""
        shape = list(_shape(value))
        dim %= len(shape)
        start, stop, step = slice(start, stop, step).indices(shape[dim])
        if (start, stop, step) == (0, shape[dim], 1):
            return value
        shape[dim] = max(0, -(-(stop - start) // step))
        extra = {"step": step} if step != 1 else {}
        return self.create("slice", [value], shape, _dtype(value), dim=dim, start=start, stop=stop, **extra)


def shape_of(held: object) -> tuple[int, ...]:
    """The extents of a traced or constant tensor."""
    if isinstance(held, Traced):
        return tuple(held.meta.shape)
    assert isinstance(held, torch.Tensor)
    return tuple(held.shape)


def scalar_of(held: object) -> float | int | None:
    """The number that a Python number or a constant one-element tensor holds; None for anything else."""
    if isinstance(held, (bool, int, float)):
        return held
    if isinstance(held, torch.Tensor) and held.numel() == 1 and held.device.type != "meta" and not held.is_complex():
        return shortest(held)
    return None


def shortest(tensor: torch.Tensor) -> float | int:
    """A one-element tensor's number; of the decimals that round to it in its own dtype, the shortest."""
    number = tensor.item()
    if tensor.dtype == torch.float32 and number == number and abs(number) != float("inf"):
        for digits in range(1, 10):
            short = float(f"{number:.{digits}g}")
            if torch.tensor(short, dtype=torch.float32).item() == number:
                return short
    return number


def _shape(value: Value) -> tuple[int, ...]:
    assert isinstance(value.type, TensorType)
    return value.type.shape


def _dtype(value: Value) -> str:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
