"""The values that the options of instructions take, by the kinds of the instruction table."""

from __future__ import annotations

from typing import Any

from meshrt.program.expr import Expr, Int, Name
from meshrt.program.instructions import OptionSpec
from meshrt.program.model import PORTS, OptionValue
from meshrt.program.problems import is_name


def option_words(option: OptionSpec) -> str:
    """What an option's value must be."""
    if option.words:
        return " or ".join(repr(word) for word in option.words)
    return {
        "expr": "an index expression",
        "number": "a number",
        "word": "a word",
        "words": "words in brackets",
        "port": f"a port: {', '.join(PORTS)}",
        "ports": f"ports in brackets, of {', '.join(PORTS)}",
        "handle": "the name of a handle",
    }[option.kind]


def typed_option(option: OptionSpec, value: Any) -> OptionValue | None:
    """A value as the text has it in the form that the option's kind asks for, None where it does not fit."""
    match option.kind, value:
        case "expr", Expr():
            return value
        case "number", float():
            return value
        case "number", Int(number):
            return float(number)
        case "word" | "handle" | "port", Name(word) if not word.startswith("@"):
            fits = (not option.words or word in option.words) and (option.kind != "port" or word in PORTS)
            return word if fits else None
        case "words" | "ports", Name(word):
            return typed_option(option, (word,))
        case "words" | "ports", tuple():
            return value if value and (option.kind != "ports" or all(w in PORTS for w in value)) else None
    return None


def option_fits(option: OptionSpec, value: OptionValue) -> bool:
    """Whether a value of a program has the form that the option's kind asks for."""
    match option.kind:
        case "expr":
            return isinstance(value, Expr)
        case "number":
            return isinstance(value, float | int)
        case "word":
            return isinstance(value, str) and (not option.words or value in option.words)
        case "handle":
            return isinstance(value, str) and is_name(value)
        case "port":
            return value in PORTS
        case "ports":
            return isinstance(value, tuple) and bool(value) and all(port in PORTS for port in value)
    return isinstance(value, tuple)
