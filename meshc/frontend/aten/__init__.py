"""Converters from ATen operators to graph operations: one table per subject, joined here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meshc.frontend.aten.attention import ATTENTION
from meshc.frontend.aten.contractions import CONTRACTIONS
from meshc.frontend.aten.elementwise import ELEMENTWISE
from meshc.frontend.aten.layout import LAYOUT
from meshc.frontend.aten.norms import NORMS
from meshc.frontend.aten.reductions import REDUCTIONS
from meshc.frontend.aten.site import Converter

#: ATen operator without its overload (``aten.view``) -> converter.
CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {**LAYOUT, **ELEMENTWISE, **REDUCTIONS, **CONTRACTIONS, **NORMS, **ATTENTION}
)
