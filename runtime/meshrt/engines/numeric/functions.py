"""Elementwise instructions by number, and the scalar functions among them: both engines compute these alike."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from meshrt.compiled import native

(
    COPY,
    ADD,
    SUB,
    MUL,
    MAX,
    MIN,
    FMA,
    DIV,
    SQRT,
    RSQRT,
    EXP,
    LOG,
    SIN,
    COS,
    TANH,
    ERF,
    SIGMOID,
) = range(17)
#: Elementwise instructions by opcode.
ELEMENTWISE = MappingProxyType(
    {
        "copy": COPY,
        "add": ADD,
        "sub": SUB,
        "mul": MUL,
        "max": MAX,
        "min": MIN,
        "fma": FMA,
        "div": DIV,
        "sqrt": SQRT,
        "rsqrt": RSQRT,
        "exp": EXP,
        "log": LOG,
        "sin": SIN,
        "cos": COS,
        "tanh": TANH,
        "erf": ERF,
        "sigmoid": SIGMOID,
    }
)


@native
def special(op, x):
    """Roots and transcendental functions of one f32, rounded to f32."""
    x = np.float64(x)
    if op == SQRT:
        y = math.sqrt(x) if x >= 0 else math.nan
    elif op == RSQRT:
        y = 1.0 / math.sqrt(x) if x >= 0 else math.nan
    elif op == EXP:
        y = math.exp(x)
    elif op == LOG:
        y = math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)
    elif op == SIN:
        y = math.sin(x)
    elif op == COS:
        y = math.cos(x)
    elif op == TANH:
        y = math.tanh(x)
    elif op == ERF:
        y = math.erf(x)
    else:
        y = 1.0 / (1.0 + math.exp(-x))
    return np.float32(y)
