"""When buffers live: loops, conditions, moves under way, exchanged addresses, kernel scratch."""

import pytest

from meshc.dialects.levels import parse_module, verify
from meshc.passes.liveness import live_intervals

HEAD = 'module mesh {ops = []}\nmesh.region() {name = "main", width = 1, height = 1, origin = [0, 0]} () {\n'
CODE = '  mesh.code() {rect = [0, 1, 0, 1, 1, 1], name = "main"} () {\n%s\n  }\n'

#: Short forms of instructions on buffers of four elements.
SHORT = {
    "set": lambda a: f"mesh.fill() {{args = [view<{a!r}>], value = 0.0}}",
    "set_part": lambda a: f'mesh.fill() {{args = [view<{a!r}>], value = 0.0, where = expr<"x">}}',
    "set_at": lambda a, i: f'mesh.fill() {{args = [view<"{a}[{i}](1)">], value = 0.0}}',
    "set_as": lambda a, dims: f'mesh.fill() {{args = [view<"{a}[0]({dims})">], value = 0.0}}',
    "copy": lambda a, b: f"mesh.copy() {{args = [view<{a!r}>, view<{b!r}>]}}",
    "add": lambda a, b: f"mesh.add() {{args = [view<{a!r}>, view<{a!r}>, view<{b!r}>]}}",
    "use": lambda a: f'mesh.send() {{args = [view<{a!r}>], color = expr<"0">}}',
    "rotate": lambda a, b: f"mesh.rotate() {{args = [view<{a!r}>, view<{b!r}>]}}",
    "recv": lambda a, h: f'mesh.recv() {{args = [view<{a!r}>], color = expr<"0">, async = "{h}"}}',
    "wait": lambda h: f'mesh.wait() {{args = [], handle = "{h}"}}',
    "for": lambda c="s", n="3": f'mesh.for() {{counter = "{c}", start = expr<"0">, stop = expr<"{n}">}} () {{',
    "if": lambda: 'mesh.if() {condition = expr<"y">} () {',
    "else": lambda: "} () {",
    "scope": lambda: "mesh.scope() {op = 0} () {",
    "for_until": lambda a: (
        f'mesh.for() {{counter = "s", start = expr<"0">, stop = expr<"3">, until = view<"{a}[0](1)">}} () {{'
    ),
    "end": lambda: "}",
}


def lives(*bodies: str) -> dict[str, tuple[int, int]]:
    """The intervals of codes in short form: one instruction per comma."""
    codes = []
    for body in bodies:
        lines = []
        for statement in body.split(","):
            word, *operands = statement.split()
            lines.append("    " + SHORT[word](*operands).replace("'", '"').replace(";", ", "))
        codes.append(CODE % "\n".join(lines))
    module = parse_module(HEAD + "".join(codes) + "}\n")
    verify(module)
    return live_intervals([op.regions[0] for op in module.body.ops[0].regions[0].ops], dict.fromkeys("abcd", 4))


def apart(a: str, b: str, *bodies: str) -> bool:
    """Whether two buffers never live at the same time."""
    found = lives(*bodies)
    return found[a][1] < found[b][0] or found[b][1] < found[a][0]


def test_a_flag_is_read_at_the_end_of_its_loop():
    assert not apart("a", "b", "for_until a,set a,set b,use b,end")
    assert apart("a", "b", "for,set a,use a,set b,use b,end")


def test_from_the_first_access_to_the_last():
    assert lives("set a,set b,use a,use b") == {"a": (1, 3), "b": (2, 4)}


def test_one_instruction_reads_and_writes_at_the_same_time():
    assert not apart("a", "b", "set a,copy b a,use b")
    assert apart("a", "c", "set a,copy b a,copy c b,use c")


