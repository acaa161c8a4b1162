"""Generated programs, statements and expressions: anything that the types can hold and the text can say."""

from __future__ import annotations

from hypothesis import strategies as st

from meshrt.program.expr import BINARY_OPERATORS, Binary, Expr, Int, Name, Select, TableRef
from meshrt.program.instructions import INSTRUCTIONS, InstructionSpec, OptionSpec
from meshrt.program.model import (
    DTYPE_BYTES,
    PORTS,
    Buffer,
    Code,
    Dim,
    ElementRange,
    For,
    If,
    Instruction,
    OpInfo,
    OpScope,
    Param,
    Placement,
    Port,
    Program,
    Rect,
    Region,
    Route,
    Scalar,
    Table,
    Until,
    View,
)

# Words that are keywords somewhere in the grammar are names everywhere else.
KEYWORDS = ("op", "for", "in", "at", "x", "of", "from", "to", "mesh", "select", "min", "route", "else", "N", "f16")
KEYWORDS += ("until", "count", "most")
names = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}(\.[a-z0-9]{1,3})?", fullmatch=True), st.sampled_from(KEYWORDS)
).filter(lambda name: name not in ("inf", "nan"))
buffer_names = names
opcodes = st.sampled_from(sorted(INSTRUCTIONS))
integers = st.one_of(st.integers(-8, 300), st.integers(-(10**17), 10**17))
counts = st.integers(0, 10**6)
strings = st.text(max_size=12)


def _deeper(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(Binary, st.sampled_from(BINARY_OPERATORS), inner, inner),
        st.builds(Select, inner, inner, inner),
        st.builds(TableRef, names, inner),
    )


_leaves = st.one_of(st.builds(Int, integers), st.builds(Name, names), st.builds(Name, names.map("@{}".format)))
exprs: st.SearchStrategy[Expr] = st.recursive(_leaves, _deeper, max_leaves=8)
few_exprs = st.recursive(_leaves, _deeper, max_leaves=3)

dims = st.builds(Dim, few_exprs, few_exprs)
views = st.builds(View, buffer_names, few_exprs, st.none() | st.lists(dims, max_size=3).map(tuple))
# NaN is not equal to itself; its text is tested apart.
numbers = st.floats(allow_nan=False)


def _option(spec: OptionSpec) -> st.SearchStrategy:
    values = {
        "expr": exprs,
        "number": numbers,
        "word": st.sampled_from(spec.words or ("a",)),
        "handle": names,
        "port": st.sampled_from(PORTS),
        "ports": st.lists(st.sampled_from(PORTS), min_size=1, max_size=4).map(tuple),
        "words": st.lists(names, min_size=1, max_size=3).map(tuple),
    }
    pairs = st.tuples(st.just(spec.name), values[spec.kind]).map(lambda pair: (pair,))
    return pairs if spec.required else st.just(()) | pairs


def _of(spec: InstructionSpec) -> st.SearchStrategy[Instruction]:
    args = st.tuples(*(views | numbers if spec.immediates and role == "in" else views for _, role in spec.operands))
    options = st.tuples(*map(_option, spec.options)).map(lambda parts: sum(parts, ()))
    return st.builds(Instruction, st.just(spec.opcode), args, options)


instructions = opcodes.flatmap(lambda opcode: _of(INSTRUCTIONS[opcode]))


def _nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    bodies = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(For, names, few_exprs, few_exprs, bodies, st.none() | views),
        st.builds(If, few_exprs, bodies, bodies),
        st.builds(Until, views, bodies),
        st.builds(OpScope, counts, bodies),
    )


statements = st.recursive(instructions, _nested, max_leaves=4)
rects = st.builds(Rect, counts, counts, counts, counts, st.integers(1, 5) | st.just(1), st.integers(1, 5) | st.just(1))
shapes = st.lists(counts, max_size=3).map(tuple)
dtypes = st.sampled_from(sorted(DTYPE_BYTES))
indices = st.lists(few_exprs, max_size=3).map(tuple)
runs = st.lists(integers, max_size=4) | st.builds(
    lambda start, step, n: [start + step * k for k in range(n)],
    st.integers(-5, 5),
    st.integers(-3, 3),
    counts.map(lambda n: n % 30),
)
entries = st.lists(runs, max_size=4).map(lambda parts: tuple(entry for part in parts for entry in part))
regions = st.builds(
    Region,
    names,
    st.tuples(st.integers(-3, 99), st.integers(-3, 99)),
    counts,
    counts,
    st.lists(st.builds(Scalar, names, integers, integers), max_size=2).map(tuple),
    st.lists(st.builds(Table, names, entries), max_size=2).map(tuple),
    st.lists(st.builds(Param, rects, names, exprs), max_size=2).map(tuple),
    st.lists(st.builds(Buffer, rects, names, dtypes, shapes, counts), max_size=2).map(tuple),
    st.lists(
        st.builds(
            Placement,
            rects,
            names,
            st.lists(st.builds(ElementRange, names, integers, integers), max_size=2).map(tuple),
            strings,
            indices,
        ),
        max_size=2,
    ).map(tuple),
    st.lists(
        st.builds(
            Route,
            rects,
            counts,
            st.sampled_from(PORTS),
            st.lists(st.sampled_from(PORTS), min_size=1, max_size=3).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    st.lists(
        st.builds(
            Port,
            names,
            st.sampled_from(("in", "out")),
            st.sampled_from(PORTS[:4]),
            rects,
            counts,
            dtypes,
            shapes,
            few_exprs,
            indices,
            st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    st.lists(st.builds(Code, rects, names, st.lists(statements, max_size=3).map(tuple)), max_size=2).map(tuple),
)
programs = st.builds(
    Program,
    st.lists(st.builds(OpInfo, strings, strings, strings), max_size=2).map(tuple),
    st.lists(regions, max_size=2).map(tuple),
)
