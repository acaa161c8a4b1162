"""Random numbers made on the wafer: a counter and a key, mixed by multiplications and rotations of integers.

The generator is counter-based (Salmon and others, *Parallel Random Numbers: As Easy as 1, 2,
3*, SC'11): number n of a seed is a function of both and of nothing that came before, so the
same seed gives the same text whatever else runs, on every engine and on every grid. A round is
that of RC6 (Rivest and others, 1998), ``h = h (2 h + 1)`` and a rotation by half a word, then the key is
added. All of it is arithmetic of 32-bit integers, which wraps around and is exact
everywhere; ``div`` rounds down and so shifts.

:func:`uniform_of` is the same function in numpy: for tests, and for whoever wants to foretell
a run.
"""

from __future__ import annotations

import numpy as np

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshrt.program.expr import ExprLike
from meshrt.program.model import View

#: Odd numbers without a pattern: what a seed starts from, and what counters are multiplied with.
_START = 747796405
_STEP = 1640531527
ROUNDS = 4
#: Random bits of a number: as many as f32 holds exactly.
BITS = 24
#: Seeds are below this.
SEEDS = 1 << 31


def emit_key(builder: MeshBuilder, seed: ExprLike) -> MeshBuffer:
    """Append the key of a seed: i32[1], alike in every PE."""
    key, start = builder.buffer("random_key", "i32", 1), builder.buffer("random_start", "i32", 1)
    builder.emit("index", key, value=seed)
    builder.emit("fma", key, key, float(_STEP), float(_START))
    builder.emit("index", start, value=_START)
    _mix(builder, key, start.whole)
    return key


def emit_uniform(builder: MeshBuilder, key: MeshBuffer, count: int, number: ExprLike) -> MeshBuffer:
    """Append ``count`` numbers of f32 between zero and one, neither of which they are.

    ``number`` says which of the seed's numbers each is: an expression over the element index ``i0``.
    """
    bits = builder.buffer("random_bits", "i32", count)
    numbers = builder.buffer("random", "f32", count)
    keys = key.at(0, (count, 0))
    builder.emit("index", bits, value=number)
    builder.emit("fma", bits, bits, float(_STEP), keys)
    _mix(builder, bits, keys)
    # The upper bits, as a number from 0 on: a shift keeps the sign.
    builder.emit("div", bits, bits, float(1 << (32 - BITS)))
    builder.emit("add", bits, bits, float(1 << (BITS - 1)))
    builder.emit("copy", numbers, bits)
    builder.emit("mul", numbers, numbers, 2.0**-BITS)
    builder.emit("max", numbers, numbers, 2.0 ** -(BITS + 1))
    return numbers


def _mix(builder: MeshBuilder, bits: MeshBuffer, key: View) -> None:
    other = builder.buffer("random_other", "i32", *bits.shape)
    with builder.loop("round", ROUNDS):
        builder.emit("fma", other, bits, 2.0, 1.0)
        builder.emit("mul", bits, bits, other)
        builder.emit("div", other, bits, float(1 << 16))
        builder.emit("fma", bits, bits, float(1 << 16), other)
        builder.emit("add", bits, bits, key)


def uniform_of(seed: int, numbers: np.ndarray) -> np.ndarray:
    """The numbers that :func:`emit_uniform` makes of a seed: int [..] to float32 [..]."""
    with np.errstate(over="ignore"):
        start = np.array([seed], np.int32) * np.int32(_STEP) + np.int32(_START)
        key = _mixed(start, np.array([_START], np.int32))
        bits = _mixed(np.asarray(numbers).astype(np.int32) * np.int32(_STEP) + key, key)
    upper = (bits >> np.int32(32 - BITS)) + np.int32(1 << (BITS - 1))
    return np.maximum(upper.astype(np.float32) * np.float32(2.0**-BITS), np.float32(2.0 ** -(BITS + 1)))


def _mixed(bits: np.ndarray, key: np.ndarray) -> np.ndarray:
    for _ in range(ROUNDS):
        bits = bits * (np.int32(2) * bits + np.int32(1))
        bits = bits * np.int32(1 << 16) + (bits >> np.int32(16))
        bits = bits + key
    return bits
