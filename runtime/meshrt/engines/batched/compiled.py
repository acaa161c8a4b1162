"""How the engine's inner loops are compiled: cached on disk, one thread, strict IEEE arithmetic."""

from __future__ import annotations

from typing import Any

import numba

_OPTIONS = {"cache": True, "error_model": "numpy", "boundscheck": False, "fastmath": False}

#: Decorator of compiled functions. No fast-math: the order and rounding of arithmetic are part of the machine.
native: Any = numba.njit(**_OPTIONS)
#: The same for small functions that take the whole state: a call would cost more than they do.
native_inline: Any = numba.njit(forceinline=True, **_OPTIONS)
