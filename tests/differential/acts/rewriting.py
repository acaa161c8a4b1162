"""Acts that rewrite routes while they run: stars, alternating receivers, and a PE that listens to two sides in turn."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from meshrt.program.model import Instruction
from tests.differential.acts.line import Line, PlacedLine, lines
from tests.differential.acts.streams import Message, messages
from tests.differential.sheet import Sheet
from tests.differential.statements import Body, do, loop, part, when


def turn(line: PlacedLine, color: int, source: str, *outputs: str) -> Instruction:
    """A ``route`` in terms of the line."""
    return do("route", color=color, from_=line.port(source), to=tuple(line.port(way) for way in outputs))


@dataclass(frozen=True)
class Star:
    """All PEs of a line send to the first, on one color: each sends its own words and then lets the others pass.

    Where it may run again, the first PE says that all words have passed, and one after the other turns its route back:
    were they told at once, the next words of one could overtake another that has not turned yet.
    """

    line: Line = Line()
    message: Message = Message()

    def write(self, sheet: Sheet) -> Body:
        line, found = self.line.on(sheet), self.message.vectors(sheet)
        if line.empty or found is None:
            return ()
        last = line.length - 1
        color = line.color(lambda p: ("RAMP", ("backward",)) if p else ("forward", ("RAMP",)))
        source, target = found
        n = self.message.elements(sheet)
        sends: Body = (do("send", part(source, 0, n), color=color),)
        passes = when(line.position.lt(last), (turn(line, color, "forward", "backward"),)) if last > 1 else ()
        counter = f"r{len(sheet.counters)}"
        receives = loop(counter, last, (do(self.message.receive, part(target, 0, n), color=color),))
        body = when(line.position.gt(0), sends + passes, receives)
        if sheet.looped:
            body += self.start_again(line, color, target)
        return line.here(body)

    def start_again(self, line: PlacedLine, color: int, target: str) -> Body:
        """From the first PE on, each turns its route back and tells the next: whoever sends again finds all turned."""
        last = line.length - 1
        out, into = line.hops()
        word = part(target, 0, 2)
        tell = when(line.position.lt(last), (do("send", word, color=out),))
        back = when(line.position.lt(last), (turn(line, color, "RAMP", "backward"),))
        return when(line.position.gt(0), (do("recv", word, color=into), *back)) + tell


@dataclass(frozen=True)
class Alternate:
    """A PE sends to both its neighbours in turn on one color; each turn takes effect behind its own words (R3)."""

    line: Line = Line()
    message: Message = Message()
    rounds: int = 2
    asynchronous: bool = False

    def write(self, sheet: Sheet) -> Body:
        line, found = self.line.on(sheet), self.message.vectors(sheet)
        if line.length < 3 or not line.lanes or found is None:
            return ()
        routes = (("forward", ("RAMP",)), ("RAMP", ("forward",)), ("backward", ("RAMP",)))
        color = line.color(lambda p: routes[p] if p < 3 else None)
        source, target = found
        view, into = part(source, 0, self.message.elements(sheet)), part(target, 0, self.message.elements(sheet))
        handle = sheet.handle("h") if self.asynchronous else None
        sends: Body = (
            do("send", view, color=color, async_=handle),
            turn(line, color, "RAMP", "backward"),
            do("send", view, color=color),
            turn(line, color, "RAMP", "forward"),
            *((do("wait", handle=handle),) if handle else ()),
        )
        receive: Body = (do(self.message.receive, into, color=color),)
        body = when(line.position.eq(1), sends, when(line.position.lt(3), receive))
        return line.here(loop(f"r{len(sheet.counters)}", self.rounds, body))


@dataclass(frozen=True)
class Listen:
    """A PE listens to both its neighbours in turn on one color; who comes early waits at a port of its router (R2).

    Where it may run again, it tells both that it listens to the first one again.
    """

    line: Line = Line()
    message: Message = Message()

    def write(self, sheet: Sheet) -> Body:
        line, found = self.line.on(sheet), self.message.vectors(sheet)
        if line.length < 3 or not line.lanes or found is None:
            return ()
        routes = (("RAMP", ("forward",)), ("backward", ("RAMP",)), ("RAMP", ("backward",)))
        color = line.color(lambda p: routes[p] if p < 3 else None)
        source, target = found
        n = self.message.elements(sheet)
        receive = do(self.message.receive, part(target, 0, n), color=color)
        listens: Body = (receive, turn(line, color, "forward", "RAMP"), receive)
        sends: Body = (do("send", part(source, 0, n), color=color),)
        if sheet.looped:
            acks = (("forward", ("RAMP",)), ("RAMP", ("forward", "backward")), ("backward", ("RAMP",)))
            ack = line.color(lambda p: acks[p] if p < 3 else None)
            word = part(target, 0, 2)
            listens += (turn(line, color, "backward", "RAMP"), do("send", word, color=ack))
            sends += (do("recv", word, color=ack),)
        return line.here(when(line.position.eq(1), listens, when(line.position.lt(3), sends)))


stars = st.builds(Star, line=lines, message=messages)
alternates = st.builds(
    Alternate, line=lines, message=messages, rounds=st.integers(1, 3), asynchronous=st.booleans()
)  # fmt: skip
listens = st.builds(Listen, line=lines, message=messages)
