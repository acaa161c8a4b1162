"""Failures of a run as diagnostics: what compiled code reported, deadlock, and words that nobody took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError, Place
from meshrt.engines.batched.records import (
    C_ERROR,
    C_ERROR_A,
    C_ERROR_B,
    C_ERROR_CALL,
    C_ERROR_COLOR,
    C_ERROR_PE,
    C_PARKED,
    C_POSTED,
    C_QUEUED,
    COLOR,
    E_BLOCKED,
    E_CALL,
    E_ON,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_DTYPE,
    ERROR_FULL,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_HOST_OVERFLOW,
    ERROR_INPUT_QUEUES,
    ERROR_LEAVES_FABRIC,
    ERROR_OUTPUT_QUEUES,
    ERROR_ROUTE_LOOP,
    ERROR_ROUTE_RACE,
    ERROR_SPLIT_WORD,
    F_ELEMENTS,
    F_MESSAGE_HEAD,
    F_POST_HEAD,
    G_CALL,
    G_KIND,
    K_HEAD,
    KINDS,
    M_CALL,
    ON_HANDLE,
    ON_ROOM,
    ON_ROUTE,
    ON_WORDS,
    P_GROUP,
    P_STATE,
    PORT_NUMBERS,
    PORTS,
    SEND,
)
from meshrt.engines.batched.state import Tables
from meshrt.program.model import Instruction, Program
from meshrt.program.rectangles import describe

_DTYPE_NAMES = ("f32", "f16", "bf16", "i32")
_PORT_NAMES = tuple(PORT_NUMBERS)
#: Groups of PEs, and of stray words, that one report describes.
MOST = 8


class Explainer:
    """Turns PE, color and instruction numbers back into the program's terms."""

    def __init__(
        self,
        program: Program,
        bases: Sequence[int],
        tables: Tables,
        instructions: Sequence[Instruction],
        colors: Sequence[int],
        handles: dict[int, str],
        text: Sequence[str] = (),
    ):
        self._program = program
        self._bases = bases
        self._tables = tables
        self._instructions = instructions
        self._colors = colors
        self._handles = handles
        self._text = text

    # Names.

    def region_of(self, pe: int) -> int:
        """Number of the region that holds a PE."""
        return int(np.searchsorted(np.asarray(self._bases), pe, "right")) - 1

    def where(self, pe: int) -> tuple[int, int]:
        """(x, y) of a PE in its region."""
        r = self.region_of(pe)
        y, x = divmod(int(pe) - self._bases[r], self._program.regions[r].width)
        return x, y

    def pes(self, pes: Sequence[int]) -> str:
        """Rectangles of PEs, with their region where there are several."""
        parts = []
        for r in sorted({self.region_of(p) for p in pes}):
            text = describe([self.where(p) for p in pes if self.region_of(p) == r])
            parts.append(text if len(self._program.regions) == 1 else f"{text} of {self._program.regions[r].name}")
        return " and ".join(parts)

    def call(self, number: int) -> str:
        """``recv at line 12`` of an instruction number."""
        if number < 0:
            return "the host"
        i = self._instructions[number]
        return f"{i.opcode} at line {i.line}" if i.line else i.opcode

    def place(self, number: int) -> Place | None:
        """Where an instruction stands in the program text, if it was parsed."""
        if number < 0 or not self._instructions[number].line:
            return None
        line = self._instructions[number].line
        text = self._text[line - 1] if line <= len(self._text) else ""
        return Place("program.mesh", line, 0, text)

    # Failures.

    def failure(self) -> MeshError:
        """What compiled code reported."""
        c = self._tables.header
        error = int(c[C_ERROR])
        pe, color, call = int(c[C_ERROR_PE]), int(c[C_ERROR_COLOR]), int(c[C_ERROR_CALL])
        a, b = int(c[C_ERROR_A]), int(c[C_ERROR_B])
        at = self.pes([pe]) if pe >= 0 else ""
        instruction = self.call(call)
        number = self._colors[color] if 0 <= color < len(self._colors) else color
        failures: dict[Any, tuple[str, str]] = {
            ERROR_FULL: ("M0513", f"the engine has no room for more messages ({a:,} are under way)"),
            ERROR_DTYPE: (
                "M0505",
                f"{instruction} on {at} wants {_name(b)} from color {number}, which brings {_name(a)}",
            ),
            ERROR_SPLIT_WORD: (
                "M0506",
                f"{instruction} on {at} takes {b} elements of color {number}, which splits a word of a message "
                f"of {a} elements",
            ),
            ERROR_LEAVES_FABRIC: (
                "M0502",
                f"words of color {number} that {instruction} sent leave the region at {at} to the {_port(a)}, "
                "where no port takes them",
            ),
            ERROR_ROUTE_LOOP: ("M0503", f"words of color {number} that {instruction} sent go round in circles at {at}"),
            ERROR_ROUTE_RACE: (
                "M0504",
                f"the route of color {number} at {at} changes in cycle {b} while words of another PE pass until "
                f"cycle {a} ({instruction})",
            ),
            ERROR_HANDLE_BUSY: (
                "M0507",
                f"{instruction} on {at} uses handle {self._handles.get(a, a)}, whose move was not waited for",
            ),
            ERROR_HANDLE_IDLE: ("M0507", f"{instruction} on {at} waits for a handle that no move holds"),
            ERROR_INPUT_QUEUES: (
                "M0508",
                f"{instruction} on {at} is asynchronous receive number {a}; the target has {b} input queues",
            ),
            ERROR_OUTPUT_QUEUES: (
                "M0508",
                f"{instruction} on {at} is asynchronous send number {a}; the target has {b} output queues",
            ),
            ERROR_ASYNC_MOVES: (
                "M0508",
                f"{instruction} on {at} is asynchronous move number {a}; the target allows {b} at once",
            ),
            ERROR_HOST_OVERFLOW: (
                "M0510",
                f"words of color {number} that {instruction} sent do not match the port at {at}: "
                f"{a} elements, it takes {b}",
            ),
            # Such a color has no dense number: it is told as it stands.
            ERROR_COLOR: ("M0511", f"{instruction} on {at} uses color {color}, which no route mentions"),
        }
        code, message = failures[int(error)]
        return MeshError(code, message, place=self.place(call))

    def deadlock(self, pes: np.ndarray) -> MeshError:
        """No PE can go on: who waits for what, and which words wait where."""
        t = self._tables
        groups: dict[tuple, list[int]] = {}
        for pe in pes.tolist():
            why, on, call = (int(v) for v in t.pes[pe, [E_BLOCKED, E_ON, E_CALL]])
            if why == ON_HANDLE:
                slot = t.slots[on * t.pe_count + pe]
                kind, color = int(t.records[slot[P_GROUP] + G_KIND]), int(slot[P_STATE]) // COLOR
                key = (call, why, on, kind, color)
            else:
                key = (call, why, -1, -1, on)
            groups.setdefault(key, []).append(pe)
        ordered = sorted(groups.items(), key=lambda item: (item[1][0], item[0]))
        notes = []
        for (call, why, on, kind, color), members in ordered[:MOST]:
            verb = "waits" if len(members) == 1 else "wait"
            notes.append(f"{self.pes(members)} {verb} {self._reason(why, on, kind, color)}: {self._line(call)}")
        if len(ordered) > MOST:
            notes.append(f"and {len(ordered) - MOST} more groups of PEs")
        notes += self._parked()
        first = ordered[0][0][0]
        return MeshError(
            "M0500",
            f"deadlock: {len(pes)} of {t.pe_count} PEs wait for one another",
            place=self.place(first),
            notes=notes,
        )

    def _reason(self, why: int, on: int, kind: int, color: int) -> str:
        number = self._colors[color] if 0 <= color < len(self._colors) else color
        if why == ON_WORDS:
            return f"for words of color {number}"
        if why == ON_ROOM:
            return f"for room on color {number}"
        if why == ON_ROUTE:
            return f"to change the route of color {number} behind words that it refuses"
        what = "room on" if kind == SEND else "words of"
        name = next(n for n, k in KINDS.items() if k == kind)
        return f"for {self._handles.get(on, on)} ({name}, {what} color {number})"

    def _line(self, call: int) -> str:
        i = self._instructions[call]
        if 0 < i.line <= len(self._text):
            return f"line {i.line}: {self._text[i.line - 1].strip()}"
        return self.call(call)

    def _parked(self) -> list[str]:
        t = self._tables
        groups: dict[tuple, list[int]] = {}
        for k in np.flatnonzero(t.parked[:, K_HEAD]).tolist():
            r, port = divmod(k, PORTS)
            color, router = divmod(r, t.pe_count)
            config = int(t.routes[r])
            call = int(t.records[t.parked[k, K_HEAD] + M_CALL])
            groups.setdefault((color, port, config, call), []).append(router)
        notes = []
        for (color, port, config, call), routers in sorted(groups.items())[:MOST]:
            accepts = f"accepts only {_port((config & 7) - 1)}" if config else "has no route"
            notes.append(
                f"words of color {self._colors[color]} from {self.call(call)} stand at port {_port(port)} of "
                f"{self.pes(routers)}, whose router {accepts}"
            )
        return notes

    def leftovers(self) -> MeshError | None:
        """All PEs have ended; words that nobody took and moves that never ended are an error."""
        t = self._tables
        if not (t.header[C_QUEUED] or t.header[C_POSTED] or t.header[C_PARKED]):
            return None
        notes = []
        groups: dict[tuple[int, int], list[int]] = {}
        for f in np.flatnonzero(t.channels[:, F_ELEMENTS]).tolist():
            color, pe = divmod(f, t.pe_count)
            call = int(t.records[t.channels[f, F_MESSAGE_HEAD] + M_CALL])
            groups.setdefault((color, call), []).append(pe)
        for (color, call), pes in sorted(groups.items())[:MOST]:
            notes.append(f"words of color {self._colors[color]} from {self.call(call)} lie at {self.pes(pes)}")
        parked = self._parked()
        waiting: dict[tuple[int, int], list[int]] = {}
        for f in np.flatnonzero(t.channels[:, F_POST_HEAD]).tolist():
            color, pe = divmod(f, t.pe_count)
            call = int(t.records[t.records[t.channels[f, F_POST_HEAD] + P_GROUP] + G_CALL])
            waiting.setdefault((color, call), []).append(pe)
        for (color, call), pes in sorted(waiting.items())[:MOST]:
            notes.append(f"{self.call(call)} on {self.pes(pes)} never got its words of color {self._colors[color]}")
        notes = notes + parked
        if not notes:
            return None
        return MeshError("M0518", "the program ended with words or moves left over", notes=notes)


def _name(dtype: int) -> str:
    return _DTYPE_NAMES[dtype] if 0 <= dtype < len(_DTYPE_NAMES) else "?"


def _port(port: int) -> str:
    return _PORT_NAMES[port] if 0 <= port < len(_PORT_NAMES) else "?"
