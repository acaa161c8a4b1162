"""Elementwise functions: how each is computed from the instructions of a PE.

A recipe is a sequence of steps ``(opcode, operands)``; an operand is ``"x"`` (the input),
``"r"`` (the result so far) or a number. Every step writes ``r``. The formulas are torch's:
GELU's tanh form (Hendrycks and Gimpel, 2016, eq. 2), GELU by the error function, quick
GELU ``x * sigmoid(1.702 x)``.
"""

from __future__ import annotations

#: A step: the opcode and its operands.
Step = tuple[str, tuple["str | float", ...]]

#: Unary functions by name.
UNARY: dict[str, tuple[Step, ...]] = {
    "silu": (("sigmoid", ("x",)), ("mul", ("r", "x"))),
    "gelu": (
        ("mul", ("x", 0.7071067811865476)),
        ("erf", ("r",)),
        ("add", ("r", 1.0)),
        ("mul", ("r", "x")),
        ("mul", ("r", 0.5)),
    ),
    "gelu_tanh": (
        ("mul", ("x", "x")),
        ("fma", ("r", 0.044715, 1.0)),
        ("mul", ("r", "x")),
        ("mul", ("r", 0.7978845608028654)),
        ("tanh", ("r",)),
        ("add", ("r", 1.0)),
        ("mul", ("r", "x")),
        ("mul", ("r", 0.5)),
    ),
    "gelu_quick": (("mul", ("x", 1.702)), ("sigmoid", ("r",)), ("mul", ("r", "x"))),
    "relu": (("max", ("x", 0.0)),),
    "relu_squared": (("max", ("x", 0.0)), ("mul", ("r", "r"))),
    "sigmoid": (("sigmoid", ("x",)),),
    "tanh": (("tanh", ("x",)),),
    "exp": (("exp", ("x",)),),
    "log": (("log", ("x",)),),
    "sin": (("sin", ("x",)),),
    "cos": (("cos", ("x",)),),
    "erf": (("erf", ("x",)),),
    "sqrt": (("sqrt", ("x",)),),
    "rsqrt": (("rsqrt", ("x",)),),
    "square": (("mul", ("x", "x")),),
    "neg": (("mul", ("x", -1.0)),),
    "abs": (("mul", ("x", -1.0)), ("max", ("r", "x"))),
    "expm1": (("exp", ("x",)), ("sub", ("r", 1.0))),
    "log1p": (("add", ("x", 1.0)), ("log", ("r",))),
    "hardsigmoid": (("fma", ("x", 0.16666666666666666, 0.5)), ("max", ("r", 0.0)), ("min", ("r", 1.0))),
    "hardswish": (
        ("fma", ("x", 0.16666666666666666, 0.5)),
        ("max", ("r", 0.0)),
        ("min", ("r", 1.0)),
        ("mul", ("r", "x")),
    ),
    "mish": (("exp", ("x",)), ("add", ("r", 1.0)), ("log", ("r",)), ("tanh", ("r",)), ("mul", ("r", "x"))),
    "reciprocal": (("div", (1.0, "x")),),
    "identity": (("copy", ("x",)),),
}

#: Unary functions that give something else than zero for zero, so that padding must be cleared after them.
NOT_ZERO_AT_ZERO = ("cos", "exp", "hardsigmoid", "log", "reciprocal", "rsqrt", "sigmoid")

#: Unary functions that are infinite at zero: also their product with the zero of padding must be cleared.
INFINITE_AT_ZERO = ("log", "reciprocal", "rsqrt")

#: Binary functions by name, each one instruction.
BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "maximum": "max", "minimum": "min"}
