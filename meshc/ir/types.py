"""Text of value types: ``tensor<1x64x576xf32>`` and the parametric types of the dialects.

A dialect adds a type by deriving a frozen dataclass from :class:`ParametricType`. Its text
is ``mnemonic<positional, ..., field = value, ...>``; the fields are attribute values::

    @dataclass(frozen=True, slots=True)
    class ShardType(ParametricType):
        mnemonic: ClassVar[str] = "shard"
        positional: ClassVar[tuple[str, ...]] = ("tensor",)
        tensor: TensorType
        x: int | None = None          # the dimension that lies along x

    shard<tensor<1x64x576xf32>, x = 2>

Nothing is registered globally: a type prints itself, and the parser is given the classes
that it may meet (:attr:`meshc.ir.spec.Dialect.types`). What a field takes is its annotation
(see :mod:`meshc.ir.typed_values`).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from meshc.ir.core import TensorType, Type

#: The element types of tensors: floating point, integers, ``i1`` for truth values, ``c64`` for complex numbers.
DTYPES = ("f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "i1", "c64")

_TENSOR = re.compile(r"tensor<((?:\d{1,18}x)*)([a-z][a-z0-9]*)>", re.ASCII)


def tensor_text(type: TensorType) -> str:
    """``tensor<1x64x576xf32>``; a scalar is ``tensor<f32>``."""
    return f"tensor<{''.join(f'{extent}x' for extent in type.shape)}{type.dtype}>"


def read_tensor(text: str) -> TensorType:
    """The tensor type that a text stands for. Raises ValueError, with the reason, where it is none."""
    match = _TENSOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} is not a tensor type: it is written tensor<1x64x576xf32>, extents and then a dtype")
    extents, dtype = match.groups()
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}: a tensor holds {', '.join(DTYPES)}")
    return TensorType(tuple(int(extent) for extent in extents.split("x")[:-1]), dtype)


@dataclass(frozen=True, slots=True)
class ParametricType(Type):
    """Base of the types that a dialect adds; see the module's text for how to derive one."""

    #: The word before ``<``.
    mnemonic: ClassVar[str]
    #: Fields that are written first and without their names.
    positional: ClassVar[tuple[str, ...]] = ()

    def parameters(self) -> dict[str, Any]:
        """The fields that are written, in order: those that differ from their defaults."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        names = (*self.positional, *(name for name in fields if name not in self.positional))
        return {
            name: value
            for name in names
            if (value := getattr(self, name)) != fields[name].default or name in self.positional
        }
