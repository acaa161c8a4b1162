"""fuse-attention: scores, mask, softmax and the weighted sum of values become one operation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.constants import constant
from meshc.passes.matching.editor import Editor, blocks, dtype_of, made_by, shape_of
from meshc.passes.matching.layout import Layout, Layouts
from meshc.passes.matching.masks import Mask, allowed_by_sum, classify, square


@dataclass(frozen=True)
class FuseAttention(Pass):
    """Turn attention, written out or as torch's operator, into ``graph.heads_attention``.

    Needs: ``canonicalize`` and ``fuse-linear`` before (products with weights are linears).

    Does: finds softmax(scale * q k^T, masked, perhaps with soft-capped scores) v. The mask is recognised by its
    values. Heads of keys and values that several query heads share are repeated to as many as the queries have::

        func() {name = "forward"} (%q: tensor<1x2x4x4xf32>, %k: tensor<1x2x4x4xf32>, %v: tensor<1x2x4x4xf32>) {
          %mask = graph.weight() {name = "const.causal"} : tensor<1x1x4x4xf32>
          %kt = graph.permute(%k) {dims = [0, 1, 3, 2]} : tensor<1x2x4x4xf32>
          %s = graph.matmul(%q, %kt) : tensor<1x2x4x4xf32>
          %c = graph.mul(%s) {scalar = 0.5} : tensor<1x2x4x4xf32>
          %m = graph.add(%c, %mask) : tensor<1x2x4x4xf32>
          %p = graph.softmax(%m) {dim = 3} : tensor<1x2x4x4xf32>
          %y = graph.matmul(%p, %v) : tensor<1x2x4x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%q: tensor<1x2x4x4xf32>, %k: tensor<1x2x4x4xf32>, %v: tensor<1x2x4x4xf32>) {
          %kt = graph.permute(%k) {dims = [0, 1, 3, 2]} : tensor<1x2x4x4xf32>
          %0 = graph.permute(%kt) {dims = [0, 1, 3, 2]} : tensor<1x2x4x4xf32>
          %1 = graph.heads_attention(%q, %0, %v) {scale = 0.5, mask = "causal"} : tensor<1x2x4x4xf32>
          return(%1)
        }

    Holds after: operands and results of ``graph.heads_attention`` are [batch, heads, tokens, head_dim].
    """

    name: ClassVar[str] = "fuse-attention"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at torch's attention operators, and at every product with a softmax."""
        for block in blocks(module):
            matcher = _Matcher(Editor(block), context)
            for op in matcher.editor.ops():
                if op.name == "graph.scaled_dot_product":
                    matcher.operator(op)
                elif op.name == "graph.matmul":
                    matcher.written_out(op)
            matcher.editor.commit()


@dataclass(slots=True)
class _Scores:
    """What is done to scores between the product of queries and keys and the softmax."""

    product: Operation | None = None
    factor: float = 1.0
    softcap: float | None = None
    allowed: list[torch.Tensor] = field(default_factory=list)


