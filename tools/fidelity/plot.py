"""A plot of predicted over measured cycles, as a small SVG whose bytes depend on the figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10

#: Points of one kind: (measured, predicted) cycles.
Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 360, 64, 24, 48
_COLORS = ("#0b6e99", "#c2571a")


def error_plot(kinds: Mapping[str, Points], bar: float) -> str:
    """Relative error in percent over measured cycles (logarithmic); dashed lines at plus and minus ``bar`` percent."""
    measured = [m for points in kinds.values() for m, _ in points]
    low, high = floor(log10(min(measured))), floor(log10(max(measured))) + 1
    top = bar * 1.25

    def x(cycles: float) -> float:
        return _LEFT + (log10(cycles) - low) / (high - low) * (_WIDTH - _LEFT - 16)

    def y(percent: float) -> float:
        return _TOP + (top - percent) / (2 * top) * (_HEIGHT - _TOP - _BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for percent, style in ((0, "#888"), (bar, "#888' stroke-dasharray='4 4"), (-bar, "#888' stroke-dasharray='4 4")):
        at = y(percent)
        lines.append(f"<path d='M{_LEFT} {at:.1f}H{_WIDTH - 16}' stroke='{style}' fill='none'/>")
        lines.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{percent:+g} %</text>')
    for power in range(low, high + 1):
        at = x(10.0**power)
        lines.append(f"<path d='M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}' stroke='#ddd' fill='none'/>")
        lines.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    middle = (_LEFT + _WIDTH - 16) // 2
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">measured cycles</text>')
    lines.append(f'<text x="{_LEFT}" y="14">predicted against measured, relative error</text>')
    for number, (kind, points) in enumerate(kinds.items()):
        color = _COLORS[number % len(_COLORS)]
        for m, p in points:
            lines.append(
                f'<circle cx="{x(m):.1f}" cy="{y(100 * (p / m - 1)):.1f}" r="3.5" fill="{color}" opacity="0.7"/>'
            )
        at = _WIDTH - 240 + 120 * number
        lines.append(f'<circle cx="{at}" cy="10" r="4" fill="{color}"/>')
        lines.append(f'<text x="{at + 10}" y="14">{kind}</text>')
    return "\n".join([*lines, "</svg>", ""])
