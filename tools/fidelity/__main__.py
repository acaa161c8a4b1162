"""``python -m tools.fidelity``: fit the WSE-3's costs to the measured rows and say how well they fit."""

from __future__ import annotations

import numpy as np

from meshrt.target import load_target
from tools.fidelity.fit import fit, left_out
from tools.fidelity.measured import GROUPS, rows


def main() -> None:
    """Print every round of the fit, then what rows that were left out of one would have been predicted as."""
    _, linear = fit(rows(), load_target("wse3"), lambda text: print(text, flush=True))
    for name, group in GROUPS.items():
        error = np.abs(left_out(linear, rows(), group))
        print(f"left out by {name}: mean {error.mean():.2%}, worst {error.max():.2%}")


if __name__ == "__main__":
    main()
