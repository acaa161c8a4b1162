"""The table of the graph level: what each operation takes, and what it refuses and why."""

from __future__ import annotations

import re

import pytest

from meshc.dialects.graph import BINARY, GRAPH, REDUCTIONS, UNARY
from meshc.dialects.levels import LEVELS, parse_module, verify
from meshc.ir.attributes import _KINDS
from meshrt.diagnostics import MeshError

#: Values that the operations below use.
ARGUMENTS = {
    "x": "tensor<2x8x16xf32>",
    "row": "tensor<16xf32>",
    "flat": "tensor<8x16xf32>",
    "ids": "tensor<2x8xi64>",
    "table": "tensor<64x16xf32>",
    "up": "tensor<32x16xf32>",
    "bias": "tensor<32xf32>",
    "four": "tensor<4xf32>",
    "two": "tensor<2xf32>",
    "places": "tensor<8xi64>",
    "kv": "tensor<2x8x8xf32>",
    "truth": "tensor<2x8x16xi1>",
    "q4": "tensor<2x4x8x4xf32>",
    "shard": 'shard<"f32", block<16, 4>, block<16, 4>>',
}
X = "tensor<2x8x16xf32>"


def check_decode(lines: str, phase: str = 'phase = "decode", context = 8') -> None:
    """Verify operations on one token, ``%x`` and ``%kv``, in a function of the decode phase."""
    verify(
        parse_module(
            f'module graph\nfunc() {{name = "f", {phase}}} (%ids: tensor<2x1xi64>) {{\n'
            '%t = graph.weight() {name = "t"} : tensor<64x16xf32>\n'
            '%u = graph.weight() {name = "u"} : tensor<64x8xf32>\n'
            "%x = graph.embedding(%t, %ids) : tensor<2x1x16xf32>\n"
            f"%kv = graph.embedding(%u, %ids) : tensor<2x1x8xf32>\n{lines}\nreturn(%x)\n}}\n"
        )
    )


def check(line: str) -> None:
    """Verify one operation, ``op(%x) {...} : type`` or with a result's type alone."""
    if "cached_attention" in line:
        check_decode(f"%r = {line}")
        return
    arguments = ", ".join(f"%{name}: {type}" for name, type in ARGUMENTS.items())
    result = "%r = " if re.search(r" : [a-z]", line) else ""
    verify(parse_module(f'module graph\nfunc() {{name = "f"}} ({arguments}) {{\n{result}{line}\nreturn()\n}}\n'))


ROPE = '{heads = 4, head_dim = 4, rotary_dim = 4, pairing = "half"}'
ATTENTION = "heads = 4, kv_heads = 2, head_dim = 4, value_dim = 4, scale = 0.5"
CACHED = f'{ATTENTION}, mask = "causal", context = 8, cache = "c"'

