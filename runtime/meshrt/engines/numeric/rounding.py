"""Rounding of f32 values to f16 and bf16, to nearest, ties to even, bit for bit as IEEE conversion does."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline
from meshrt.engines.loading.codes import BF16, F16

_U = np.uint32
_HALF = np.float32(0.5)


@inline
def round_f16(x):
    """The f16 nearest to an f32, as an f32: infinite from 65520 on, subnormal below 2**-14."""
    bits = np.float32(x).view(np.uint32)
    sign = _U(bits & _U(0x80000000))
    a = _U(bits ^ sign)
    normal = _U(_U(_U(a + _U(0xFFF)) + _U(_U(a >> _U(13)) & _U(1))) & _U(0xFFFFE000))
    normal = _U(0x7F800000) if normal >= _U(0x47800000) else normal
    # Between 0.5 and 1 an f32 has the spacing of f16's subnormals, so the addition rounds to it.
    subnormal = np.float32(np.float32(a.view(np.float32) + _HALF) - _HALF).view(np.uint32)
    value = subnormal if a < _U(0x38800000) else normal
    value = a if a > _U(0x7F800000) else value
    return _U(value | sign).view(np.float32)


@inline
def round_bf16(x):
    """The bf16 nearest to an f32, as an f32."""
    bits = np.float32(x).view(np.uint32)
    rounded = _U(_U(_U(bits + _U(0x7FFF)) + _U(_U(bits >> _U(16)) & _U(1))) & _U(0xFFFF0000))
    value = bits if _U(bits & _U(0x7FFFFFFF)) > _U(0x7F800000) else rounded
    return _U(value).view(np.float32)


@inline
def round_to(x, dtype):
    """An f32 value as an element of the dtype."""
    if dtype == F16:
        return round_f16(x)
    if dtype == BF16:
        return round_bf16(x)
    return np.float32(x)


@inline
def round_block(values, n, dtype):
    """Round the first n values of an array in place."""
    if dtype == F16:
        for j in range(n):
            values[j] = round_f16(values[j])
    elif dtype == BF16:
        for j in range(n):
            values[j] = round_bf16(values[j])
