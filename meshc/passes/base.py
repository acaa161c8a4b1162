"""What a pass is: a frozen dataclass whose fields are its options, and a ``run`` that changes the module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from meshc.ir.core import Module

if TYPE_CHECKING:
    from meshc.options import CompileOptions
    from meshrt.target import Target


def _nobody(text: str) -> None:
    """Listens to no pass."""


@dataclass
class PassContext:
    """What a pass may look at besides the module.

    ``weights`` maps names to source tensors (possibly without data, on the meta device);
    ``options`` and ``target`` are those of the compilation, absent when a pass runs on
    bare IR text; ``extra`` is where one pass leaves an analysis for a later one, under the
    first one's name. ``say`` takes what a pass was asked to tell: by default nobody listens.
    """

    weights: Mapping[str, Any] = field(default_factory=dict)
    options: CompileOptions | None = None
    target: Target | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = _nobody


@dataclass(frozen=True)
class Pass(ABC):
    """Base of all passes.

    A pass is one file, named as on the command line (``fuse-rms-norm`` in
    ``fuse_rms_norm.py``). Its options are dataclass fields with defaults, of the types
    ``bool``, ``int``, ``float``, ``str``, a ``Literal`` of words, a tuple of one of these,
    or one of these or None. Its docstring says what it needs, what it does (with a
    before/after example) and what holds after.
    """

    #: The name on the command line.
    name: ClassVar[str]
    #: The level of IR that it works on; None for any.
    level: ClassVar[str | None] = None

    @abstractmethod
    def run(self, module: Module, context: PassContext) -> None:
        """Change the module in place. Raises MeshError where the model cannot go this way."""
