"""What a mesh program is: plain frozen data, written to and read from ``program.mesh``.

A :class:`Program` holds regions. A :class:`Region` holds four independent maps from
strided rectangles of PEs: parameters, buffers (with their weight placements), routes
and code; plus the 1-D tables and runtime scalars that index expressions read, and the
host ports on its edges. Nothing here depends on a target or runs anything.

Line numbers (``line``) point into the text that was parsed, or are 0; they never take
part in comparison, so ``parse(print(program)) == program``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Union

from meshrt.program.expr import Expr, Int

DType = Literal["f32", "f16", "bf16", "i32"]
#: Bytes that one element of each dtype takes in SRAM and on the wire.
DTYPE_BYTES: dict[str, int] = {"f32": 4, "f16": 2, "bf16": 2, "i32": 4}
#: Router ports: the four neighbours and the PE's own.
PORTS = ("N", "E", "S", "W", "RAMP")
#: The version written at the head of ``program.mesh``.
PROGRAM_VERSION = 1


@dataclass(frozen=True, slots=True)
class Rect:
    """A strided rectangle of PEs, half open: x in ``range(x0, x1, xs)``, y likewise."""

    x0: int
    x1: int
    y0: int
    y1: int
    xs: int = 1
    ys: int = 1

    def __contains__(self, pe: tuple[int, int]) -> bool:
        x, y = pe
        return x in range(self.x0, self.x1, self.xs) and y in range(self.y0, self.y1, self.ys)

    @property
    def count(self) -> int:
        """How many PEs it holds."""
        return len(range(self.x0, self.x1, self.xs)) * len(range(self.y0, self.y1, self.ys))


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension of a view: how many elements, and how far apart in the buffer (in elements)."""

    extent: Expr
    stride: Expr


@dataclass(frozen=True, slots=True)
class View:
    """Part of a buffer: ``dims`` of None is the whole buffer in its own shape; offsets are in elements."""

    buffer: str
    offset: Expr = Int(0)
    dims: tuple[Dim, ...] | None = None


#: An argument of an instruction: part of a buffer, or an immediate number.
Arg = Union[View, float]
#: The value of an option: an index expression, a number, a word, or words (ports, say).
OptionValue = Union[Expr, float, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. ``options`` are in the order of the instruction table."""

    opcode: str
    args: tuple[Arg, ...] = ()
    options: tuple[tuple[str, OptionValue], ...] = ()
    line: int = field(default=0, compare=False)

    def option(self, name: str, default: OptionValue | None = None) -> OptionValue | None:
        """The option's value, or the default where it is absent."""
        for key, value in self.options:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class For:
    """``for counter in start..stop [until flag] { body }``: a counted loop.

    The bounds are index expressions, the stop is exclusive. With ``until`` it also ends after
    the first round in which that one-element view is not zero.
    """

    counter: str
    start: Expr
    stop: Expr
    body: tuple[Statement, ...]
    until: View | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class If:
    """``if condition { then } else { otherwise }``."""

    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Until:
    """``until flag { body }``: repeat until the one-element view is not zero after the body."""

    flag: View
    body: tuple[Statement, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class OpScope:
    """``op N { body }``: these statements belong to entry N of the program's op table (for reports)."""

    op: int
    body: tuple[Statement, ...]
    line: int = field(default=0, compare=False)


Statement = Union[Instruction, For, If, Until, OpScope]


@dataclass(frozen=True, slots=True)
class OpInfo:
    """One source operation: its name in the graph, the user's line (``file:line``, or empty), and its phase.

    Phases are what a run does one after the other, such as prefill and decode; a program of one names none.
    """

    name: str
    location: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A 1-D table of integers that index expressions read as ``name[index]``."""

    name: str
    entries: tuple[int, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A runtime scalar: an integer given to each run, ``low <= value <= high``."""

    name: str
    low: int
    high: int
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Param:
    """A named integer of each PE in the rectangle, computed once from x, y, scalars and earlier parameters."""

    rect: Rect
    name: str
    value: Expr
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Buffer:
    """SRAM of each PE in the rectangle: ``shape`` elements of ``dtype`` from byte ``address`` on."""

    rect: Rect
    name: str
    dtype: str
    shape: tuple[int, ...]
    address: int
    line: int = field(default=0, compare=False)

    @property
    def elements(self) -> int:
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    @property
    def bytes(self) -> int:
        return self.elements * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class ElementRange:
    """An element index of a placement: it runs over ``range(start, stop)`` of one buffer dimension."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Placement:
    """What lies in a buffer before the run: for each element, which entry of which source tensor.

    ``tensor`` may hold index expressions in braces (``"layers.{l}.weight"``) over the
    element indices. ``indices`` has one expression per dimension of the tensor; an entry
    outside the tensor is zero.
    """

    rect: Rect
    buffer: str
    ranges: tuple[ElementRange, ...]
    tensor: str
    indices: tuple[Expr, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """The initial configuration of one color in the routers of a rectangle: one input, some outputs."""

    rect: Rect
    color: int
    source: str
    destinations: tuple[str, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Port:
    """A host port on edge routers: streams enter (``in``) or leave (``out``) the region there.

    Each edge PE of ``rect`` carries ``count`` elements (an index expression, zero where
    that PE carries none), or fewer where an ``out`` port is not ``exact``; element number
    ``e`` of PE (x, y) is the tensor's entry ``indices(e, x, y)``; what lies outside the
    tensor is zero on the way in and dropped on the way out.
    """

    name: str
    direction: str
    side: str
    rect: Rect
    color: int
    dtype: str
    shape: tuple[int, ...]
    count: Expr
    indices: tuple[Expr, ...]
    exact: bool = True
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Code:
    """The code of every PE in the rectangle. Code rectangles do not overlap."""

    rect: Rect
    name: str
    body: tuple[Statement, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of PEs at an origin on the fabric; everything in it is relative to it."""

    name: str
    origin: tuple[int, int]
    width: int
    height: int
    scalars: tuple[Scalar, ...] = ()
    tables: tuple[Table, ...] = ()
    params: tuple[Param, ...] = ()
    buffers: tuple[Buffer, ...] = ()
    placements: tuple[Placement, ...] = ()
    routes: tuple[Route, ...] = ()
    ports: tuple[Port, ...] = ()
    codes: tuple[Code, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program: the op table and the regions."""

    ops: tuple[OpInfo, ...] = ()
    regions: tuple[Region, ...] = ()
    version: int = PROGRAM_VERSION


def instructions_in(body: tuple[Statement, ...]) -> list[Instruction]:
    """Every instruction in the body, in text order, those in nested statements included."""
    found: list[Instruction] = []
    for statement in body:
        match statement:
            case Instruction():
                found.append(statement)
            case If(_, then, otherwise):
                found += instructions_in(then) + instructions_in(otherwise)
            case For(body=inner) | Until(body=inner) | OpScope(body=inner):
                found += instructions_in(inner)
    return found


def code_instructions(body: tuple[Statement, ...]) -> int:
    """How many instructions the body takes in SRAM: each instruction, loop and branch is one.

    A ``for`` that a flag may end is a loop and a branch.
    """
    total = 0
    for statement in body:
        match statement:
            case Instruction():
                total += 1
            case If(_, then, otherwise):
                total += 1 + code_instructions(then) + code_instructions(otherwise)
            case For(body=inner, until=flag):
                total += (1 if flag is None else 2) + code_instructions(inner)
            case Until(body=inner):
                total += 1 + code_instructions(inner)
            case OpScope(body=inner):
                total += code_instructions(inner)
    return total
