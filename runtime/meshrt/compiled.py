"""How inner loops are compiled, of engines and proofs: cached on disk, one thread, strict IEEE arithmetic."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import sigutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc

#: No fast-math: order and rounding are part of the machine. Compiled code allocates nothing, so arrays need no
#: reference counts (``_nrt``): counting them took most of the time.
_OPTIONS = {"_nrt": False, "error_model": "numpy", "boundscheck": False, "fastmath": False}
#: A function that only compiled code calls needs no wrappers, which cost more to compile than most functions.
_INTERNAL = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS}


_ROOT = Path(__file__).parent
_IMPORT = re.compile(r"^(?:from|import) meshrt\.([\w.]+)(?: import (\([^)]*\)|[^\n(]*))?", re.M)


@cache
def _imported(path: Path) -> frozenset[Path]:
    """Modules of this package that a module imports."""
    found = set()
    for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        folder = _ROOT / module.replace(".", "/")
        # What is imported from a package may be a module in it.
        found |= {folder.with_suffix(".py"), *(folder / f"{name}.py" for name in re.findall(r"\w+", names))}
    return frozenset(path for path in found if path.exists())


@cache
def _digest_of_sources(path: Path) -> str:
    """What the compiled functions of a module depend on: the module, and those that it imports."""
    sources, left = {Path(__file__)}, {path}
    while left:
        sources |= left
        left = {i for module in left for i in _imported(module)} - sources
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


class _Cache(FunctionCache):
    """Numba's cache of a function, stale when a module changes whose functions it may hold, not only its own."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        # Compiled functions hold what they call from other files, so what is cached depends on those too.
        stamp = _digest_of_sources(Path(function.__code__.co_filename))
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


def called_by_address(function: Callable[..., Any]) -> Any:
    """Compile a function of three int64 that compiled functions call by its ``address``: they hold no copy of it.

    What calls it compiles faster, and does not go stale with it.
    """
    signature = sigutils.normalize_signature(types.int64(types.int64, types.int64, types.int64))
    compiled: Any = CFunc(function, signature, locals={}, options=_OPTIONS)
    compiled._cache = _Cache(function)
    compiled.compile()
    return compiled
