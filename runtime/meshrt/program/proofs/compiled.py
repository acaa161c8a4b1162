"""How the inner loops of the proofs are compiled: cached on disk, integers only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

#: Compiled code allocates nothing, so its arrays need no reference counts (``_nrt``).
_OPTIONS = {"_nrt": False, "error_model": "numpy", "boundscheck": False}
_INTERNAL = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS}


def _digest_of_sources() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


#: Compiled functions hold what they call from other files, so what is cached belongs to all sources together.
_SOURCES = _digest_of_sources()


class _Cache(FunctionCache):
    """Numba's cache of a function, but stale when any file of the package changes."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=_SOURCES
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
