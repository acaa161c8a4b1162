"""Coded diagnostics: every failure that a user can reach, in one form."""

from meshrt.diagnostics.catalog import CATALOG, Entry
from meshrt.diagnostics.diagnostic import Diagnostic, MeshError, Place

__all__ = ["CATALOG", "Diagnostic", "Entry", "MeshError", "Place"]