class _Matcher:
    """Finds attention in one block."""

    def __init__(self, editor: Editor, context: PassContext):
        self.editor = editor
        self.context = context
        self.layouts = Layouts()

    def operator(self, op: Operation) -> None:
        """torch's operator: the mask is its fourth operand or ``causal``."""
        q, k, v = op.operands[:3]
        if len(shape_of(q)) < 3 or shape_of(q)[-2] != shape_of(k)[-2]:
            return
        allowed = []
        if op.attributes.get("causal"):
            allowed.append(torch.ones(shape_of(q)[-2], shape_of(k)[-2], dtype=torch.bool).tril())
        if len(op.operands) == 4:
            found = self._mask(op.operands[3])
            if found is None:
                return
            allowed.append(found)
        scores = _Scores(factor=op.attributes["scale"], allowed=allowed)
        self._fuse(op, q, k, v, scores)

    def written_out(self, op: Operation) -> None:
        """softmax(..) times values."""
        probabilities = self._behind_reshapes(op.operands[0])
        softmax = made_by(probabilities, "softmax")
        if softmax is None or softmax.attributes["dim"] != len(shape_of(softmax.result)) - 1:
            return
        scores = self._scores(softmax.operands[0])
        if scores is None or scores.product is None:
            return
        q, transposed = scores.product.operands
        rank = len(shape_of(transposed))
        order = (*range(rank - 2), rank - 1, rank - 2)
        old = shape_of(transposed)
        keys = self.editor.insert(op, "permute", [transposed], [old[d] for d in order], dims=order)
        lead = shape_of(scores.product.result)[:-2]
        q, keys = self._wide(op, q, lead), self._wide(op, keys, lead)
        values = self._wide(op, op.operands[1], shape_of(op.result)[:-2])
        self._fuse(op, q, keys, values, scores)

    def _wide(self, anchor: Operation, value: Value, lead: tuple[int, ...]) -> Value:
        shape = (*lead, *shape_of(value)[-2:])
        if shape == shape_of(value):
            return value
        return self.editor.insert(anchor, "expand", [value], shape, dtype_of(value), shape=shape)

    def _fuse(self, op: Operation, q: Value, k: Value, v: Value, scores: _Scores) -> None:
        batch = self._batch(op)
        tokens, total = shape_of(q)[-2], math.prod(shape_of(q)[:-2])
        mask = self._kind(scores.allowed, tokens, shape_of(k)[-2])
        if batch is None or mask is None or total % batch or tokens != shape_of(k)[-2]:
            return
        heads = total // batch
        operands = [self._heads(op, value, batch, heads) for value in (q, k, v)]
        if any(operand is None for operand in operands):
            return
        attributes: dict[str, Any] = {"scale": scores.factor, "mask": mask.kind}
        if mask.window is not None:
            attributes["window"] = mask.window
        if scores.softcap is not None:
            attributes["softcap"] = scores.softcap
        shape = (batch, heads, tokens, shape_of(v)[-1])
        fused = self.editor.insert(op, "heads_attention", [x for x in operands if x is not None], shape, **attributes)
        if shape != shape_of(op.result):
            fused = self.editor.insert(op, "reshape", [fused], shape_of(op.result), shape=shape_of(op.result))
        self.editor.replace(op.result, fused)

    def _batch(self, op: Operation) -> int | None:
        block = op.parent
        if block is None or not block.args:
            return None
        shape = shape_of(block.args[0])
        return shape[0] if len(shape) >= 2 else 1

    def _heads(self, anchor: Operation, value: Value, batch: int, heads: int) -> Value | None:
        """[batch, heads, tokens, size] of [.., tokens, size], shared heads repeated."""
        shape = shape_of(value)
        own = math.prod(shape[:-2])
        if own % batch or heads % (own // batch):
            return None
        own //= batch
        split = (batch, own, *shape[-2:])
        if split != shape:
            value = self.editor.insert(anchor, "reshape", [value], split, shape=split)
        if own == heads:
            return value
        for name, wide in (
            ("reshape", (batch, own, 1, *shape[-2:])),
            ("expand", (batch, own, heads // own, *shape[-2:])),
            ("reshape", (batch, heads, *shape[-2:])),
        ):
            value = self.editor.insert(anchor, name, [value], wide, shape=wide)
        return value

    # Scores

    def _scores(self, value: Value) -> _Scores | None:
        """Walk back from the softmax to the product of queries and keys."""
        found = _Scores()
        for _ in range(16):
            value = self._behind_reshapes(value)
            op = value.op
            if op is None:
                return None
            name = op.name.removeprefix("graph.")
            if name == "matmul":
                found.product = op
                if found.softcap is not None:
                    found.factor *= found.softcap
                return found
            step = getattr(self, f"_through_{name}", None)
            following = step(op, found) if step is not None else None
            if following is None:
                return None
            value = following
        return None

    def _through_mul(self, op: Operation, found: _Scores) -> Value | None:
        number = op.attributes.get("scalar")
        if number is None:
            return None
        found.factor *= number
        return op.operands[0]

    def _through_div(self, op: Operation, found: _Scores) -> Value | None:
        number = op.attributes.get("scalar")
        if number is None or op.attributes.get("reversed"):
            return None
        found.factor /= number
        return op.operands[0]

    def _through_tanh(self, op: Operation, found: _Scores) -> Value | None:
        if found.softcap is not None:
            return None
        found.softcap, found.factor = found.factor, 1.0
        return op.operands[0]

    def _through_add(self, op: Operation, found: _Scores) -> Value | None:
        if len(op.operands) != 2:
            return None
        for scores, mask in (op.operands, reversed(op.operands)):
            allowed = self._mask(mask)
            if allowed is not None:
                found.allowed.append(allowed)
                return scores
        return None

    def _through_sub(self, op: Operation, found: _Scores) -> Value | None:
        if len(op.operands) != 2:
            return None
        held = constant(op.operands[1], self.context)
        allowed = allowed_by_sum(-held) if held is not None else None
        if allowed is None:
            return None
        found.allowed.append(allowed)
        return op.operands[0]

    def _through_where(self, op: Operation, found: _Scores) -> Value | None:
        """condition ? scores : low, or the other way round."""
        condition = constant(op.operands[0], self.context)
        if condition is None:
            return None
        rest = list(op.operands[1:])
        sides: list[Value | float] = [
            op.attributes[key] if key in op.attributes else rest.pop(0) for key in ("then", "otherwise")
        ]
        for i, keep in ((0, condition.bool()), (1, ~condition.bool())):
            scores, filler = sides[i], sides[1 - i]
            if isinstance(scores, Value) and self._is_low(filler):
                found.allowed.append(keep)
                return scores
        return None

    def _through_maximum(self, op: Operation, found: _Scores) -> Value | None:
        """A floor under masked scores, against -inf."""
        number = op.attributes.get("scalar")
        return op.operands[0] if number is not None and number <= -1000 else None

    def _is_low(self, filler: Value | float) -> bool:
        if isinstance(filler, Value):
            held = constant(filler, self.context)
            return held is not None and bool((held <= -1000).all())
        return filler <= -1000

    def _behind_reshapes(self, value: Value) -> Value:
        """The source of a value that only its leading dimensions were split or joined from."""
        source, layout = self.layouts.of(value)
        if source is value:
            return value
        plain = Layout.whole(shape_of(source)).reshaped(shape_of(value))
        same = layout == plain and shape_of(source)[-2:] == shape_of(value)[-2:]
        return source if same else value

    # Masks

    def _mask(self, value: Value) -> torch.Tensor | None:
        """Where a mask operand, additive or boolean, lets scores pass."""
        source = value
        while (op := made_by(source, "expand", "reshape")) is not None:
            source = op.operands[0]
        held = constant(source, self.context)
        if held is None:
            return None
        if held.dtype == torch.bool:
            allowed: torch.Tensor | None = held
        else:
            allowed = allowed_by_sum(held)
        if allowed is None or source is value:
            return allowed
        return None if math.prod(shape_of(value)) % allowed.numel() else allowed.expand(shape_of(value))

    def _kind(self, allowed: list[torch.Tensor], queries: int, keys: int) -> Mask | None:
        if not allowed:
            return Mask("full")
        whole = torch.ones(queries, keys, dtype=torch.bool)
        for each in allowed:
            part = square(each, queries, keys)
            if part is None:
                return None
            whole = whole & part
        return classify(whole)
