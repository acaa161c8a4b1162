"""What a machine that stands still shows of broken parts: no program does this by itself.

Nothing here knows which faults were injected: it looks at links, PEs and counts only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.reference.core import records as rec
from meshrt.engines.reference.state import State
from meshrt.engines.wording import Wording

_SIDES = ("to the N", "to the E", "to the S", "to the W", "to its own PE", "of its own PE to the router")


def broken_part(state: State, say: Wording, checked: bool, notes: Sequence[str]) -> MeshError | None:
    """The first broken part found, as M0536 to M0538; ``notes`` say who waits for what."""
    return _stopped(state, say, notes) or _stuck(state, say, notes) or (_lossy(state, say, notes) if checked else None)


def _stopped(state: State, say: Wording, notes: Sequence[str]) -> MeshError | None:
    pes = np.flatnonzero(state.tables["pes"][:, rec.E_BLOCKED] == rec.STOPPED)
    if not len(pes):
        return None
    cycle = int(state.tables["pes"][pes, rec.E_CLOCK].min())
    return MeshError(
        "M0538", f"{say.pes(pes.tolist())} stopped in cycle {cycle:,} before its code had ended", notes=notes
    )


def _stuck(state: State, say: Wording, notes: Sequence[str]) -> MeshError | None:
    """A link that a word waits for, although there is room behind all links that it is to go over."""
    links = state.tables["links"]
    for link in np.flatnonzero(links[:, rec.L_WANT]).tolist():
        router, side = divmod(link, rec.LINKS)
        for color in range(len(state.colors)):
            if int(links[link, rec.L_WANT]) >> color & 1 and _has_room(state, router, side, color):
                sides = _together(state, router, side, color)
                last = (int(links[link, rec.L_GONE]) >> rec.USED_BITS) - 1
                since = f"since cycle {last:,}" if last >= 0 else "in the whole run"
                message = (
                    f"{'the link' if len(sides) == 1 else 'one of the links'} of {say.pes([router])} "
                    f"{' and '.join(_SIDES[s] for s in sides)} carried nothing {since}, though a word of color "
                    f"{say.color(color)} waits for it and has room behind it; nothing moves from cycle "
                    f"{int(state.header[rec.H_TIME]):,} on"
                )
                return MeshError("M0536", message, notes=notes)
    return None


def _together(state: State, router: int, side: int, color: int) -> list[int]:
    """The links over which a word leaves at once: all outputs of its route, or that from its PE to the router."""
    if side == rec.FROM_PE:
        return [side]
    outputs = int(state.tables["channels"][router * int(state.header[rec.B_COLORS]) + color, rec.F_CONFIG]) >> 3
    return [output for output in range(SIDES + 1) if outputs >> output & 1]


def _has_room(state: State, router: int, side: int, color: int) -> bool:
    """Whether the first word that waits for a link of a router could leave over all links that it has to go over."""
    colors, full = int(state.header[rec.B_COLORS]), int(state.header[rec.X_QUEUE_WORDS])
    for link in _together(state, router, side, color):
        at, port = router, rec.INTO_PE if link == RAMP else RAMP
        if link < SIDES:
            at, port = int(state.tables["neighbours"][router * SIDES + link, 0]), (link + 2) % SIDES
        if at >= 0 and int(state.queues[at * colors + color, port, rec.Q_COUNT]) >= full:
            return False
    return True


def _lossy(state: State, say: Wording, notes: Sequence[str]) -> MeshError | None:
    """A link over which more words went than arrived."""
    sent, arrived = state.tables["links"][:, rec.L_WORDS], state.tables["arrived"][:, 0]
    for link in np.flatnonzero(sent != arrived).tolist():
        router, side = divmod(link, rec.LINKS)
        message = (
            f"of {int(sent[link]):,} words on the link of {say.pes([router])} {_SIDES[side]} {int(arrived[link]):,} "
            f"had arrived when nothing moved any more in cycle {int(state.header[rec.H_TIME]):,}"
        )
        return MeshError("M0537", message, notes=notes)
    return None
