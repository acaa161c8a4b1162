"""Failures of a run as diagnostics: what compiled code reported, deadlock, and words that nobody took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.names import RegionNames
from meshrt.engines.reference.broken import broken_part
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.layout import Layout
from meshrt.engines.reference.lowering import KINDS, Lowered
from meshrt.engines.reference.misfits import describe_misfit
from meshrt.engines.reference.state import State
from meshrt.engines.wording import Wording, dtype_name, port_name, queue_name
from meshrt.program.model import Program

#: Groups of PEs, and of stray words, that one report describes.
MOST = 8


class Explainer:
    """Says in the program's terms what went wrong."""

    def __init__(
        self,
        program: Program,
        bases: Sequence[int],
        state: State,
        lowered: Lowered,
        layout: Layout,
        names: Sequence[RegionNames],
        text: Sequence[str] = (),
    ):
        self._state = state
        self._lowered = lowered
        self._layout = layout
        self._names = names
        self._bases = bases
        self._say = Wording(program, bases, lowered.instructions, state.colors, text)

    def failure(self) -> MeshError:
        """What compiled code reported."""
        h = self._state.header
        status, pe, call = int(h[rec.H_STATUS]), int(h[rec.H_PE]), int(h[rec.H_CALL])
        color, a, b = int(h[rec.H_COLOR]), int(h[rec.H_A]), int(h[rec.H_B])
        if status == rec.ERROR_STALE:
            return self._stale(pe, call, a, b)
        if status in (rec.ERROR_OPERANDS, rec.ERROR_DIVISION, rec.ERROR_NAME):
            return describe_misfit(self._state, self._lowered, self._names, self._bases, self._say, pe)
        at = self._say.pes([pe]) if pe >= 0 else ""
        instruction = self._say.call(call)
        number = color if status == rec.ERROR_COLOR else self._say.color(color)
        taker = f"{instruction} on {at}" if call >= 0 else f"the host at {at}"
        holder = self._say.call(a) if status == rec.ERROR_HELD else ""
        failures: dict[Any, tuple[str, str]] = {
            rec.ERROR_FULL: ("M0513", f"the engine has no room for more events ({a:,} are pending)"),
            rec.ERROR_DTYPE: (
                "M0505",
                f"{instruction} on {at} wants {dtype_name(b)} from color {number}, which brings {dtype_name(a)}",
            ),
            rec.ERROR_SPLIT_WORD: (
                "M0506",
                f"{instruction} on {at} takes {b} elements of color {number}, which splits a word of a message "
                f"of {a} elements",
            ),
            rec.ERROR_LEAVES_FABRIC: (
                "M0502",
                f"words of color {number} that {instruction} sent leave the region at {at} to the {port_name(a)}, "
                "where no port takes them",
            ),
            rec.ERROR_ROUTE_RACE: (
                "M0504",
                f"the route of color {number} at {at} changes in cycle {a} under words of another PE ({instruction})",
            ),
            rec.ERROR_HANDLE_BUSY: (
                "M0507",
                f"{instruction} on {at} uses handle {self._handle(pe, a)}, whose move was not waited for",
            ),
            rec.ERROR_HANDLE_IDLE: ("M0507", f"{instruction} on {at} waits for a handle that no move holds"),
            rec.ERROR_INPUT_QUEUES: (
                "M0508",
                f"{instruction} on {at} is asynchronous receive number {a}; the target has {b} input queues",
            ),
            rec.ERROR_OUTPUT_QUEUES: (
                "M0508",
                f"{instruction} on {at} is asynchronous send number {a}; the target has {b} output queues",
            ),
            rec.ERROR_ASYNC_MOVES: (
                "M0508",
                f"{instruction} on {at} is asynchronous move number {a}; the target allows {b} at once",
            ),
            rec.ERROR_HOST_OVERFLOW: (
                "M0510",
                f"words of color {number} that {instruction} sent do not match the port at {at}: "
                f"{a} elements, it takes {b}",
            ),
            rec.ERROR_COLOR: ("M0511", f"{instruction} on {at} uses color {number}, which no route mentions"),
            rec.ERROR_HELD: (
                "M0509",
                f"{instruction} on {at} {'writes' if b else 'reads'} memory that {holder} holds until its wait",
            ),
            rec.ERROR_DAMAGED: (
                "M0532",
                f"{taker} got a damaged word of color {number} in cycle {int(h[rec.H_TIME]):,}: "
                f"word {b} of {self._sender(a)}",
            ),
            rec.ERROR_MISSING: (
                "M0533",
                f"{taker} misses word {a} of color {number} in cycle {int(h[rec.H_TIME]):,}",
            ),
            rec.ERROR_OVERFLOW: (
                "M0539",
                f"the queue of color {number} at {queue_name(a)} of {at} overflows in cycle {int(h[rec.H_TIME]):,}: "
                f"it holds {b} words and gets another one of {instruction}",
            ),
            rec.ERROR_SHORT: (
                "M0540",
                f"{instruction} on {at} reaches byte {a:,} of the SRAM in cycle {self._clock(pe):,}; "
                f"it ends at byte {b:,}",
            ),
        }
        code, message = failures[status]
        return MeshError(code, message, place=self._say.place(call))

    def _clock(self, pe: int) -> int:
        return int(self._state.tables["pes"][pe, rec.E_CLOCK])

    def _sender(self, pe: int) -> str:
        return self._say.pes([pe]) if pe >= 0 else "the host"

    def _handle(self, pe: int, number: int) -> str:
        """Name of a handle of the code that a PE runs."""
        step = int(self._state.tables["pes"][pe, rec.E_STEP])
        code = self._lowered.origins[step][0]
        return next((name for name, n in self._lowered.handles[code].items() if n == number), str(number))

    def _stale(self, pe: int, call: int, row: int, slot: int) -> MeshError:
        layout = self._layout
        buffer = layout.buffers[slot]
        name = next(n for (_, n), number in layout.rows.items() if number == row)
        live = self._state.tables["live"][pe]
        notes = [
            f"{b.name} (line {b.line}) shares its addresses and was written since"
            for b in (layout.buffers[other] for other in layout.rivals.get(slot, []) if live[other])
        ]
        x, y = self._say.where(pe)
        if call >= 0:
            instruction = self._say.call(call)
        else:
            code, at = self._lowered.origins[int(self._state.tables["pes"][pe, rec.E_STEP])]
            step: Any = self._lowered.codes[code][1].steps[at]
            instruction = f"until at line {step.line}"
        return MeshError(
            "M0512",
            f"{instruction} reads {name} of PE ({x}, {y}), which another buffer overwrote",
            notes=notes or [f"{buffer.name} (line {buffer.line}) was never written there"],
        )

    def standstill(self, pes: np.ndarray) -> MeshError | None:
        """Nothing moves any more and these PEs have not ended: a broken part, else a deadlock of the program."""
        waiting = pes[self._state.tables["pes"][pes, rec.E_BLOCKED] != rec.STOPPED]
        deadlock = self.deadlock(waiting) if len(waiting) else None
        notes = deadlock.diagnostic.notes if deadlock else ()
        checked = bool(self._state.header[rec.X_CHECKED])
        return broken_part(self._state, self._say, checked, notes) or deadlock

    def deadlock(self, pes: np.ndarray) -> MeshError:
        """No PE can go on: who waits for what, and which words wait where."""
        table = self._state.tables["pes"]
        moves = self._state.tables["moves"].reshape(self._state.pes, -1, rec.V_SIZE)
        groups: dict[tuple, list[int]] = {}
        for pe in pes.tolist():
            why, on, call = (int(v) for v in table[pe, [rec.E_BLOCKED, rec.E_ON, rec.E_CALL]])
            if why == rec.ON_HANDLE:
                v = moves[pe, on]
                kind = int(v[rec.V_KIND])
                channel = int(v[rec.V_OUT if kind == rec.SEND else rec.V_IN])
                key = (call, why, self._handle(pe, on), kind, channel % int(self._state.header[rec.B_COLORS]))
            else:
                v = moves[pe, -1]
                if why == rec.ON_WORDS and v[rec.V_KIND] >= rec.STREAM_COPY and v[rec.V_FULL]:
                    # A stream-through that has its word and cannot send what came of it.
                    why, on = rec.ON_ROOM, int(v[rec.V_OUT]) % int(self._state.header[rec.B_COLORS])
                key = (call, why, "", -1, on)
            groups.setdefault(key, []).append(pe)
        ordered = sorted(groups.items(), key=lambda item: (item[1][0], item[0]))
        notes = []
        for (call, why, handle, kind, color), members in ordered[:MOST]:
            verb = "waits" if len(members) == 1 else "wait"
            reason = self._reason(why, handle, kind, color)
            notes.append(f"{self._say.pes(members)} {verb} {reason}: {self._say.line(call)}")
        if len(ordered) > MOST:
            notes.append(f"and {len(ordered) - MOST} more groups of PEs")
        notes += self._refused()
        return MeshError(
            "M0500",
            f"deadlock: {len(pes)} of {self._state.pes} PEs wait for one another",
            place=self._say.place(ordered[0][0][0]),
            notes=notes,
        )

    def _reason(self, why: int, handle: str, kind: int, color: int) -> str:
        number = self._say.color(color)
        if why == rec.ON_WORDS:
            return f"for words of color {number}"
        if why == rec.ON_ROOM:
            return f"for room on color {number}"
        if why == rec.ON_ROUTE:
            return f"to change the route of color {number} behind words that it refuses"
        what = "room on" if kind == rec.SEND else "words of"
        name = next(n for n, k in KINDS.items() if k == kind)
        return f"for {handle} ({name}, {what} color {number})"

    def _waiting(self, port: int) -> dict[tuple[int, int], list[int]]:
        """Channels whose queue of a port has words, by color and the instruction that sent the first."""
        state = self._state
        queues = state.queues[:, port]
        groups: dict[tuple[int, int], list[int]] = {}
        for channel in np.flatnonzero(queues[:, rec.Q_THERE]).tolist():
            record = queues[channel]
            word = int(record[rec.Q_RING + 2 * record[rec.Q_HEAD]])
            color = channel % int(state.header[rec.B_COLORS])
            groups.setdefault((color, int(state.words.view(np.int32)[word, rec.W_CALL])), []).append(channel)
        return groups

    def _refused(self) -> list[str]:
        """Words that stand at a port which their router does not accept."""
        colors = int(self._state.header[rec.B_COLORS])
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        for port in range(rec.INTO_PE):
            for (color, call), channels in self._waiting(port).items():
                for channel in channels:
                    config = int(self._state.tables["channels"][channel, rec.F_CONFIG])
                    if (config & 7) != port + 1:
                        groups.setdefault((color, port, config, call), []).append(channel // colors)
        notes = []
        for (color, port, config, call), routers in sorted(groups.items())[:MOST]:
            accepts = f"accepts only {port_name((config & 7) - 1)}" if config else "has no route"
            notes.append(
                f"words of color {self._say.color(color)} from {self._say.call(call)} stand at port {port_name(port)} "
                f"of {self._say.pes(routers)}, whose router {accepts}"
            )
        return notes

    def leftovers(self) -> MeshError | None:
        """All PEs have ended; words that nobody took and moves that never ended are an error."""
        state = self._state
        colors = int(state.header[rec.B_COLORS])
        notes = []
        for (color, call), channels in sorted(self._waiting(rec.INTO_PE).items())[:MOST]:
            at = self._say.pes([c // colors for c in channels])
            notes.append(f"words of color {self._say.color(color)} from {self._say.call(call)} lie at {at}")
        waiting: dict[tuple[int, int], list[int]] = {}
        sending: dict[tuple[int, int], list[int]] = {}
        for groups, field in ((waiting, rec.F_POST), (sending, rec.F_OUT)):
            for channel in np.flatnonzero(state.tables["channels"][:, field]).tolist():
                move = int(state.tables["channels"][channel, field]) - 1
                call = int(state.tables["moves"][move, rec.V_CALL])
                if field == rec.F_POST or state.tables["moves"][move, rec.V_KIND] == rec.SEND:
                    groups.setdefault((channel % colors, call), []).append(channel // colors)
        for (color, call), pes in sorted(waiting.items())[:MOST]:
            number = self._say.color(color)
            notes.append(f"{self._say.call(call)} on {self._say.pes(pes)} never got its words of color {number}")
        notes += self._refused()
        for (color, call), pes in sorted(sending.items())[:MOST]:
            number = self._say.color(color)
            notes.append(f"{self._say.call(call)} on {self._say.pes(pes)} never found room on color {number}")
        if not notes:
            return None
        return MeshError("M0518", "the program ended with words or moves left over", notes=notes)
