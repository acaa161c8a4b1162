"""Acts around acts: loops, conditions that all PEs decide alike, and streams from the host."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.expr import Int, Name, X, Y
from meshrt.program.model import For, Until, View
from tests.differential.acts import Act
from tests.differential.acts.collectives import chains, gathers, trees
from tests.differential.acts.local import computations, skews, uniform
from tests.differential.acts.rewriting import alternates, listens, stars
from tests.differential.acts.streams import Multicast, at, multicasts, paths, shifts
from tests.differential.sheet import COUNTERS, OutOfColors, Sheet
from tests.differential.statements import Body, do, loop, when


def write_all(acts: tuple[Act, ...], sheet: Sheet) -> Body:
    """The statements of acts one after the other; an act for which no color is left writes nothing."""
    body: Body = ()
    for act in acts:
        try:
            body += act.write(sheet)
        except OutOfColors:
            continue
    return body


@dataclass(frozen=True)
class Loop:
    """Some acts over and over: ``rounds`` times, or as often as the runtime scalar says."""

    acts: tuple[Act, ...] = ()
    rounds: int = 2
    by_scalar: bool = False

    def write(self, sheet: Sheet) -> Body:
        depth = len([name for name, _ in sheet.counters if name in COUNTERS])
        if depth == len(COUNTERS):
            return ()
        stop, most = self.rounds, self.rounds
        if self.by_scalar and sheet.scalars:
            name, (_, most) = next(iter(sheet.scalars.items()))
            stop = Name(name)
        counter = COUNTERS[depth]
        sheet.counters.append((counter, most))
        try:
            return loop(counter, stop, write_all(self.acts, sheet))
        finally:
            sheet.counters.pop()


@dataclass(frozen=True)
class Choice:
    """One of two lists of acts, as the runtime scalar or the round says; all PEs take the same."""

    by: str = "scalar"
    acts: tuple[Act, ...] = ()
    others: tuple[Act, ...] = ()

    def write(self, sheet: Sheet) -> Body:
        condition = uniform(self.by, sheet)
        return when(condition, write_all(self.acts, sheet), write_all(self.others, sheet))


#: Rounds of every ``until``: a run without values has to be told.
UNTIL_ROUNDS = 2


@dataclass(frozen=True)
class Repeat:
    """Some acts ``until`` a flag that one PE counts down to and multicasts to all others, or ``most`` rounds are over.

    Where ``most`` is zero nothing but the flag ends them.
    """

    acts: tuple[Act, ...] = ()
    most: int = 0

    def write(self, sheet: Sheet) -> Body:
        root, others = at((0, 0)), X + Y
        number = len(sheet.buffers)
        ticks, flag = (sheet.declare(f"{name}{number}", "i32", 1) for name in ("ticks", "flag"))
        tell: Body = ()
        if sheet.width * sheet.height > 1:
            color = sheet.color(Multicast().routes(sheet))
            tell = when(others.eq(0), (do("send", flag, color=color),), (do("recv", flag, color=color),))
        depth = len([name for name, _ in sheet.counters if name in COUNTERS])
        counter = COUNTERS[depth] if self.most and depth < len(COUNTERS) else ""
        sheet.untils += 1
        if counter:
            sheet.counters.append((counter, self.most))
        try:
            body = write_all(self.acts, sheet)
        finally:
            sheet.untils -= 1
            if counter:
                sheet.counters.pop()
        # The flag is 1 in the round in which the count comes from -UNTIL_ROUNDS to zero.
        count = when(root, (do("add", ticks, ticks, 1.0), do("add", flag, ticks, 1.0), do("max", flag, flag, 0.0)))
        body = (*body, *count, *tell)
        ends = For(counter, Int(0), Int(self.most), body, View(flag)) if counter else Until(View(flag), body)
        return do("index", ticks, value=Int(-UNTIL_ROUNDS)), ends


simple = st.one_of(
    computations, computations, shifts, paths, multicasts, chains, chains, trees, gathers, stars, alternates, listens,
    skews,
)  # fmt: skip


def _around(inner: st.SearchStrategy[Act]) -> st.SearchStrategy[Act]:
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Loop, acts=some, rounds=st.integers(1, 3), by_scalar=st.booleans()),
        st.builds(Repeat, acts=some, most=st.integers(0, 4)),
        st.builds(Choice, by=st.sampled_from(("scalar", "round")), acts=some, others=some | st.just(())),
    )


#: Any act, at most two deep.
acts: st.SearchStrategy[Act] = st.one_of(simple, simple, simple, _around(st.one_of(simple, simple, _around(simple))))
