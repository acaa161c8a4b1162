"""Targets: the numbers of a machine, as data. See ``docs/targets.md``."""

from meshrt.target.loader import available_targets, load_target, parse_target
from meshrt.target.model import Rates, Target
from meshrt.target.schema import KEYS, SECTIONS, Key
from meshrt.target.writer import target_to_toml

__all__ = [
    "KEYS",
    "SECTIONS",
    "Key",
    "Rates",
    "Target",
    "available_targets",
    "load_target",
    "parse_target",
    "target_to_toml",
]
