"""ATen operators that move no data or copy it: views, permutations, slices, concatenations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from meshc.frontend.aten.site import Converter, Site, Traced, shape_of
from meshc.ir.core import TensorType, Value


def _same(site: Site) -> Value:
    """A copy in memory only; between kinds of dtype (bool, integer, float) it is a cast."""
    value = site.operand("self" if "self" in site.arguments else "input")
    held = value.type
    assert isinstance(held, TensorType)
    if held.dtype == site.out_dtype:
        return value
    return site.create("cast", [value], site.out_shape, site.out_dtype, dtype=site.out_dtype)


def _reshape(site: Site) -> Value:
    return site.reshape(site.operand("self"), site.out_shape)


def _transpose(site: Site) -> Value:
    rank = len(site.shape("self"))
    dims = list(range(rank))
    a, b = site["dim0"] % rank, site["dim1"] % rank
    dims[a], dims[b] = dims[b], dims[a]
    return site.permute(site.operand("self"), dims)


def _last_two(site: Site) -> Value:
    rank = len(site.shape("self"))
    if rank < 2:
        return site.operand("self")
    return site.permute(site.operand("self"), [*range(rank - 2), rank - 1, rank - 2])


def _permute(site: Site) -> Value:
    rank = len(site.shape("self"))
    return site.permute(site.operand("self"), [d % rank for d in site["dims"]])


def _movedim(site: Site) -> Value:
    rank = len(site.shape("self"))
    as_list = [[d] if isinstance(d, int) else list(d) for d in (site["source"], site["destination"])]
    sources, destinations = ([d % rank for d in dims] for dims in as_list)
    order = [-1] * rank
    for source, destination in zip(sources, destinations, strict=True):
        order[destination] = source
    rest = iter([d for d in range(rank) if d not in sources])
    return site.permute(site.operand("self"), [next(rest) if d < 0 else d for d in order])


def _expand(site: Site) -> Value:
    return site.expand(site.operand("self"), site.out_shape)


def _slice(site: Site) -> Value:
    start = site["start"] if site["start"] is not None else 0
    stop = site["end"] if site["end"] is not None else torch.iinfo(torch.int64).max
    return site.slice(site.operand("self"), site["dim"], start, stop, site["step"])


def _narrow(site: Site) -> Value:
    start = int(site["start"])
    return site.slice(site.operand("self"), site["dim"], start, start + site["length"])


def _select(site: Site) -> Value:
    extent = site.shape("self")[site["dim"]]
    index = site["index"] % extent
    return site.reshape(site.slice(site.operand("self"), site["dim"], index, index + 1), site.out_shape)


def _pieces(site: Site) -> tuple[Value, ...]:
    """chunk, split and their kin: consecutive slices, their extents read off the results."""
    dim = site.get("dim", 0)
    start, values = 0, []
    for piece in site.out:
        stop = start + piece.shape[dim]
        values.append(site.slice(site.operand("self"), dim, start, stop))
        start = stop
    return tuple(values)


def _unbind(site: Site) -> tuple[Value, ...]:
    source, dim = site.operand("self"), site["dim"]
    return tuple(site.reshape(site.slice(source, dim, i, i + 1), p.shape) for i, p in enumerate(site.out))


def _concat(site: Site) -> Value | None:
    tensors = [t for t in site["tensors"] if shape_of(t) != (0,)]
    if len(tensors) == 1:
        return site.value(tensors[0])
    dim = site["dim"] % len(site.out_shape)
    return site.create("concat", [site.value(t) for t in tensors], site.out_shape, site.out_dtype, dim=dim)


def _stack(site: Site) -> Value:
    dim = site["dim"] % len(site.out_shape)
    one = list(site.out_shape)
    one[dim] = 1
    parts = [site.reshape(site.value(t), one) for t in site["tensors"]]
    return site.create("concat", parts, site.out_shape, site.out_dtype, dim=dim)


def _repeat(site: Site) -> Value:
    """Whole copies along each dimension: [r, n] merged into r*n."""
    repeats = list(site.get("repeats") or site.get("dims") or ())
    shape = list(site.shape("self"))
    shape = [1] * (len(repeats) - len(shape)) + shape
    repeats = [1] * (len(shape) - len(repeats)) + repeats
    value = site.reshape(site.operand("self"), [e for n in shape for e in (1, n)])
    value = site.expand(value, [e for r, n in zip(repeats, shape, strict=True) for e in (r, n)])
    return site.reshape(value, site.out_shape)


def _repeat_interleave(site: Site) -> Value | None:
    """Each element several times along one dimension: [n, r] merged into n*r."""
    repeats, dim = site.get("repeats"), site.get("dim")
    if not isinstance(repeats, int) or dim is None:
        return None
    shape = list(site.shape("self"))
    dim %= len(shape)
    wide = [*shape[: dim + 1], 1, *shape[dim + 1 :]]
    value = site.reshape(site.operand("self"), wide)
    wide[dim + 1] = repeats
    return site.reshape(site.expand(value, wide), site.out_shape)


def _index(site: Site) -> Value | None:
    """Advanced indexing by one constant range of indices is a slice."""
    indices = list(site["indices"])
    constants = [(d, i) for d, i in enumerate(indices) if i is not None]
    if len(constants) != 1 or isinstance(constants[0][1], Traced):
        return None
    dim, index = constants[0]
    if index.dim() != 1 or index.numel() == 0 or index.dtype == torch.bool or index.device.type == "meta":
        return None
    first = int(index[0])
    if first < 0 or not torch.equal(index, torch.arange(first, first + index.numel())):
        return None
    return site.slice(site.operand("self"), dim, first, first + index.numel())


_RESHAPES = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as")
_SAME = (
    "clone", "contiguous", "detach", "alias", "lift_fresh", "lift_fresh_copy", "dropout", "feature_dropout",
    "to", "_to_copy", "type_as", "float", "positive", "resolve_conj", "resolve_neg",
)  # fmt: skip

LAYOUT: Mapping[str, Converter] = MappingProxyType(
    {
        **{f"aten.{name}": _reshape for name in _RESHAPES},
        **{f"aten.{name}": _same for name in _SAME},
        "aten.transpose": _transpose,
        "aten.swapaxes": lambda s: _transpose_named(s, "axis0", "axis1"),
        "aten.t": _last_two,
        "aten.numpy_T": _last_two,
        "aten.mT": _last_two,
        "aten.adjoint": _last_two,
        "aten.permute": _permute,
        "aten.movedim": _movedim,
        "aten.expand": _expand,
        "aten.expand_as": _expand,
        "aten.broadcast_to": _expand,
        "aten.slice": _slice,
        "aten.narrow": _narrow,
        "aten.select": _select,
        "aten.chunk": _pieces,
        "aten.split": _pieces,
        "aten.split_with_sizes": _pieces,
        "aten.tensor_split": _pieces,
        "aten.unbind": _unbind,
        "aten.cat": _concat,
        "aten.concat": _concat,
        "aten.stack": _stack,
        "aten.repeat": _repeat,
        "aten.tile": _repeat,
        "aten.repeat_interleave": _repeat_interleave,
        "aten.index": _index,
    }
)


def _transpose_named(site: Site, first: str, second: str) -> Value:
    site.arguments.update(dim0=site[first], dim1=site[second])
    return _transpose(site)
