"""Acts on the memory of each PE alone: arithmetic of all kinds, under conditions that follow from the PE."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.expr import Expr, Int, Name, X, Y
from meshrt.program.model import View
from tests.differential.sheet import VECTORS, Sheet
from tests.differential.statements import Body, do, loop, part, when

BINARY = ("add", "sub", "max", "min", "mul", "div")
UNARY = ("copy", "sqrt", "rsqrt", "exp", "log", "sin", "cos", "tanh", "erf", "sigmoid")
#: What i32 takes part in; its products would leave the 32 bits.
INTEGER = ("add", "sub", "max", "min", "copy")
SPECIAL = ("fma", "gemm", "gemm_t", "sum", "reduce_max", "fill", "index", "gather", "rotate", "convert")
#: What reads no part of its result.
APART = ("gemm", "gemm_t", "sum", "reduce_max", "gather", "rotate")
FORMS = ("plain", "reversed", "repeated")
CONDITIONS = ("always", "even", "checkered", "west", "table", "scalar", "round")


def condition(kind: str, sheet: Sheet) -> Expr | None:
    """A condition by its name: on the coordinates, a table, a runtime scalar or the round of the innermost loop."""
    match kind:
        case "even":
            return (X % 2).eq(0)
        case "checkered":
            return (X + Y) % 2
        case "west":
            return X.lt((sheet.width + 1) // 2)
        case "table":
            return sheet.table([1, 0, 0, 1, 1, 0, 1, 0], (X + 3 * Y) % 8)
        case "scalar":
            return uniform("scalar", sheet)
        case "round":
            return uniform("round", sheet)
    return None


def uniform(kind: str, sheet: Sheet) -> Expr | None:
    """A condition that all PEs of the region decide alike."""
    if kind == "scalar" and sheet.scalars:
        name, (low, high) = next(iter(sheet.scalars.items()))
        return Name(name).gt((low + high) // 2)
    if kind == "round" and sheet.counters:
        return (Name(sheet.counters[-1][0]) % 2).eq(0)
    return None


@dataclass(frozen=True)
class Local:
    """One instruction. ``result``, ``left`` and ``right`` number vectors; those that moves hold are passed over."""

    opcode: str = "add"
    dtype: int = 0
    result: int = 0
    left: int = 1
    right: int = 2
    offset: int = 0
    count: int = 64
    form: str = "plain"
    immediate: float | None = None
    where: str = "always"

    def write(self, sheet: Sheet) -> Body:
        held = sheet.written | sheet.read
        results = [n for n in range(VECTORS) if self.vector(sheet, n) not in held]
        if not results:
            return ()
        result = results[self.result % len(results)]
        readable = [n for n in range(VECTORS) if self.vector(sheet, n) not in sheet.written]
        if self.opcode in APART:
            readable.remove(result)
        if not readable:
            return ()
        sources = [readable[n % len(readable)] for n in (self.left, self.right)]
        names = [self.vector(sheet, n) for n in (result, *sources)]
        return when(condition(self.where, sheet), self.instructions(sheet, names))

    def vector(self, sheet: Sheet, number: int) -> str:
        return sheet.vector(self.dtype, number)

    def instructions(self, sheet: Sheet, names: list[str]) -> Body:
        result, left, right = names
        n, dtype = sheet.elements, sheet.dtype(self.dtype)
        offset = self.offset % n
        count = min(max(1, self.count), n - offset)
        r, a = part(result, offset, count), self.source(left, result, offset, count)
        b = self.source(right, result, offset, count) if self.immediate is None else self.immediate
        opcode = self.opcode
        if dtype == "i32" and opcode not in (*INTEGER, "fill", "index", "rotate", "convert"):
            opcode = "add"
        if isinstance(b, float) and dtype == "i32":
            b = float(round(b))
        if opcode in BINARY:
            return (do(opcode, r, a, b),)
        if opcode in UNARY:
            return (do(opcode, r, a),)
        match opcode:
            case "fma":
                return (do("fma", r, a, b, part(right, offset, count)),)
            case "gemm" | "gemm_t":
                return self.product(sheet, names, n)
            case "sum" | "reduce_max":
                return (do(opcode, part(result, 0, 2), part(left, 0, 2, n // 2)),)
            case "fill":
                return (do("fill", r, value=float(self.right), where=(Name("i0") + X) % 2 if self.count % 2 else None),)
            case "index":
                return (do("index", r, value=Name("i0") * 3 - X + Y % 2),)
            case "gather":
                return self.gather(sheet, result, left, n)
            case "rotate":
                return (do("rotate", result, left),) if left not in sheet.read else ()
            case "convert":
                other = sheet.vector(self.dtype + 1, self.left)
                return (do("copy", result, other),) if other not in sheet.written else ()
        raise AssertionError(opcode)

    def source(self, name: str, result: str, offset: int, count: int) -> View:
        """What is read; a result that is read in another order would depend on how far it is written."""
        match self.form if name != result else "plain":
            case "reversed":
                return part(name, offset + count - 1, (count, -1))
            case "repeated":
                return part(name, offset, (count, 0))
        return part(name, offset, count)

    def product(self, sheet: Sheet, names: list[str], n: int) -> Body:
        """A product of 2 x k and k x 2, or of 2 x k and the transpose of 2 x k; f32 may gather narrow products."""
        result, left, right = names
        if sheet.dtype(self.dtype) == "f32" and sheet.dtype(self.dtype + 1) in ("f16", "bf16") and self.offset % 2:
            narrow = [sheet.vector(self.dtype + 1, number) for number in (self.left, self.right)]
            if sheet.written.isdisjoint(narrow):
                left, right = narrow
        k = n // 2
        b = part(right, 0, k, 2) if self.opcode == "gemm" else part(right, 0, 2, k)
        vector = ("m", "n", None)[self.count % 3]
        return (do(self.opcode, part(result, 0, 2, 2), part(left, 0, 2, k), b, vector=vector),)

    def gather(self, sheet: Sheet, result: str, left: str, n: int) -> Body:
        """Rows of two elements of ``left`` by indices of which some lie outside."""
        name = "rows"
        if all(buffer.name != name for buffer in sheet.buffers):
            sheet.declare(name, "i32", sheet.elements // 2)
        return (
            do("index", name, value=Name("i0") * 2 + X - 1),
            do("gather", part(result, 0, n // 2, 2), part(left, 0, n // 2, 2), name, base=Int(self.offset % 3)),
        )


@dataclass(frozen=True)
class Compute:
    """Some instructions one after the other."""

    work: tuple[Local, ...] = ()

    def write(self, sheet: Sheet) -> Body:
        return tuple(statement for local in self.work for statement in local.write(sheet))


@dataclass(frozen=True)
class Skew:
    """Some PEs compute for longer than others: a loop of as many rounds as coordinates say."""

    rounds: int = 2
    along: str = "x"
    work: Local = Local()

    def write(self, sheet: Sheet) -> Body:
        stop = {"x": X % (self.rounds + 1), "y": Y % (self.rounds + 1), "both": (X * 3 + Y) % (self.rounds + 1)}
        counter = f"s{len(sheet.counters)}"
        sheet.counters.append((counter, self.rounds))
        try:
            return loop(counter, stop[self.along], self.work.write(sheet))
        finally:
            sheet.counters.pop()


locals_ = st.builds(
    Local,
    opcode=st.sampled_from(BINARY + UNARY + SPECIAL),
    dtype=st.integers(0, 2),
    result=st.integers(0, 3),
    left=st.integers(0, 3),
    right=st.integers(0, 3),
    offset=st.integers(0, 5),
    count=st.integers(1, 16) | st.just(64),
    form=st.sampled_from(FORMS),
    immediate=st.none() | st.sampled_from((1.0, 0.5, -2.0)),
    where=st.sampled_from(CONDITIONS),
)
computations = st.builds(Compute, work=st.lists(locals_, min_size=2, max_size=6).map(tuple))
skews = st.builds(Skew, rounds=st.integers(1, 6), along=st.sampled_from(("x", "y", "both")), work=locals_)
