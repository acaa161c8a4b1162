"""Generation: prompts in, new tokens out, one after the other as the wafer chooses them.

    from meshrt.generation import Request, generate
    generation = generate(build, Request(((1, 5, 3),), max_new_tokens=20), on_token=print)
    generation.tokens       # new tokens of each prompt
    generation.report       # ``generation``: time to the first token, and from one to the next

A build of the phase generate works on the prompts as a whole, then writes token by token; one of
the phase decode takes the prompts token by token too. The host gives the prompts and listens; it
chooses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.build import Build, read_build
from meshrt.diagnostics import MeshError
from meshrt.engines.listening import Heard
from meshrt.manifest import DecodeBinding, Manifest
from meshrt.progress import Progress
from meshrt.run import RunOptions, RunResult, run_build
from meshrt.target import load_target

#: Between which temperatures lie.
_COLDEST, _HOTTEST = 1e-6, 100


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen: of the ``top_k`` likeliest by chance, or the likeliest where that is one.

    Probabilities are those of the logits over ``temperature``; the same ``seed`` gives the same text.
    """

    top_k: int = 1
    temperature: float = 1.0
    seed: int = 0

    @classmethod
    def chosen(cls, manifest: Manifest, temperature: float | None, top_k: int | None, seed: int | None) -> Sampling:
        """What options say, None for those left out: without any, or at a temperature of 0, the likeliest token.

        A temperature alone chooses among as many tokens as the build can. Raises M0546 for a seed alone.
        """
        if temperature is None and top_k is None:
            if seed is not None:
                raise MeshError(
                    "M0546",
                    "a seed alone changes nothing: the likeliest token is chosen",
                    helps=["add --temperature X or --top-k K"],
                )
            return cls()
        if temperature == 0:
            return cls()
        chance = manifest.decode.chance if manifest.decode is not None else None
        most = chance.most if chance is not None else 1
        return cls(most if top_k is None else top_k, 1.0 if temperature is None else temperature, seed or 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What to write: up to ``max_new_tokens`` behind each prompt of ids, fewer where one of ``stop_ids`` comes."""

    prompts: tuple[tuple[int, ...], ...]
    max_new_tokens: int
    stop_ids: tuple[int, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class NewToken:
    """Token number ``number`` of what is written behind prompt ``prompt``; it left the wafer in ``cycle``.

    ``last`` says that nothing follows it.
    """

    prompt: int
    number: int
    id: int
    cycle: int
    last: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """New tokens of each prompt, the report of the run, and the prompts whose text the context cut off.

    ``context`` is the tokens that the build has room for. A timing-only run has no tokens.
    """

    tokens: tuple[tuple[int, ...], ...]
    report: dict[str, Any]
    result: RunResult
    cut: tuple[int, ...]
    context: int

    def check_complete(self, request: Request) -> None:
        """Raise M0545 where the context was full before all tokens were written."""
        if not self.cut:
            return
        first = self.cut[0]
        which = "the prompt" if len(request.prompts) == 1 else f"prompt {first + 1}"
        raise MeshError(
            "M0545",
            f"the context of {self.context} tokens is full: {which} of {len(request.prompts[first])} tokens "
            f"got {self.report['generation']['new_tokens'][first]} of {request.max_new_tokens} new ones",
            helps=[
                f"compile with --context {max(map(len, request.prompts)) + request.max_new_tokens - 1} or more",
                "ask for fewer new tokens, or shorten the prompt",
            ],
        )


def generate(
    build: Path | Build,
    request: Request,
    options: RunOptions | None = None,
    on_token: Callable[[NewToken], None] | None = None,
    progress: Progress | None = None,
) -> Generation:
    """Run a build that writes text; ``on_token`` hears of each new token while the run goes on.

    A timing-only run keeps the time of all tokens asked for and has none. Raises M0515, M0543, M0544, M0546, M0547
    and M0551 for what the build cannot do, and what :func:`run_build` raises. Where the context ends before the text,
    what was written is kept: see :attr:`Generation.cut`.
    """
    options = options or RunOptions()
    if not isinstance(build, Build):
        target = load_target(options.target) if options.target is not None else None
        build, options = read_build(build, target), replace(options, target=None)
    decode = check_request(build.manifest, request)
    prompts = [list(prompt) for prompt in request.prompts]
    # A build works on all its sequences at once: those that nobody asked for repeat the last one.
    prompts += [prompts[-1]] * (len(decode.lengths) - len(prompts))
    longest = max(map(len, prompts))
    steps = min(longest - 1 + request.max_new_tokens, decode.context)
    scalars = dict(zip(decode.lengths, map(len, prompts), strict=True)) | {decode.steps: steps}
    scalars |= dict(zip(decode.stops, request.stop_ids, strict=False)) | _chance(decode, request.sampling)
    ids = np.zeros((len(prompts), decode.prompt), np.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    writing = _Writing(request, decode, decode.starts(scalars), options.timing_only, on_token)
    result = run_build(build, {decode.prompts: ids}, options, progress, scalars, writing.hear)
    report = {**result.report, "generation": writing.report(result.report["provenance"]["clock_hz"])}
    tokens = () if options.timing_only else tuple(map(tuple, writing.tokens))
    return Generation(tokens, report, result, writing.cut(), decode.context)


def check_request(manifest: Manifest, request: Request) -> DecodeBinding:
    """What the build says of decoding. Raises M05xx for a request that it cannot do."""
    decode = manifest.decode
    if decode is None:
        raise MeshError(
            "M0543",
            f"the build is of the phase {manifest.phase}, which writes no text",
            helps=["compile the model with --phase generate, or with --phase decode"],
        )
    batch = len(decode.lengths)
    if not request.prompts:
        raise MeshError("M0551", "there is no prompt to go on from", helps=["give at least one"])
    if len(request.prompts) > batch:
        raise MeshError(
            "M0547",
            f"{len(request.prompts)} prompts were given, and the build takes {batch} at once",
            helps=[f"compile with --batch {len(request.prompts)}", "run the prompts one after the other"],
        )
    for number, prompt in enumerate(request.prompts):
        which = "the prompt" if len(request.prompts) == 1 else f"prompt {number + 1}"
        _check_prompt(prompt, which, decode)
    if request.max_new_tokens < 1:
        raise MeshError("M0546", f"{request.max_new_tokens} new tokens are asked for; one is the least")
    _check_ids(request.stop_ids, "a stop id", decode)
    if len(request.stop_ids) > len(decode.stops):
        raise MeshError(
            "M0546", f"{len(request.stop_ids)} stop ids were given, and the build takes up to {len(decode.stops)}"
        )
    _check_sampling(request.sampling, decode)
    return decode


def _check_prompt(prompt: Sequence[int], which: str, decode: DecodeBinding) -> None:
    if not prompt:
        raise MeshError("M0551", f"{which} has no tokens", helps=["write some text"])
    if len(prompt) > decode.prompt:
        raise MeshError(
            "M0515",
            f"{which} has {len(prompt)} tokens; the build takes up to {decode.prompt}",
            helps=[f"compile with --seq {len(prompt)} or more, and a --context that also holds what is to be written"],
        )
    _check_ids(prompt, f"a token id of {which}", decode)


def _check_ids(ids: Sequence[int], what: str, decode: DecodeBinding) -> None:
    for each in ids:
        if not 0 <= each < decode.vocabulary:
            raise MeshError(
                "M0544",
                f"{what} is {each}; the model knows {decode.vocabulary} tokens, 0 to {decode.vocabulary - 1}",
                helps=["use the tokenizer that the model was made for"],
            )


def _check_sampling(sampling: Sampling, decode: DecodeBinding) -> None:
    most = decode.chance.most if decode.chance is not None else 1
    if not 1 <= sampling.top_k <= most:
        can = f"chooses among 1 to {most} tokens" if most > 1 else "takes the likeliest token only"
        raise MeshError("M0546", f"top-k is {sampling.top_k}; this build {can}")
    if not _COLDEST <= sampling.temperature <= _HOTTEST:
        raise MeshError(
            "M0546",
            f"the temperature is {sampling.temperature}; it lies from {_COLDEST:.6f} to {_HOTTEST}",
            helps=["leave temperature and top-k out for the likeliest token"],
        )
    if not 0 <= sampling.seed < 1 << 31:
        raise MeshError("M0546", f"the seed is {sampling.seed}; it lies from 0 to {(1 << 31) - 1}")


def _chance(decode: DecodeBinding, sampling: Sampling) -> dict[str, int]:
    chance = decode.chance
    if chance is None:
        return {}
    temperature = round(sampling.temperature * chance.unit)
    return {chance.top_k: sampling.top_k, chance.temperature: temperature, chance.seed: sampling.seed}


class _Writing:
    """Makes new tokens of what a run tells: of each step, from position ``first`` on, one token of every sequence."""

    def __init__(
        self,
        request: Request,
        decode: DecodeBinding,
        first: int,
        timing_only: bool,
        on_token: Callable[[NewToken], None] | None,
    ):
        self._request = request
        self._decode = decode
        self._on_token = None if timing_only else on_token
        self._timing_only = timing_only
        self.tokens: list[list[int]] = [[] for _ in request.prompts]
        self._cycles: list[list[int]] = [[] for _ in request.prompts]
        self._first = self._position = first

    def hear(self, heard: Heard) -> None:
        """A message of the run: the tokens of a step."""
        if heard.port != self._decode.tokens:
            return
        for of_step in heard.values.reshape(-1, len(self._decode.lengths)).tolist():
            self._step(of_step, heard.cycle)

    def _step(self, chosen: Sequence[int], cycle: int) -> None:
        self._position += 1
        for number, prompt in enumerate(self._request.prompts):
            written = self.tokens[number]
            # What is chosen within a prompt, or behind the end of a text, is nobody's.
            if self._position < len(prompt) or self._ended(number):
                continue
            written.append(chosen[number])
            self._cycles[number].append(cycle)
            if self._on_token is not None:
                last = self._ended(number)
                self._on_token(NewToken(number, len(written) - 1, chosen[number], cycle, last))

    def _ended(self, number: int) -> bool:
        written = self.tokens[number]
        if len(written) == self._request.max_new_tokens:
            return True
        return not self._timing_only and bool(written) and written[-1] in self._request.stop_ids

    def cut(self) -> tuple[int, ...]:
        """Prompts whose text has not come to its end."""
        return tuple(number for number in range(len(self.tokens)) if not self._ended(number))

    def report(self, clock_hz: float) -> dict[str, Any]:
        """The report's section on what was written."""
        firsts = [cycles[0] for cycles in self._cycles if cycles]
        told: dict[str, Any] = {
            "prompts": [len(prompt) for prompt in self._request.prompts],
            "new_tokens": [len(written) for written in self._cycles],
            "steps": self._position - self._first,
        }
        if firsts:
            told |= {"first_token_cycles": max(firsts), "first_token_seconds": max(firsts) / clock_hz}
        gaps = sum(len(cycles) - 1 for cycles in self._cycles if cycles)
        if gaps:
            spent = sum(cycles[-1] - cycles[0] for cycles in self._cycles if cycles)
            mean = spent / gaps
            told |= {
                "token_cycles": mean,
                "token_seconds": mean / clock_hz,
                "tokens_per_second": len(firsts) * clock_hz / mean,
            }
        return told
