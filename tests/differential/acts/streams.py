"""Acts of streams that are set up once: paths along x and y, multicasts, and exchanges between neighbours."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.cost import path_capacity, words
from meshrt.program.expr import Expr, Int, Name, X, Y, minimum, select
from tests.differential.acts.line import Line, lines
from tests.differential.acts.local import Local, locals_
from tests.differential.sheet import PE, VECTORS, Configuration, Sheet
from tests.differential.statements import Body, do, part, when

RECEIVES = ("recv", "recv_add", "recv_max")
OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}


@dataclass(frozen=True)
class Message:
    """What is moved: a part of one vector, received into another. ``growing`` messages are longer in each round."""

    dtype: int = 0
    source: int = 0
    target: int = 1
    count: int = 4
    receive: str = "recv"
    growing: bool = False

    def elements(self, sheet: Sheet) -> Expr:
        """How many: as drawn, or in a growing message more by the round or by the runtime scalar."""
        count = 1 + (self.count - 1) % sheet.elements
        if not self.growing or not (sheet.counters or sheet.scalars):
            return Int(count)
        name, most = sheet.counters[-1] if sheet.counters else _first_scalar(sheet)
        return Int(min(count, sheet.elements - most)) + Name(name) if most < sheet.elements else Int(count)

    def most(self, sheet: Sheet) -> int:
        return sheet.elements if self.growing else 1 + (self.count - 1) % sheet.elements

    def vectors(self, sheet: Sheet) -> tuple[str, str] | None:
        """Source and target, none where asynchronous moves around hold one of them."""
        shift = 1 + (self.target - self.source - 1) % (VECTORS - 1)
        source, target = sheet.vector(self.dtype, self.source), sheet.vector(self.dtype, self.source + shift)
        if source in sheet.written or target in sheet.written | sheet.read:
            return None
        return source, target


def _first_scalar(sheet: Sheet) -> tuple[str, int]:
    name, (_, high) = next(iter(sheet.scalars.items()))
    return name, high


messages = st.builds(
    Message,
    dtype=st.integers(0, 2),
    source=st.integers(0, 3),
    target=st.integers(0, 3),
    count=st.integers(1, 16) | st.just(64),
    receive=st.sampled_from(RECEIVES),
    growing=st.booleans(),
)


@dataclass(frozen=True)
class Path:
    """From one PE to another: along x, then along y, or the other way round."""

    start: PE = (0, 0)
    stop: PE = (1, 0)
    y_first: bool = False

    def routers(self, start: PE, stop: PE) -> list[PE]:
        (x0, y0), (x1, y1) = start, stop
        xs = [x0] + list(range(x0, x1, 1 if x1 > x0 else -1))[1:] + [x1] * (x0 != x1)
        ys = [y0] + list(range(y0, y1, 1 if y1 > y0 else -1))[1:] + [y1] * (y0 != y1)
        if self.y_first:
            return [(x0, y) for y in ys] + [(x, y1) for x in xs[1:]]
        return [(x, y0) for x in xs] + [(x1, y) for y in ys[1:]]


@dataclass(frozen=True)
class Paths:
    """Up to three paths. ``mode``: one after the other, received in parts; ``joined``, sent in parts and received at
    once; or all under way together while PEs compute.
    """

    paths: tuple[Path, ...] = (Path(),)
    message: Message = Message()
    mode: str = "blocking"
    during: tuple[Local, ...] = ()

    def write(self, sheet: Sheet) -> Body:
        found = self.message.vectors(sheet)
        ends = [
            (path, (path.start[0] % sheet.width, path.start[1] % sheet.height),
             (path.stop[0] % sheet.width, path.stop[1] % sheet.height))
            for path in self.paths[: VECTORS - 1]
        ]  # fmt: skip
        ends = [end for end in ends if end[1] != end[2]]
        if found is None or not ends:
            return ()
        source = found[0]
        colors = [sheet.color(configurations(path.routers(start, stop))) for path, start, stop in ends]
        if self.mode != "async":
            moves = zip(colors, ends, strict=True)
            return tuple(s for color, (_, *pes) in moves for s in self.one(sheet, color, *found, *pes))
        targets = [sheet.vector(self.message.dtype, self.message.source + 1 + n) for n in range(len(ends))]
        if sheet.written | sheet.read and (set(targets) | {source}) & (sheet.written | sheet.read):
            return ()
        n = self.message.elements(sheet)
        launches, waits = [], []
        for color, (_, start, stop), target in zip(colors, ends, targets, strict=True):
            moves = ((start, "send", source), (stop, self.message.receive, target))
            for pe, opcode, vector in moves if color % 2 else reversed(moves):
                handle = sheet.handle("h")
                launches += when(at(pe), (do(opcode, part(vector, 0, n), color=color, async_=handle),))
                waits += when(at(pe), (do("wait", handle=handle),))
        with sheet.holding(set(targets), {source}):
            meanwhile = [s for local in self.during for s in local.write(sheet)]
        return (*launches, *meanwhile, *waits)

    def one(self, sheet: Sheet, color: int, source: str, target: str, start: PE, stop: PE) -> Body:
        """Blocking moves: of two parts on one side where there are enough words."""
        n = self.message.elements(sheet)

        def moves(opcode: str, vector: str, parts: bool) -> Body:
            if not parts or not isinstance(n, Int) or n.value < 4:
                return (do(opcode, part(vector, 0, n), color=color),)
            # An even number of elements is a number of whole words.
            first = n.value // 4 * 2 if self.mode == "joined" else 2
            sizes = ((0, first), (first, n.value - first))
            return tuple(do(opcode, part(vector, begin, size), color=color) for begin, size in sizes)

        sends = moves("send", source, self.mode == "joined")
        receives = moves(self.message.receive, target, self.mode == "blocking")
        return (*when(at(start), sends), *when(at(stop), receives))


def at(pe: PE) -> Expr:
    """The condition that this is the PE."""
    return minimum(X.eq(pe[0]), Y.eq(pe[1]))


def direction(here: PE, there: PE) -> str:
    """The port that leads to the next router."""
    (x0, y0), (x1, y1) = here, there
    return ("E" if x1 > x0 else "W") if x1 != x0 else ("S" if y1 > y0 else "N")


def configurations(routers: list[PE]) -> dict[PE, Configuration]:
    """The routes of a stream from the first router's PE to the last one's."""
    found: dict[PE, Configuration] = {}
    source = "RAMP"
    for here, there in itertools.pairwise(routers):
        port = direction(here, there)
        found[here] = (source, (port,))
        source = OPPOSITE[port]
    found[routers[-1]] = (source, ("RAMP",))
    return found


@dataclass(frozen=True)
class Multicast:
    """One PE sends to all: along its row, and from there along the columns; ``taps`` > 1 leaves columns out."""

    root: PE = (0, 0)
    message: Message = Message()
    taps: int = 1

    def write(self, sheet: Sheet) -> Body:
        found, routes = self.message.vectors(sheet), self.routes(sheet)
        if found is None or not routes:
            return ()
        color = sheet.color(routes)
        rx, ry = self.root[0] % sheet.width, self.root[1] % sheet.height
        source, target = found
        n = self.message.elements(sheet)
        send = do("send", part(source, 0, n), color=color)
        receive = do(self.message.receive, part(target, 0, n), color=color)
        listens = ((X - rx) % self.taps).eq(0) if self.taps > 1 else None
        return when(at((rx, ry)), (send,), when(listens, (receive,)))

    def routes(self, sheet: Sheet) -> dict[PE, Configuration]:
        """The configurations of all routers that the words cross, none where nobody but the root would listen."""
        rx, ry = self.root[0] % sheet.width, self.root[1] % sheet.height
        found = {}
        for x in range(sheet.width):
            for y in range(sheet.height) if (x - rx) % self.taps == 0 else (ry,):
                source, outputs = self.configuration(sheet, x - rx, y - ry, rx, ry)
                if outputs:
                    found[x, y] = (source, outputs)
        return found if (rx, ry) in found else {}

    def configuration(self, sheet: Sheet, dx: int, dy: int, rx: int, ry: int) -> Configuration:
        listens = dx % self.taps == 0
        outputs = []
        if dy == 0:
            # The row goes on as far as there is another column that listens.
            if dx >= 0 and rx + dx + _next(dx, self.taps) < sheet.width:
                outputs.append("E")
            if dx <= 0 and rx + dx - _next(-dx, self.taps) >= 0:
                outputs.append("W")
        if listens and dy <= 0 and ry + dy > 0:
            outputs.append("N")
        if listens and dy >= 0 and ry + dy < sheet.height - 1:
            outputs.append("S")
        if listens and (dx, dy) != (0, 0):
            outputs.append("RAMP")
        source = ("N" if dy > 0 else "S") if dy else ("W" if dx > 0 else "E") if dx else "RAMP"
        return source, tuple(outputs)


def _next(distance: int, taps: int) -> int:
    """How far it is from here to the next column that listens."""
    return taps - distance % taps


@dataclass(frozen=True)
class Shift:
    """Every PE of a line sends to the next one, and in a ring the last to the first.

    ``mode``: ``parity``, where those at even positions send first; ``small``, where all send as much as the queues
    hold, and then receive; ``async``, where all send and receive at once, and compute meanwhile. ``rotate`` exchanges
    the two vectors afterwards.
    """

    line: Line = Line()
    message: Message = Message()
    mode: str = "async"
    ring: bool = False
    rotate: bool = False
    during: tuple[Local, ...] = ()

    def write(self, sheet: Sheet) -> Body:
        line, found = self.line.on(sheet), self.message.vectors(sheet)
        if line.empty or found is None:
            return ()
        last = line.length - 1
        ring = self.ring and last > 1
        out, into = line.hops()
        sends, receives = line.position.lt(last), line.position.gt(0)
        if ring:
            back = line.color(line.stream(last, 0))
            out, into = select(line.position.eq(last), back, out), select(line.position.eq(0), back, into)
            sends = receives = None
        source, target = found
        n = self.message.elements(sheet)
        send = do("send", part(source, 0, n), color=out)
        receive = do(self.message.receive, part(target, 0, n), color=into)
        mode = self.mode
        if mode == "small" and not self.fits(sheet):
            mode = "parity"
        match mode:
            case "parity":
                first = (line.position % 2).eq(0)
                both = when(sends, (send,)), when(receives, (receive,))
                body = when(first, both[0] + both[1], both[1] + both[0])
            case "small":
                body = when(sends, (send,)) + when(receives, (receive,))
            case _:
                body = self.together(sheet, sends, receives, out, into, n, found)
        if self.rotate and self.message.target % 2:
            body = (*body, do("rotate", source, target)) if source not in sheet.written | sheet.read else body
        return line.here(body)

    def together(
        self, sheet: Sheet, sends: Expr | None, receives: Expr | None, out: Expr, into: Expr, n: Expr,
        vectors: tuple[str, str],
    ) -> Body:  # fmt: skip
        source, target = vectors
        sent, got = sheet.handle("h"), sheet.handle("h")
        with sheet.holding({target}, {source}):
            meanwhile = tuple(s for local in self.during for s in local.write(sheet))
        return (
            *when(receives, (do(self.message.receive, part(target, 0, n), color=into, async_=got),)),
            *when(sends, (do("send", part(source, 0, n), color=out, async_=sent),)),
            *meanwhile,
            *when(sends, (do("wait", handle=sent),)),
            *when(receives, (do("wait", handle=got),)),
        )

    def fits(self, sheet: Sheet) -> bool:
        """Whether the queues of one hop hold the message."""
        return words(self.message.most(sheet), sheet.dtype(self.message.dtype)) <= path_capacity(sheet.target, 1)


coordinates = st.tuples(st.integers(0, 7), st.integers(0, 7))
durings = st.lists(locals_, max_size=2).map(tuple)
paths = st.builds(
    Paths,
    paths=st.lists(st.builds(Path, coordinates, coordinates, st.booleans()), min_size=1, max_size=3).map(tuple),
    message=messages,
    mode=st.sampled_from(("blocking", "joined", "async")),
    during=durings,
)
multicasts = st.builds(Multicast, root=coordinates, message=messages, taps=st.integers(1, 3))
shifts = st.builds(
    Shift,
    line=lines,
    message=messages,
    mode=st.sampled_from(("async", "parity", "small")),
    ring=st.booleans(),
    rotate=st.booleans(),
    during=durings,
)
