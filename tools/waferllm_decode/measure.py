"""``python -m tools.waferllm_decode.measure``: time what the page shows, each case once.

The results lie in ``build/waferllm_decode/``. A case that is there already is left alone: remove
the folder to have all renewed. Cases may be named, such as ``artifact_420``, to time those whose
names begin so.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from meshrt.target import load_target
from tools.waferllm_decode.layer import Case, Layer, build_of, layer_of

FOLDER = Path(__file__).resolve().parents[2] / "build" / "waferllm_decode"

#: The grids of WaferLLM's Table 4.
SIDES = (420, 540, 660)
#: Single costs of the WSE-2 that are tried on the artifact's rows, each with its value there.
TRIED: Mapping[str, int] = MappingProxyType({"vector_setup_cycles": 36, "ramp_cycles": 8})
#: From the paper's way to meshc's own, one option more at a time.
STEPS = ("", "trees=auto", "softmax=joined", "norms=joined", "scalars=shared", "softmax=overlapped")
#: The grid on which the steps are timed.
STEPS_SIDE = 420


def step_strategy(number: int) -> str:
    """The strategy after so many steps."""
    chosen = dict(step.split("=") for step in STEPS[1 : number + 1])
    options = ", ".join(f"{key}={value}" for key, value in chosen.items())
    return f"waferllm{{{options}}}" if options else "waferllm"


def cases() -> Iterator[tuple[Case, bool]]:
    """Every case, and whether the single costs are tried on it."""
    for model in ("artifact", "llama3_8b"):
        for side in SIDES:
            yield Case(model, side, "waferllm"), model == "artifact"
            yield Case(model, side, "auto"), False
    for number in range(1, len(STEPS)):
        yield Case("artifact", STEPS_SIDE, step_strategy(number)), False


def timed(case: Case, trying: bool) -> dict[str, Layer]:
    """The layer on the WSE-2 as it is (under no name), and with each single cost that is tried."""
    build = build_of(case)
    found = {"": layer_of(build)}
    if trying:
        for cost, value in TRIED.items():
            found[cost] = layer_of(build, dataclasses.replace(load_target("wse2"), **{cost: value}))
    return found


def read(case: Case) -> dict[str, Layer]:
    """What was timed of a case."""
    stored = json.loads((FOLDER / f"{case.name}.json").read_text(encoding="utf-8"))
    return {
        name: Layer(**{**layer, "operations": tuple((op, cycles) for op, cycles in layer["operations"])})
        for name, layer in stored.items()
    }


def main() -> None:
    """Time what is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for case, trying in cases():
        file = FOLDER / f"{case.name}.json"
        if file.exists() or not case.name.startswith(tuple(sys.argv[1:]) or ""):
            continue
        found = timed(case, trying)
        file.write_text(
            json.dumps({name: dataclasses.asdict(layer) for name, layer in found.items()}, indent=1), encoding="utf-8"
        )
        print(f"{case.name}: {', '.join(f'{name} {layer.cycles:,}' for name, layer in found.items())}", flush=True)


if __name__ == "__main__":
    main()
