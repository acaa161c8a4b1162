"""Text that a build writes, on standard output as it comes: in the order of the prompts, whole characters only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

from meshrt.generation import NewToken

#: What a decoder gives for bytes that are no whole character yet.
_INCOMPLETE = "\ufffd"


#: The text of token ids.
Decode = Callable[[Sequence[int]], str]


def as_numbers(ids: Sequence[int]) -> str:
    """The ids themselves, where there is no tokenizer."""
    return " ".join(map(str, ids))


class Writing:
    """Takes new tokens and writes their text.

    One prompt's text is written as it comes. Of several, each under a line with its prompt, one is
    written as it comes once all before it are complete, so that they stand one after the other.
    ``begins`` is called before anything is written.
    """

    def __init__(self, out: TextIO, decode: Decode, prompts: Sequence[str], begins: Callable[[], None] = lambda: None):
        self._out = out
        self._decode = decode
        self._prompts = prompts
        self._begins = begins
        self._ids: list[list[int]] = [[] for _ in prompts]
        self._ended = [False] * len(prompts)
        self._current = -1
        self._shown = 0

    def take(self, token: NewToken) -> None:
        """A new token."""
        if self._current < 0:
            self._begins()
            self._begin(0)
        self._ids[token.prompt].append(token.id)
        self._ended[token.prompt] = token.last
        if token.prompt == self._current:
            self._show()
            while self._ended[self._current] and self._current + 1 < len(self._prompts):
                self._end()
                self._begin(self._current + 1)
                self._show()

    def close(self) -> None:
        """Nothing follows: what was held back is written, and the line ends."""
        if self._current < 0:
            return
        self._show(everything=True)
        for number in range(self._current + 1, len(self._prompts)):
            self._end()
            self._begin(number)
            self._show(everything=True)
        self._end()
        self._current = -1

    def _begin(self, number: int) -> None:
        self._current, self._shown = number, 0
        if len(self._prompts) > 1:
            self._out.write(f"> {self._prompts[number]}\n")

    def _end(self) -> None:
        self._out.write("\n")
        self._out.flush()

    def _show(self, everything: bool = False) -> None:
        text = self._decode(self._ids[self._current])
        if not (everything or self._ended[self._current]) and text.endswith(_INCOMPLETE):
            return
        self._out.write(text[self._shown :])
        self._out.flush()
        self._shown = len(text)
