"""What an execution met, as diagnostics: the same codes as the runtime's, the smallest counter-example, its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from meshrt.diagnostics import Diagnostic
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.model import For, Instruction, Until
from meshrt.program.proofs.loading import Prepared
from meshrt.program.proofs.records import (
    A_CALLS,
    A_DECLARED,
    A_OPERANDS,
    A_STEPS,
    C_SIZE,
    CALL_UNIT,
    DTYPE_NUMBERS,
    DTYPE_UNIT,
    DTYPES,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_DIVISION,
    ERROR_DTYPE,
    ERROR_EXTENT,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_HELD,
    ERROR_INPUT_QUEUES,
    ERROR_LEAVES,
    ERROR_NO_BUFFER,
    ERROR_OUTPUT_QUEUES,
    ERROR_PENDING,
    ERROR_PORT_OVERFLOW,
    ERROR_SPLIT,
    ERROR_STALE,
    ERROR_TABLE,
    F_CALL,
    F_COLOR,
    F_EARLIER,
    F_INPUT,
    F_PE,
    H_ERROR,
    H_ERROR_A,
    H_ERROR_B,
    H_ERROR_C,
    H_ERROR_PE,
    H_ERROR_STEP,
    H_LIVE,
    H_LIVE_WIDTH,
    IDLE,
    INBOX,
    M_CALL,
    M_IN,
    M_STATE,
    O_NAME,
    O_SIZE,
    PORT_NUMBERS,
    S_LINE,
    S_SIZE,
    X_CHANNEL,
    X_EXPECTED,
    X_GOT,
    X_PORT,
)
from meshrt.program.proofs.state import State
from meshrt.program.proofs.waits import HOST, ROOM, ROUTE, WORDS, Wait, Waits

_DTYPE_NAMES = tuple(DTYPE_NUMBERS)
_PORT_NAMES = tuple(PORT_NUMBERS)
#: Groups of PEs that one note lists, and notes of one kind.
MOST = 6


class Explainer:
    """Turns the state at the end of one execution into diagnostics. ``scalars`` says for which values it was run."""

    def __init__(self, prepared: Prepared, state: State, source: SourceText, scalars: str):
        self._prepared = prepared
        self._state = state
        self._s = state.s
        self._source = source
        self._scalars = scalars

    # Names.

    def pes(self, pes: Iterable[int]) -> str:
        """Rectangles of PEs, with their regions where there are several."""
        return self._prepared.stretch.describe(pes)

    def _line_of(self, step: int) -> int:
        return int(self._s[step + S_LINE]) if step >= self._s[A_STEPS] else 0

    def _call(self, number: int) -> Instruction | None:
        return self._prepared.skeleton.called[number]

    def _call_of_move(self, move: int) -> Instruction | None:
        return self._call(int((self._s[move + M_CALL] - self._s[A_CALLS]) // C_SIZE))

    def _said(self, line: int, opcode: str = "") -> str:
        text = self._source.line(line) if line else ""
        return f"line {line}: {text.strip()}" if text else f"{opcode} at line {line}" if line else opcode

    def _sender(self, word: int) -> str:
        instruction = self._call(word // CALL_UNIT)
        if instruction is None:
            return "the host"
        return f"{instruction.opcode} at line {instruction.line}" if instruction.line else instruction.opcode

    def _found(self, code: str, message: str, line: int, word: str = "", notes: Iterable[str] = ()) -> Diagnostic:
        notes = [*notes, f"this is so for {self._scalars}"] if self._scalars else [*notes]
        place = self._source.place_of(line, word) if line else None
        return Diagnostic(code, message, place, tuple(notes))

    # Errors that the execution itself met.

    def error(self) -> Diagnostic:
        """What stopped the execution."""
        s = self._s
        step, address = int(s[H_ERROR_STEP]), int(s[H_ERROR_PE])
        pe = self._state.pe_number(address)
        at, line = self.pes([pe]), self._line_of(step)
        a, b, c = int(s[H_ERROR_A]), int(s[H_ERROR_B]), int(s[H_ERROR_C])
        touching = s[H_ERROR] in (ERROR_STALE, ERROR_HELD, ERROR_NO_BUFFER)
        instruction = self._toucher(a) if touching else self._instruction_at(step)
        opcode = instruction.opcode if isinstance(instruction, Instruction) else "wait" if not touching else "until"
        line = instruction.line if instruction is not None else line
        messages: dict[int, Callable[[], tuple[str, str]]] = {
            ERROR_DTYPE: lambda: (
                "M0505",
                f"{opcode} on {at} wants {_DTYPE_NAMES[c]} from color {a}; {self._sender(b)} sent {_dtype(b)}",
            ),
            ERROR_SPLIT: lambda: (
                "M0506",
                f"{opcode} on {at} ends in the middle of a word of color {a} that {self._sender(b)} sent",
            ),
            ERROR_LEAVES: lambda: (
                "M0502",
                f"words of color {a} that {self._sender(b)} sent leave the region at {at} to the {_PORT_NAMES[c]}, "
                "where no port takes them",
            ),
            ERROR_PORT_OVERFLOW: lambda: ("M0510", self._overflow(at, a, b, c)),
            ERROR_HANDLE_BUSY: lambda: (
                "M0507",
                f"{opcode} on {at} uses the handle {self._handle(a)!r}, whose move was not waited for",
            ),
            ERROR_HANDLE_IDLE: lambda: (
                "M0507",
                f"{opcode} on {at} waits for the handle {self._handle(a)!r}, which no move holds",
            ),
            ERROR_INPUT_QUEUES: lambda: ("M0508", self._too_many(at, a, b, "moves from the fabric")),
            ERROR_OUTPUT_QUEUES: lambda: ("M0508", self._too_many(at, a, b, "moves to the fabric")),
            ERROR_ASYNC_MOVES: lambda: ("M0508", self._too_many(at, a, b, "asynchronous moves")),
            ERROR_COLOR: lambda: ("M0511", f"{opcode} on {at} uses color {a}, which no route mentions"),
            ERROR_HELD: lambda: (
                "M0509",
                f"{opcode} on {at} touches {self._operand(a)!r}, which {self._holder(b)} holds",
            ),
            ERROR_STALE: lambda: (
                "M0512",
                f"{opcode} on {at} reads {self._operand(a)!r}, which does not hold its own data there",
            ),
            ERROR_NO_BUFFER: lambda: ("M0522", f"{opcode} on {at} uses {self._operand(a)!r}, which is not there"),
            ERROR_DIVISION: lambda: ("M0521", f"an index expression divides by zero on {at}"),
            ERROR_TABLE: lambda: ("M0520", f"an index expression reads outside a table on {at}"),
            ERROR_EXTENT: lambda: ("M0523", f"{opcode} on {at} moves {a} elements"),
            ERROR_PENDING: lambda: (
                "M0360",
                f"more than {a} changes of one route on {at} may wait for words of the PE itself",
            ),
        }
        code, message = messages[int(s[H_ERROR])]()
        notes = self._owners(pe, b) if s[H_ERROR] == ERROR_STALE else ()
        return self._found(code, message, line, opcode if line else "", notes)

    def _instruction_at(self, step: int) -> Instruction | None:
        index = (step - int(self._s[A_STEPS])) // S_SIZE if step >= self._s[A_STEPS] else -1
        return self._prepared.skeleton.instruction_of_step(index) if index >= 0 else None

    def _toucher(self, operand: int) -> Instruction | For | Until:
        return self._prepared.skeleton.touched[(operand - int(self._s[A_OPERANDS])) // O_SIZE]

    def _operand(self, operand: int) -> str:
        """The name of the buffer that an operand means."""
        return list(self._prepared.buffers.names)[int(self._s[operand + O_NAME])]

    def _handle(self, number: int) -> str:
        return list(self._prepared.skeleton.handles)[number]

    def _too_many(self, at: str, count: int, limit: int, what: str) -> str:
        return f"{count} {what} are under way at once on {at}; a PE of {self._prepared.target.name} has {limit}"

    def _holder(self, call: int) -> str:
        instruction = self._call((call - int(self._s[A_CALLS])) // C_SIZE)
        assert instruction is not None
        where = f" of line {instruction.line}" if instruction.line else ""
        return f"the {instruction.opcode}{where} (async={instruction.option('async')})"

    def _overflow(self, at: str, color: int, word: int, sink: int) -> str:
        expected, number = int(self._s[sink + X_EXPECTED]), int(self._s[sink + X_PORT])
        port = self._prepared.region.ports[number]
        if port.dtype != _dtype(word):
            return f"port {port.name!r} takes {port.dtype} at {at}; {self._sender(word)} sent {_dtype(word)}"
        return f"port {port.name!r} takes {expected} elements of color {color} at {at}; {self._sender(word)} sends more"

    def _owners(self, pe: int, declared: int) -> list[str]:
        """Who holds the addresses of a buffer that does not hold its own data."""
        buffers = self._prepared.buffers
        d = (declared - int(self._s[A_DECLARED])) // buffers.record_size
        width = int(self._s[H_LIVE_WIDTH])
        live = self._state.pes[pe, int(self._s[H_LIVE]) :][:width]
        notes = []
        for other in sorted(buffers.rivals[d]):
            if np.any(live & buffers.own_bits(other)):
                b = self._prepared.region.buffers[other]
                where = f" (line {b.line})" if b.line else ""
                notes.append(f"{b.name}{where} shares its addresses and was written since")
        return notes or ["it was never written there"]

    # What is left when nothing moves.

    def ending(self) -> Diagnostic | None:
        """Deadlock, a race that ended badly, words left over, or None where all is well."""
        waits = Waits(self._state)
        race = self._refused_race()
        if race is not None:
            return race
        if waits.blocked:
            return self._deadlock(waits)
        notes = self._parked() + self._unread() + self._unfinished()
        if notes:
            return self._found("M0518", "the program ends with words or moves left over", 0, notes=notes)
        return self._short_ports()

    def _deadlock(self, waits: Waits) -> Diagnostic:
        cycle = waits.cycle()
        shown = cycle or waits.dead_ends()[:1] or [waits.of(waits.blocked[0])]
        notes = [self._describe(wait) for wait in shown[:MOST]]
        if len(shown) > MOST:
            notes.append(f"and so on, through {len(shown)} PEs in all")
        others = sorted(set(waits.blocked) - {wait.pe for wait in shown})
        if others:
            notes.append(f"{self.pes(others)} {'wait' if len(others) > 1 else 'waits'} as well")
        notes += self._parked()
        first = self._call_of_move(shown[0].move)
        message = (
            f"deadlock: {self.pes(wait.pe for wait in shown)} wait{'s' if len(shown) == 1 else ''} "
            f"for {'one another' if len(shown) > 1 else 'itself' if cycle else 'what never comes'}"
        )
        line = first.line if first is not None else 0
        return self._found("M0500", message, line, first.opcode if first is not None else "", notes)

    def _describe(self, wait: Wait) -> str:
        what = {
            WORDS: f"for words of color {wait.color}",
            ROOM: f"for room on color {wait.color}",
        }[wait.wants]
        target = "" if wait.target < 0 else "itself" if wait.target == wait.pe else self.pes([wait.target])
        until = {
            WORDS: f"which {target} would have to send",
            ROOM: f"which {target} would have to receive",
            ROUTE: f"whose route {target} would have to change",
            HOST: "of which the host has no more",
        }[wait.on]
        instruction = self._call_of_move(wait.move)
        line = instruction.line if instruction is not None else 0
        said = self._said(line, instruction.opcode if instruction is not None else "")
        return f"{self.pes([wait.pe])} waits {what}, {until}: {said}"

    def _refused(self) -> list[tuple[int, int]]:
        """Channels and ports where words stand that the router does not accept."""
        if not len(self._state.channels):
            return []
        counts = self._state.queues[:, :INBOX, 0]
        accepted = self._state.channels[:, F_INPUT]
        refused = (counts > 0) & (np.arange(INBOX)[None, :] != accepted[:, None])
        return [(int(f), int(port)) for f, port in np.argwhere(refused)]

    def _refused_race(self) -> Diagnostic | None:
        """Words came to a port just after the router had stopped accepting it: another timing lets them pass."""
        for f, port in self._refused():
            if port < 4 and self._state.channels[f, F_EARLIER] >> port & 1:
                word = int(self._state.queues[f, port, 1])
                return self.race(f, f"words that {self._sender(word)} sent, through port {_PORT_NAMES[port]}")
        return None

    def race(self, f: int, words: str = "words of other PEs") -> Diagnostic:
        """A route changes under words whose passing it does not wait for."""
        channel = self._state.channels[f]
        pe = self._state.pe_number(int(channel[F_PE]))
        call = int(channel[F_CALL])
        rewriter = self._call((call - int(self._s[A_CALLS])) // C_SIZE) if call else None
        return self._found(
            "M0504",
            f"the route of color {int(channel[F_COLOR])} at {self.pes([pe])} may change under {words}",
            rewriter.line if rewriter is not None else 0,
            "route",
            notes=["whether they pass before or after the change depends on timing"],
        )

    def _parked(self) -> list[str]:
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        for f, port in self._refused():
            channel = self._state.channels[f]
            word = int(self._state.queues[f, port, 1])
            key = (int(channel[F_COLOR]), port, int(channel[F_INPUT]), word // CALL_UNIT)
            groups.setdefault(key, []).append(self._state.pe_number(int(channel[F_PE])))
        notes = []
        for (color, port, accepted, call), pes in sorted(groups.items())[:MOST]:
            has = f"accepts only {_PORT_NAMES[accepted]}" if accepted >= 0 else "has no route"
            notes.append(
                f"words of color {color} from {self._sender(call * CALL_UNIT)} stand at port {_PORT_NAMES[port]} of "
                f"{self.pes(pes)}, whose router {has}"
            )
        return notes

    def _unread(self) -> list[str]:
        groups: dict[tuple[int, int], list[int]] = {}
        for f in np.flatnonzero(self._state.queues[:, INBOX, 0]).tolist() if len(self._state.channels) else ():
            channel = self._state.channels[f]
            key = (int(channel[F_COLOR]), int(self._state.queues[f, INBOX, 1]) // CALL_UNIT)
            groups.setdefault(key, []).append(self._state.pe_number(int(channel[F_PE])))
        return [
            f"words of color {color} from {self._sender(call * CALL_UNIT)} lie at {self.pes(pes)}"
            for (color, call), pes in sorted(groups.items())[:MOST]
        ]

    def _unfinished(self) -> list[str]:
        groups: dict[tuple[int, int], list[int]] = {}
        flying = np.argwhere(self._state.moves[:, :, M_STATE] == 1)
        for pe, handle in flying.tolist():
            move = self._state.moves[pe, handle]
            call = (int(move[M_CALL]) - int(self._s[A_CALLS])) // C_SIZE
            if move[M_STATE] != IDLE:
                groups.setdefault((call, int(self._s[move[M_IN] + F_COLOR])), []).append(pe)
        notes = []
        for (call, color), pes in sorted(groups.items())[:MOST]:
            instruction = self._call(call)
            assert instruction is not None
            lacks = "room for its words" if instruction.opcode == "send" else "its words"
            notes.append(
                f"{instruction.opcode} at line {instruction.line} on {self.pes(pes)} never got {lacks} of color {color}"
            )
        return notes

    def _short_ports(self) -> Diagnostic | None:
        for sink in self._state.sinks:
            port = self._prepared.region.ports[int(sink[X_PORT])]
            if sink[X_GOT] < sink[X_EXPECTED] and port.exact:
                pe = self._state.pe_number(int(self._s[int(sink[X_CHANNEL]) + F_PE]))
                return self._found(
                    "M0510",
                    f"port {port.name!r} gets {sink[X_GOT]} of {sink[X_EXPECTED]} elements from {self.pes([pe])}",
                    port.line,
                    port.name,
                )
        return None


def _dtype(word: int) -> str:
    return _DTYPE_NAMES[word // DTYPE_UNIT % DTYPES]
