"""How long a context a grid can hold, found by lowering with it: as exact as the compiler is.

Much grows with the context: the cache by its slots, scores and weights of a query by as many, the prompts
where they may be as long as the context. Buffers share addresses while they can, so where the SRAM ends is no
formula; but a lowering takes less than a tenth of a second for any context. The growth from one slot to some more
says about where to look; from there the search goes out until it has a number of slots that fits and one more that
does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meshc.ir.clone import clone
from meshc.ir.core import Module
from meshc.kernels.cache import slots_of
from meshc.options import KV, CompileOptions
from meshc.passes.least_memory import cache_bytes
from meshrt.diagnostics import MeshError

if TYPE_CHECKING:
    from meshc.fitting import Fitting

#: From one slot to how many more the growth is taken.
_STRIDE = 64
#: More than any program needs.
_UNLIMITED = 1 << 50


@dataclass(frozen=True)
class Capacity:
    """The cache of a model on one grid: ``options`` with a grid and a context, of the decode phase.

    Prompts stay as long as the options say, or as the context where that is shorter; with ``prompts_follow`` they
    are as long as the context.
    """

    fitting: Fitting
    options: CompileOptions
    prompts_follow: bool = False

    @property
    def rows(self) -> int:
        """Rows of PEs."""
        assert self.options.grid is not None
        return self.options.grid[1]

    def with_slots(self, policy: str, slots: int) -> CompileOptions:
        """The options for the longest context that so many slots in a row hold."""
        context = slots * self.rows if policy == "shift" else slots
        seq = self.options.seq or context
        return replace(
            self.options, kv=policy, context=context, seq=context if self.prompts_follow else min(seq, context)
        )

    def longest(self, policy: str) -> int:
        """The most slots of each row with which the program fits; 0 where one does not. One more does not fit.

        Raises what stands in the way of any number of slots, such as too few colors.
        """
        one = self._peak(policy, 1)
        room = self.fitting.target.sram_bytes - one
        guess, step = max(1, 1 + room * _STRIDE // self._growth(policy, 1, _STRIDE, one)), 1
        if self.fits(policy, guess):
            most = guess
            while self.fits(policy, most + step):
                most, step = most + step, 2 * step
            beyond = most + step
        else:
            beyond = guess
            while beyond > step and not self.fits(policy, beyond - step):
                beyond, step = beyond - step, 2 * step
            most = max(0, beyond - step)
        while beyond - most > 1:
            middle = (most + beyond) // 2
            most, beyond = (middle, beyond) if self.fits(policy, middle) else (most, middle)
        return most

    def report(self) -> Mapping[str, Any]:
        """JSON: the options' own cache, and by policy the longest context with what a PE holds then, in bytes."""
        kv, context = self.options.kv, self.options.context
        assert kv is not None and context is not None
        return {
            "policy": kv,
            "context": context,
            "prompt": self.options.seq,
            "rows": self.rows,
            "slots": slots_of(context, self.rows, kv),
            "sram_bytes": self.fitting.target.sram_bytes,
            "longest": {policy: self.longest_report(policy) for policy in KV},
        }

    def longest_report(self, policy: str) -> Mapping[str, Any]:
        """JSON of one policy; a context of 0 comes with the ``reason`` why not even one slot fits."""
        none = {"context": 0, "slots": 0}
        try:
            slots = self.longest(policy)
        except MeshError as error:
            return {**none, "reason": error.diagnostic.message}
        if slots == 0:
            lowered = self._lower(self.with_slots(policy, 1))
            return {**none, "reason": lowered.diagnostic.message if isinstance(lowered, MeshError) else ""}
        options = self.with_slots(policy, slots)
        lowered = self._lower(options)
        assert isinstance(lowered, Module)
        attributes = fullest(lowered)
        assert options.context is not None
        return {
            "context": options.context,
            "slots": slots,
            "peak_bytes": attributes["peak_bytes"],
            "code_bytes": attributes["code_bytes"],
            "cache_bytes": self.cache_bytes(options),
            "next_slot_bytes": self._growth(policy, slots, 1, self._peak(policy, slots)),
        }

    def too_long(self, error: MeshError, square: CompileOptions | None) -> MeshError | None:
        """M0423 in place of a lack of memory where a shorter context would fit; ``square`` holds the whole context."""
        options = self.options
        assert options.kv is not None and options.context is not None and options.grid is not None
        found = self.longest_report(options.kv)["context"]
        if not found:
            return None
        grid, where = (
            "x".join(map(str, options.grid)),
            "each PE" if options.kv == "shift" else "each PE of the last row",
        )
        helps = [f"the longest context that fits on this grid is {found:,} tokens ({self._choice(options.kv, found)})"]
        if options.kv == "append" and (more := self.longest_report("shift")["context"]):
            choice = self._choice("shift", min(more, options.context))
            helps.append(f"shared by all rows the cache holds {more:,} tokens ({choice})")
        if square is not None and square.grid is not None:
            text = "x".join(map(str, square.grid))
            helps.append(f"the smallest square for {options.context:,} tokens is {text} (--grid, or leave it out)")
        return MeshError(
            "M0423",
            f"the {grid} grid is too small for a context of {options.context:,} tokens, whose cache takes "
            f"{self.cache_bytes(options):,} bytes of {where}",
            place=error.diagnostic.place,
            notes=[error.diagnostic.message, *error.diagnostic.notes],
            helps=helps,
        )

    def _choice(self, policy: str, context: int) -> str:
        """The options of the command line for a context by a policy."""
        words = [f"--context {context}"]
        if not self.prompts_follow and self.options.seq is not None and self.options.seq > context:
            words.append(f"--seq {context}")
        if policy != self.options.kv:
            words.append(f"--kv {policy}")
        return " ".join(words)

    def cache_bytes(self, options: CompileOptions) -> int:
        """Bytes of all layers' caches in a PE."""
        module = self._stretched(options).tiled(options)
        return cache_bytes(module) if module is not None else 0

    def fits(self, policy: str, slots: int) -> bool:
        """Whether the program fits with so many slots in a row."""
        return isinstance(self._lower(self.with_slots(policy, slots)), Module)

    def _peak(self, policy: str, slots: int) -> int:
        """Bytes that the fullest PE would need."""
        options = self.with_slots(policy, slots)
        target = replace(self.fitting.target, sram_bytes=_UNLIMITED)
        lowered = replace(self._stretched(options), target=target).lower(options)
        assert isinstance(lowered, Module)
        return fullest(lowered)["peak_bytes"]

    def _growth(self, policy: str, slots: int, more: int, peak: int) -> int:
        """Bytes that so many more slots take than the ``peak`` of these.

        Where another region is the fullest, the cache grows unseen.
        """
        few, many = self.with_slots(policy, slots), self.with_slots(policy, slots + more)
        return max(self._peak(policy, slots + more) - peak, self.cache_bytes(many) - self.cache_bytes(few))

    def _lower(self, options: CompileOptions) -> Module | MeshError:
        return self._stretched(options).lower(options)

    def _stretched(self, options: CompileOptions) -> Fitting:
        """The graph with another context: of the memory nothing else depends on it."""
        graph = clone(self.fitting.graph)
        for op in graph.walk():
            if "context" in op.attributes:
                op.attributes["context"] = options.context
        return replace(self.fitting, graph=graph)


def fullest(module: Module) -> Mapping[str, Any]:
    """What is known of the region with the fullest PE: its ``peak_bytes``, and the ``code_bytes`` in them."""
    return max((region.attributes for region in module.body.ops), key=lambda known: known["peak_bytes"])


def has_cache(graph: Module) -> bool:
    """Whether a graph of the decode phase caches anything."""
    return any(op.name == "graph.cached_attention" for op in graph.walk())
