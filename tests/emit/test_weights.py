"""The weights of a build: every tensor that the program places, once, in the dtype of the buffers that hold it."""

import numpy as np
import torch

from meshc.emit.weights import stored_weights, tensor_names
from meshrt.program.expr import Name
from meshrt.program.model import Buffer, ElementRange, Placement, Program, Rect, Region

HERE = Rect(0, 1, 0, 1)
RANGES = ElementRange("i", 0, 2), ElementRange("j", 0, 3)
INDICES = (Name("i"), Name("j"))


def placement(buffer: str, tensor: str, *ranges: ElementRange) -> Placement:
    return Placement(HERE, buffer, (*ranges, *RANGES), tensor, INDICES)


def program(*buffers: tuple[str, str, Placement]) -> Program:
    region = Region(
        "main",
        (0, 0),
        1,
        1,
        buffers=tuple(Buffer(HERE, name, dtype, (2, 3), 0) for name, dtype, _ in buffers),
        placements=tuple(placed for _, _, placed in buffers),
    )
    return Program((), (region,))


def test_names_of_a_template():
    assert tensor_names(placement("a", "w")) == ["w"]
    layers = ElementRange("l", 0, 3), ElementRange("m", 1, 3)
    assert tensor_names(placement("a", "h.{2*l+1}.w", *layers)) == ["h.1.w", "h.3.w", "h.5.w"]
    assert tensor_names(placement("a", "h.{l}.e{m}", *layers)) == [f"h.{a}.e{b}" for a in range(3) for b in (1, 2)]


def test_each_tensor_once_in_the_dtype_of_its_buffers():
    source = torch.tensor([[1.0001, 2.0, 3.0], [4.0, 5.0, 6.0]])
    stored = stored_weights(
        program(
            ("a", "f16", placement("a", "both")),
            ("b", "f32", placement("b", "both")),
            ("c", "f16", placement("c", "half")),
            ("d", "bf16", placement("d", "brain")),
        ),
        {"both": source, "half": source.double().t().contiguous().t(), "brain": source, "unused": source},
    )
    assert {name: tensor.dtype for name, tensor in stored.items()} == {"both": "F32", "brain": "BF16", "half": "F16"}
    assert list(stored) == sorted(stored)
    assert np.array_equal(stored["both"].array, source.numpy())
    assert np.array_equal(stored["half"].array, source.half().numpy())
    assert np.array_equal(stored["brain"].values(), source.bfloat16().float().numpy())
