"""Figures as people read them: shares, counts, times and energies in the unit that suits them."""

from __future__ import annotations

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


def percent(share: float) -> str:
    """A share to a tenth of a percent: ``12.3 %``."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{share * 100:.1f} %"


def short(count: float) -> str:
    """A count with a decimal prefix from ten thousand on: ``3.41 G``."""
    for size, prefix in _PREFIXES:
        if count >= size:
            scale = 1e3 if prefix == "k" else size
            return f"{count / scale:.3g} {prefix}" if count / scale < 999.5 else f"{count / scale:.0f} {prefix}"
    return f"{count:,}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``1.45 ms``."""
    return _in_unit(seconds, "s")


def joules(energy: float) -> str:
    """An energy in the unit that suits it: ``3.2 uJ``."""
    return _in_unit(energy, "J")


def _in_unit(amount: float, unit: str) -> str:
    for prefix, size in (("", 1.0), ("m", 1e-3), ("u", 1e-6)):
        if amount >= size:
            scaled = amount / size
            return f"{scaled:,.3g} {prefix}{unit}" if scaled < 999.5 else f"{scaled:,.0f} {prefix}{unit}"
    return f"{amount / 1e-9:.3g} n{unit}"