LEGAL = [
    'graph.weight() {name = "embed.weight"} : tensor<64x16xf32>',
    "graph.positions() : tensor<8xi64>",
    f"graph.embedding(%table, %ids) : {X}",
    "graph.embedding(%table, %places) : tensor<8x16xf32>",
    'graph.linear(%x, %up) {weight = "nk"} : tensor<2x8x32xf32>',
    'graph.linear(%x, %up, %bias) {weight = "nk"} : tensor<2x8x32xf32>',
    'graph.linear(%x, %up, %bias) {weight = "nk", rows = [8, 24]} : tensor<2x8x16xf32>',
    "graph.rms_norm(%x) {eps = 1e-05} : " + X,
    "graph.rms_norm(%x, %row) {eps = 1e-05, unit_offset = true} : " + X,
    "graph.rms_norm(%x, %four) {eps = 1e-05, heads = 4} : " + X,
    "graph.layer_norm(%x, %row, %row) {eps = 1e-05} : " + X,
    f"graph.rope(%x, %places, %two) {ROPE} : {X}",
    f'graph.attention(%x, %kv, %kv) {{{ATTENTION}, mask = "causal"}} : {X}',
    f'graph.attention(%x, %kv, %kv) {{{ATTENTION}, mask = "window", window = 4, softcap = 50.0}} : {X}',
    f"graph.cached_attention(%x, %kv, %kv) {{{CACHED}}} : tensor<2x1x16xf32>",
    f'graph.glu(%x, %x) {{activation = "silu"}} : {X}',
    f"graph.silu(%x) : {X}",
    f"graph.add(%x, %row) : {X}",
    f"graph.add(%x, %flat) : {X}",
    f"graph.sub(%x) {{scalar = 1, reversed = true}} : {X}",
    f"graph.where(%truth, %x, %x) : {X}",
    f"graph.where(%truth, %x) {{otherwise = -inf}} : {X}",
    'graph.compare(%x) {relation = "lt", scalar = 0} : tensor<2x8x16xi1>',
    "graph.mean(%x) {dims = [2]} : tensor<2x8x1xf32>",
    "graph.max(%x) {dims = [0, 1]} : tensor<1x1x16xf32>",
    "graph.var(%x) {dims = [2], correction = 0} : tensor<2x8x1xf32>",
    f"graph.softmax(%x) {{dim = 2}} : {X}",
    "graph.matmul(%kv, %kv) : tensor<2x8x8xf32>",
    "graph.scaled_dot_product(%q4, %q4, %q4) {scale = 0.5} : tensor<2x4x8x4xf32>",
    'graph.heads_attention(%q4, %q4, %q4) {scale = 0.5, mask = "causal"} : tensor<2x4x8x4xf32>',
    "graph.reshape(%x) {shape = [16, 16]} : tensor<16x16xf32>",
    "graph.permute(%x) {dims = [2, 0, 1]} : tensor<16x2x8xf32>",
    "graph.expand(%row) {shape = [8, 16]} : tensor<8x16xf32>",
    "graph.slice(%x) {dim = 1, start = 1, stop = 8, step = 3} : tensor<2x3x16xf32>",
    "graph.concat(%x, %kv) {dim = 2} : tensor<2x8x24xf32>",
    'graph.cast(%ids) {dtype = "f32"} : tensor<2x8xf32>',
    'graph.aten(%x) {target = "aten.cumsum.default", args = ["%0", 1]} : ' + X,
    f'graph.repeat(%x) {{count = 2, counter = "l"}} : {X} (%c: {X}) {{\n'
    '%w = graph.weight() {name = "h.{2*l+1}.w"} : tensor<16x16xf32>\ngraph.yield(%c)\n}',
]


@pytest.mark.parametrize("line", LEGAL)
def test_legal(line):
    check(line)


