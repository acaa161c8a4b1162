"""Acts of all PEs of a line together: reductions along chains and trees, and gathering to all."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.expr import Expr, Int, Name, binary, select
from tests.differential.acts.line import Line, PlacedLine, lines
from tests.differential.acts.streams import Message, messages
from tests.differential.sheet import Sheet
from tests.differential.statements import Body, do, loop, part, when

STREAMS = {"recv_add": "stream_add", "recv_max": "stream_max", "recv": "stream_copy"}


@dataclass(frozen=True)
class Chain:
    """A pipeline of stations: the first sends, the others stream through, the last receives.

    ``groups`` stations make one chain, side by side with the next; ``two_phase`` then runs a chain over the last
    stations of all groups. ``spread`` multicasts the result of the last chain over the line. ``asynchronous``
    stations compute nothing meanwhile, but several groups of a color are under way.
    """

    line: Line = Line()
    message: Message = Message()
    stride: int = 1
    group: int = 8
    two_phase: bool = False
    spread: bool = False
    asynchronous: bool = False

    def write(self, sheet: Sheet) -> Body:
        line, found = self.line.on(sheet), self.message.vectors(sheet)
        if line.empty or found is None:
            return ()
        stations = list(range(0, line.length, self.stride))
        groups = [stations[n : n + self.group] for n in range(0, len(stations), self.group)]
        body = self.phase(line, groups, found)
        if self.two_phase and len(groups) > 1:
            body += self.phase(line, [[group[-1] for group in groups]], found)
        if self.spread and groups[-1][-1] > 0:
            body += self.broadcast(line, groups[-1][-1], found)
        return line.here(body)

    def phase(self, line: PlacedLine, groups: list[list[int]], vectors: tuple[str, str]) -> Body:
        """Chains side by side. Tables by position say what each PE is and on which of two colors it speaks."""
        groups = [group for group in groups if len(group) > 1]
        if not groups:
            return ()
        sheet = line.sheet
        hops = [[], []]
        role, turn = [0] * line.length, [0] * line.length
        for group in groups:
            for number, station in enumerate(group):
                role[station] = 1 if number == 0 else 3 if number == len(group) - 1 else 2
                turn[station] = number % 2
                if number:
                    hops[(number - 1) % 2].append(line.stream(group[number - 1], station))
        colors = [line.color(lambda p, of=of: merged([c for hop in of if (c := hop(p))])) if of else 0 for of in hops]
        source, target = vectors
        n = self.message.elements(sheet)
        out = sheet.table([colors[t] for t in turn], line.position)
        into = sheet.table([colors[1 - t] for t in turn], line.position)
        receive = self.message.receive
        handle = sheet.handle("h") if self.asynchronous else None
        # A chain that copies stores what passes, so the stations between write the target, else they read the source.
        between = part(target if receive == "recv" else source, 0, n)
        kind = sheet.table(role, line.position)
        body = when(
            kind.eq(1),
            (do("send", part(source, 0, n), color=out, async_=handle),),
            when(
                kind.eq(2),
                (do(STREAMS[receive], between, in_=into, out=out, async_=handle),),
                when(kind.eq(3), (do(receive, part(target, 0, n), color=into, async_=handle),)),
            ),
        )
        return body + (when(kind, (do("wait", handle=handle),)) if handle else ())

    def broadcast(self, line: PlacedLine, root: int, vectors: tuple[str, str]) -> Body:
        """What the last station got, backward to all before it."""
        _, target = vectors

        def configuration(position: int) -> tuple[str, tuple[str, ...]] | None:
            if position > root:
                return None
            source = "RAMP" if position == root else "forward"
            return source, (("backward",) if position else ()) + (("RAMP",) if position < root else ())

        color = line.color(configuration)
        view = part(target, 0, self.message.elements(line.sheet))
        send, receive = do("send", view, color=color), do("recv", view, color=color)
        return when(line.position.eq(root), (send,), when(line.position.lt(root), (receive,)))


def merged(found: list) -> tuple[str, tuple[str, ...]] | None:
    """The one configuration that the streams of a color have in a router."""
    assert len(found) < 2
    return found[0] if found else None


@dataclass(frozen=True)
class Tree:
    """A reduction in rounds: at distance 1, 2, 4, .. the odd ones send to those before them, which add or compare.

    ``rolled`` is one loop over the rounds, with colors and distances in tables by the round.
    """

    line: Line = Line()
    message: Message = Message()
    rolled: bool = False

    def write(self, sheet: Sheet) -> Body:
        line = self.line.on(sheet)
        found = self.message.vectors(sheet)
        if line.empty or found is None or found[0] in sheet.read:
            return ()
        distances = [d for d in (1, 2, 4) if d < line.length]
        colors = [self.color(line, distance) for distance in distances]
        if not self.rolled:
            rounds = zip(distances, colors, strict=True)
            body = tuple(s for d, color in rounds for s in self.round(line, found[0], Int(d), Int(color)))
        else:
            counter = f"r{len(sheet.counters)}"
            d, color = (sheet.table(entries, Name(counter)) for entries in (distances, colors))
            body = loop(counter, len(distances), self.round(line, found[0], d, color))
        return line.here(body)

    def color(self, line: PlacedLine, distance: int) -> int:
        hops = [
            line.stream(p, p - distance) for p in range(line.length) if p % (2 * distance) == distance
        ]  # fmt: skip
        return line.color(lambda p: merged([c for hop in hops if (c := hop(p))]))

    def round(self, line: PlacedLine, vector: str, distance: Expr, color: Expr) -> Body:
        view = part(vector, 0, self.message.elements(line.sheet))
        rest = line.position % (distance * 2)
        send, receive = do("send", view, color=color), do(self.message.receive, view, color=color)
        partner = binary("min", rest.eq(0), (line.position + distance).lt(line.length))
        return when(rest.eq(distance), (send,), when(partner, (receive,)))


@dataclass(frozen=True)
class AllGather:
    """Every PE of a line gets the pieces of all: they go round a ring, one place in each round.

    Even positions send first, or all PEs send and receive at once.
    """

    line: Line = Line()
    dtype: int = 0
    source: int = 0
    piece: int = 2
    asynchronous: bool = True

    def write(self, sheet: Sheet) -> Body:
        line = self.line.on(sheet)
        source = sheet.vector(self.dtype, self.source)
        if line.empty or source in sheet.written | sheet.read:
            return ()
        count, last = line.length, line.length - 1
        # Pieces of whole words: what is received in one round is sent in the next.
        piece = 2 * self.piece
        if piece > sheet.elements:
            return ()
        out, into = line.hops()
        back = line.color(line.stream(last, 0))
        out, into = select(line.position.eq(last), back, out), select(line.position.eq(0), back, into)
        all_of_them = sheet.declare(f"g{len(sheet.buffers)}", sheet.dtype(self.dtype), count * piece)
        counter = f"r{len(sheet.counters)}"
        place = lambda back: ((line.position - Name(counter) + (count - back)) % count) * piece  # noqa: E731
        sends = do("send", part(all_of_them, place(0), piece), color=out)
        receives = do("recv", part(all_of_them, place(1), piece), color=into)
        if self.asynchronous:
            sent, got = sheet.handle("h"), sheet.handle("h")
            around: Body = (
                do("recv", part(all_of_them, place(1), piece), color=into, async_=got),
                do("send", part(all_of_them, place(0), piece), color=out, async_=sent),
                do("wait", handle=got),
                do("wait", handle=sent),
            )
        else:
            around = when((line.position % 2).eq(0), (sends, receives), (receives, sends))
        # One element of each piece goes back, so that the result can be seen.
        shown = min(count, sheet.elements)
        return line.here(
            (
                do("copy", part(all_of_them, line.position * piece, piece), part(source, 0, piece)),
                *loop(counter, last, around),
                do("copy", part(source, 0, shown), part(all_of_them, 1, (shown, piece))),
            )
        )


chains = st.builds(
    Chain,
    line=lines,
    message=messages,
    stride=st.integers(1, 3),
    group=st.sampled_from((8, 8, 2, 3, 4)),
    two_phase=st.booleans(),
    spread=st.booleans(),
    asynchronous=st.booleans(),
)
trees = st.builds(Tree, line=lines, message=messages, rolled=st.booleans())
gathers = st.builds(
    AllGather, line=lines, dtype=st.integers(0, 2), source=st.integers(0, 3), piece=st.integers(1, 3),
    asynchronous=st.booleans(),
)  # fmt: skip
