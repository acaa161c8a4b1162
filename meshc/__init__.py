"""meshc: compiles PyTorch language models for wafer-scale meshes and runs them on an emulated wafer.

compiled = meshc.compile(module, (input_ids,), target="wse2", grid=(24, 24))
logits = compiled.run(input_ids=input_ids)["logits"]
compiled.report()["cycles"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshc.api import compile  # noqa: A004
    from meshc.driver import CompiledModel
    from meshc.options import CompileOptions

__all__ = ["CompileOptions", "CompiledModel", "compile"]

#: Where each name of the package comes from; torch is not imported before one is used.
_HOMES = {"compile": "meshc.api", "CompiledModel": "meshc.driver", "CompileOptions": "meshc.options"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'meshc' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