@pytest.mark.parametrize(
    ("inside", "crosses"),
    [
        ("set a,use a", False),
        ("use a,set a", True),  # the value comes from the round before
        ("add a c,set a", True),  # r = r + a reads r
        ("set_part a,use a", True),  # the rest of it is as it was
        ("set_at a s,use a", True),  # each round writes another element
        ("set_at a 0,use a", True),
        ("set_as a 2:2;2:1,use a", False),  # all elements in order
        ("set_as a 4,use a", False),
        ("set_as a 2:1;2:2,use a", True),
        ("set_as a 2:2;2:0,use a", True),
        ("if,set a,end,use a", True),
        ("if,set a,else,set a,end,use a", True),  # careful: nobody compares the sides
        ("if,set a,use a,end", True),
        ("for t 2,set a,end,use a", False),
        ("for t y,set a,end,use a", True),  # a loop that may have no rounds
        ("for t 2,set_at a t,end,use a", True),
        ("for t 2,if,set a,end,use a,end", True),
        ("if,for t 2,set a,use a,end,end", True),
        ("recv a h,wait h,use a", False),
    ],
)
def test_what_is_used_in_a_loop_only(inside, crosses):
    """Whether it lives through the whole loop, and so meets what else the loop uses before it."""
    assert apart("a", "b", f"set c,for s 3,scope,set b,use b,end,scope,{inside},end,use a,end") != crosses
    assert apart("a", "b", f"set c,for s 3,{inside},use a,set b,use b,end") != crosses


def test_what_comes_from_before_a_loop_lives_to_its_end():
    assert not apart("a", "b", "set a,for s 3,use a,set b,use b,end")
    assert apart("a", "b", "set a,for s 3,use a,end,set b,use b")


def test_what_each_round_overwrites_does_not_live_on_from_before():
    assert apart("a", "b", "set a,use a,for s 3,set b,use b,set a,use a,end") is False
    assert lives("set a,use a,for s 3,set b,set a,use a,end")["a"] == (1, 6)


def test_what_is_read_behind_a_loop_lives_from_its_last_write():
    assert apart("a", "b", "for s 3,set b,use b,set a,end,use a")
    assert not apart("a", "b", "for s 3,set b,use b,add a a,end,use a")


def test_a_loop_in_a_loop():
    # The inner loop sums up, the outer one begins anew.
    assert apart("a", "b", "for s 3,set b,use b,set a,for t 3,add a a,end,use a,end")
    assert not apart("a", "b", "for s 3,set a,for t 3,set b,use b,add a a,end,use a,end")
    assert not apart("a", "b", "set a,for s 3,set b,use b,for t 3,add a a,end,end,use a")


def test_a_move_under_way_holds_its_buffer():
    assert not apart("a", "b", "recv a h,set b,use b,wait h,use a")
    assert not apart("a", "b", "set a,recv a h,set b,use b,wait h")
    assert apart("a", "b", "recv a h,wait h,use a,set b,use b")


def test_a_move_that_one_of_two_branches_launches():
    assert not apart("a", "b", "if,recv a h,else,recv c h,end,set b,use b,wait h")
    assert not apart("c", "b", "if,recv a h,else,recv c h,end,set b,use b,wait h")


def test_a_wait_on_one_side_does_not_end_a_move_on_the_other():
    assert not apart("a", "b", "recv a h,if,wait h,else,set b,use b,wait h,end")
    assert not apart("a", "b", "recv a h,if,wait h,end,set b,use b,wait h")


def test_a_move_that_the_next_round_waits_for():
    body = "recv a h,for s 3,wait h,use a,set b,use b,recv a h,set c,use c,end,wait h"
    assert not apart("a", "b", body)
    assert not apart("a", "c", body)


def test_exchanged_buffers_live_as_long_as_both():
    found = lives("set a,for s 3,recv b h,use a,wait h,rotate a b,end,use a")
    assert found["a"] == found["b"]
    # The second buffer holds the first one's value in the second layer, before anyone writes it there.
    found = lives("for l 2,scope,set c,copy a c,for s 3,recv b h,use a,wait h,rotate a b,end,end,end")
    assert found["b"] == found["a"]
    assert not apart("b", "c", "for l 2,scope,set c,copy a c,for s 3,recv b h,use a,wait h,rotate a b,end,end,end")


def test_exchanges_in_a_circle():
    found = lives("set a,set b,use a,use b,set c,rotate a b,rotate b c,set d,use c")
    assert found["a"] == found["b"] == found["c"] == (1, 9)


def test_scratch_of_a_kernel_does_not_outlive_a_round_of_the_layers():
    assert apart("a", "b", "for l 2,scope,set b,use b,end,scope,if,set a,end,use a,end,end")
    assert not apart("a", "b", "for l 2,scope,set b,use b,end,scope,if,set a,end,use a,end,use a,end")
    # A loop of the kernel itself is another matter.
    assert not apart("a", "b", "for l 2,scope,for s 3,set b,use b,use a,set a,end,end,end")


def test_codes_of_a_region_run_on_different_pes():
    assert apart("a", "b", "set a,use a", "set b,use b")
    assert not apart("a", "b", "set a,use a", "set b,use b,use a")