ILLEGAL = [
    ("graph.positions() : tensor<8x1xi64>", "the result has one dimension, not [8, 1]"),
    (f"graph.embedding(%row, %ids) : {X}", "the table is [entries, features], not [16]"),
    ("graph.embedding(%table, %ids) : tensor<2x8xf32>", "it gives [2, 8, 16], but its result is declared as [2, 8]"),
    ('graph.linear(%x, %row) {weight = "nk"} : ' + X, "a weight of two dimensions, not [2, 8, 16] and [16]"),
    ('graph.linear(%x, %up) {weight = "kn"} : ' + X, "x has 16 features but the weight [32, 16] (kn) takes 32"),
    ('graph.linear(%x, %up, %row) {weight = "nk"} : ' + X, "the bias is [32], not [16]"),
    ('graph.linear(%x, %up) {weight = "nk", rows = [24, 40]} : ' + X, "rows are [start, stop] within 0 to 32"),
    ('graph.linear(%x, %up) {weight = "nk", rows = [1]} : ' + X, "rows are [start, stop] within 0 to 32"),
    ("graph.rms_norm(%x, %row) {eps = 1e-05, heads = 4} : " + X, "it norms 4 features, but a parameter is [16]"),
    ("graph.rms_norm(%x) {eps = 1e-05, heads = 3} : " + X, "3 heads do not divide 16 features"),
    (f"graph.rope(%kv, %places, %two) {ROPE} : tensor<2x8x8xf32>", "4 heads of 4 are not 8 features"),
    (f"graph.rope(%x, %places, %four) {ROPE} : {X}", "the frequencies are [2], not [4]"),
    (f"graph.rope(%x, %four, %two) {ROPE} : {X}", "there is one position per token"),
    (f"graph.rope(%x, %places, %two) {ROPE.replace('rotary_dim = 4', 'rotary_dim = 5')} : {X}", "rotary_dim is even"),
    (
        f'graph.attention(%x, %x, %kv) {{{ATTENTION}, mask = "full"}} : {X}',
        "k is [batch, tokens, 2 * 4], not [2, 8, 16]",
    ),
    (f'graph.attention(%x, %kv, %kv) {{{ATTENTION}, mask = "window"}} : {X}', "comes with the attribute 'window'"),
    (f'graph.attention(%x, %kv, %kv) {{{ATTENTION}, mask = "full", window = 3}} : {X}', "no other mask does"),
    (
        f'graph.attention(%x, %kv, %kv) {{{ATTENTION.replace("kv_heads = 2", "kv_heads = 3")}, mask = "full"}} : {X}',
        "3 KV heads do not divide 4 heads",
    ),
    (f'graph.glu(%x, %row) {{activation = "silu"}} : {X}', "its operands have the shapes [2, 8, 16] and [16]"),
    (f'graph.glu(%x, %x) {{activation = "silo"}} : {X}', "activation must be one of"),
    ("graph.silu(%x) : tensor<16xf32>", "it gives [2, 8, 16], but its result is declared as [16]"),
    (f"graph.silu(%shard) : {X}", "operands and results are tensors at this level"),
    (f"graph.add(%x, %four) : {X}", "operands [2, 8, 16] and [4] do not broadcast"),
    (f"graph.add(%x) : {X}", "it has one operand; give a second or the attribute 'scalar'"),
    (f"graph.add(%x, %x) {{scalar = 2.0}} : {X}", "it has two operands and a scalar"),
    (f"graph.add(%x, %x) {{reversed = true}} : {X}", "'reversed' puts the scalar first"),
    (f"graph.where(%truth, %x) : {X}", "a condition and two sides are three, not 2"),
    (f'graph.compare(%x, %x) {{relation = "above"}} : {X}', "relation must be one of eq, ne"),
    ("graph.mean(%x) {dims = [3]} : tensor<2x8x1xf32>", "dims [3] are no dimensions of [2, 8, 16]"),
    ("graph.mean(%x) {dims = [2]} : tensor<2x8xf32>", "it gives [2, 8, 1]"),
    (f"graph.softmax(%x) {{dim = -1}} : {X}", "dim -1 is no dimension of [2, 8, 16]"),
    (f"graph.matmul(%x, %x) : {X}", "[2, 8, 16] and [2, 8, 16] cannot be multiplied"),
    ("graph.scaled_dot_product(%q4, %q4, %x) {scale = 0.5} : tensor<2x4x8x4xf32>", "do not fit"),
    ("graph.reshape(%x) {shape = [16]} : tensor<16xf32>", "[2, 8, 16] and [16] hold different numbers of elements"),
    ("graph.reshape(%x) {shape = [16, 16]} : tensor<8x32xf32>", "it gives [16, 16]"),
    ("graph.permute(%x) {dims = [0, 0, 1]} : tensor<2x2x8xf32>", "dims [0, 0, 1] are no order"),
    ("graph.expand(%row) {shape = [8, 8]} : tensor<8x8xf32>", "[16] does not broadcast to [8, 8]"),
    ("graph.slice(%x) {dim = 1, start = 4, stop = 9} : tensor<2x5x16xf32>", "4:9:1 is not within 0 to 8"),
    ("graph.slice(%x) {dim = 3, start = 0, stop = 1} : tensor<1xf32>", "dim 3 is no dimension"),
    ("graph.concat(%x, %kv) {dim = 1} : tensor<2x16x16xf32>", "[2, 8, 16] and [2, 8, 8] differ beside dim 1"),
    ('graph.cast(%ids) {dtype = "f32"} : tensor<2x8xf16>', "the result is the operand as f32"),
    ('graph.weight() {name = "h.{2*}.w"} : ' + X, "{2*} is no index expression"),
    ('graph.weight() {name = "h.{l.w"} : ' + X, "the braces in 'h.{l.w' do not match"),
    (f'graph.repeat(%x) {{count = 0, counter = "l"}} : {X} (%c: {X}) {{\ngraph.yield(%c)\n}}', "count is 0"),
    (
        f'graph.repeat(%x) {{count = 2, counter = "l"}} : {X} (%c: {X}) {{\ngraph.yield()\n}}',
        "its yielded values do not have the types of its operands",
    ),
]


