"""What a compilation is asked for: one frozen dataclass with a JSON form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from meshrt.diagnostics import MeshError

DTYPES = ("mixed", "f16", "bf16", "f32")
PHASES = ("prefill", "decode", "generate")
#: The phases whose builds write on, within a context.
WRITING = ("decode", "generate")
#: Which logits leave the wafer in each phase, the default first.
LOGITS = {"prefill": ("all", "last"), "decode": ("none", "all"), "generate": ("none", "all")}
#: How tokens come into the KV cache (:mod:`meshc.kernels.cache`), the default first.
KV = ("shift", "append")
#: Elements of a token table that ride the ring at once, where SRAM is not short.
DEFAULT_CHUNK_ELEMENTS = 1024


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options of one compilation; ``None`` means chosen by the compiler.

    ``grid`` is (width, height) in PEs, of each region where a phase has two; ``seq`` the longest
    prompt in tokens; ``context`` (of the phases decode and generate) how many tokens prompt and
    answer may come to, ``kv`` how they come into the cache of keys and values; ``layers`` a
    half-open slice of the repeated layers; ``logits`` whether every position's logits leave the
    wafer, only those of the prompt's last token or none (the default follows from the phase);
    ``chunk_elements`` how much of a token table
    rides the ring at once (less takes less SRAM and more steps).
    """

    target: str = "wse2"
    grid: tuple[int, int] | None = None
    phase: str = "prefill"
    seq: int | None = None
    context: int | None = None
    batch: int = 1
    layers: tuple[int, int] | None = None
    dtype: str = "mixed"
    logits: str | None = None
    kv: str | None = None
    strategy: str = "auto"
    pipeline: str | None = None
    chunk_elements: int = DEFAULT_CHUNK_ELEMENTS

    def __post_init__(self) -> None:
        if self.phase in PHASES and self.logits is None:
            object.__setattr__(self, "logits", LOGITS[self.phase][0])
        if self.writes and self.kv is None:
            object.__setattr__(self, "kv", KV[0])
        words = {"dtype": DTYPES, "phase": PHASES, "logits": LOGITS.get(self.phase, ()), "kv": (*KV, None)}
        for name, allowed in words.items():
            value = getattr(self, name)
            if value not in allowed:
                raise MeshError(
                    "M0601",
                    f"{name} is {value!r}",
                    helps=[f"choose one of: {', '.join(filter(None, allowed))}"],
                )
        for name, value in (("seq", self.seq), ("context", self.context), ("batch", self.batch)):
            if value is not None and value < 1:
                raise MeshError("M0601", f"{name} is {value}", helps=[f"{name} must be at least 1"])
        for option, what, value in (("context", "context", self.context), ("kv", "policy for the cache", self.kv)):
            if not self.writes and value is not None:
                helps = [f"add --phase decode or --phase generate, or leave --{option} out"]
                raise MeshError("M0601", f"a {what} was given for {self.phase}, which has none", helps=helps)
        if self.context is not None and self.seq is not None and self.seq > self.context:
            raise MeshError(
                "M0601",
                f"prompts of {self.seq} tokens do not fit into a context of {self.context}",
                helps=["a shorter --seq, or a longer --context: prompt and answer together"],
            )
        if self.grid is not None and min(self.grid) < 1:
            raise MeshError("M0601", f"the grid is {self.grid[0]}x{self.grid[1]}", helps=["both sides are at least 1"])

    @property
    def writes(self) -> bool:
        """Whether a build of the phase writes on, within a context."""
        return self.phase in WRITING

    @property
    def regions(self) -> int:
        """How many regions of ``grid`` PEs lie side by side."""
        return 2 if self.phase == "generate" else 1

    def to_json(self) -> dict[str, Any]:
        """A JSON object; :meth:`from_json` gives the same options back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CompileOptions:
        """The options that :meth:`to_json` wrote."""
        fields = dict(data)
        for name in ("grid", "layers"):
            if fields.get(name) is not None:
                fields[name] = tuple(fields[name])
        return cls(**fields)
