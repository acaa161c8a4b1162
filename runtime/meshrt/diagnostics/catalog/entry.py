"""One row of the catalog."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's short title and what ``meshc explain`` prints below it."""

    title: str
    explanation: str