ILLEGAL_DECODE = [
    ({"phase": 'phase = "decode"'}, "a phase comes with the attribute 'context'"),
    ({"phase": "context = 8"}, "a phase comes with the attribute 'context'"),
    ({"phase": 'phase = "prefill", context = 8'}, "c does not belong to a function of this phase"),
    ({"phase": 'phase = "prefill", context = 8, prefilled = true'}, "only the phase decode goes on from caches"),
    ({"phase": 'phase = "decode", context = 0'}, "its context is 0 tokens"),
    ({"phase": 'phase = "decode", context = 9'}, "c is of another context than the function"),
    ({"changes": ("causal", "full")}, "mask must be one of causal, window"),
    ({"changes": ('"c"', '"c.{l}"')}, "{l} reads l, which counts no loop around it"),
    ({"twice": True}, "c is the cache of two attentions"),
]


@pytest.mark.parametrize(("how", "reason"), ILLEGAL_DECODE)
def test_illegal_decode(how, reason):
    old, new = how.get("changes", ("causal", "causal"))
    line = f"graph.cached_attention(%x, %kv, %kv) {{{CACHED.replace(old, new)}}} : tensor<2x1x16xf32>"
    lines = f"%r = {line}" + (f"\n%s = {line}" if how.get("twice") else "")
    with pytest.raises(MeshError) as caught:
        check_decode(lines, how.get("phase", 'phase = "decode", context = 8'))
    assert reason in caught.value.diagnostic.message


def test_decode_takes_one_token():
    x = "tensor<2x3x16xf32>"
    with pytest.raises(MeshError) as caught:
        verify(
            parse_module(
                f'module graph\nfunc() {{name = "f", phase = "decode", context = 8}} (%x: {x}, %k: tensor<2x3x8xf32>) '
                f"{{\n%r = graph.cached_attention(%x, %k, %k) {{{CACHED}}} : {x}\nreturn(%r)\n}}\n"
            )
        )
    assert "it takes one token, not [2, 3, 16]" in caught.value.diagnostic.message


@pytest.mark.parametrize(("line", "reason"), ILLEGAL)
def test_illegal(line, reason):
    with pytest.raises(MeshError) as caught:
        check(line)
    assert reason in caught.value.diagnostic.message


def test_every_row_is_tested_here_or_elementwise():
    named = {match for line in LEGAL for match in re.findall(r"(?:graph\.)\w+", line)}
    alike = {f"graph.{name}" for name in (*UNARY, *BINARY, *REDUCTIONS)}
    assert set(GRAPH.ops) - named - alike == {"func", "return"}


@pytest.mark.parametrize("level", LEVELS)
def test_rows_are_sound(level):
    kinds = {kind for _, kind in _KINDS}
    for name, row in LEVELS[level].ops.items():
        assert row.name == name and row.meaning and not row.meaning.endswith("."), name
        for attribute in row.attributes:
            assert set(attribute.kinds) <= kinds, (name, attribute)
        assert not row.ends_with or LEVELS[level].ops[row.ends_with].terminator, name
