r"""Strings in IR text: double quotes, one line, with the escapes ``\" \\ \n \t \r \u{1f600}``."""

from __future__ import annotations

import re

_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CHARACTERS = {escape[1]: character for character, escape in _NAMED.items()}
_ESCAPE = re.compile(r'\\(?:u\{([0-9a-f]+)\}|(["\\ntr]))')


def _escape(character: str) -> str:
    named = _NAMED.get(character)
    if named is not None:
        return named
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


def quote(text: str) -> str:
    """The string as IR text. Printable characters stay as they are, in any script."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escape, text)) + '"'


def unquote(token: str) -> str:
    """The string that a well-formed quoted token stands for."""
    body = token[1:-1]
    if "\\" not in body:
        return body
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _CHARACTERS[m[2]], body)
