"""How the engines' inner loops are compiled: cached on disk, one thread, strict IEEE arithmetic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

#: No fast-math: order and rounding are part of the machine. Compiled code allocates nothing, so arrays need no
#: reference counts (``_nrt``): counting them took most of the time.
_OPTIONS = {"_nrt": False, "error_model": "numpy", "boundscheck": False, "fastmath": False}
#: A function that only compiled code calls needs no wrappers, which cost more to compile than most functions.
_INTERNAL = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS}


@cache
def _digest_of_sources(folder: Path) -> str:
    """What the compiled functions of an engine's folder depend on: its files and those that engines share."""
    shared = Path(__file__).parent
    sources = {path for f in (folder, shared, shared / "numeric", shared / "loading") for path in f.glob("*.py")}
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


class _Cache(FunctionCache):
    """Numba's cache of a function, but stale when any file of the engine changes, not only the function's own."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        # Compiled functions hold what they call from other files, so what is cached belongs to all sources together.
        stamp = _digest_of_sources(Path(function.__code__.co_filename).parent)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=stamp
        )


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher


def native(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls."""
    return _compiled(function, _OPTIONS)


def internal(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call."""
    return _compiled(function, _INTERNAL)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a small function into each of its callers."""
    return _compiled(function, {"forceinline": True, **_INTERNAL})
