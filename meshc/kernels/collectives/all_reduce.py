"""Collectives by the name of their algorithm: what kernels call."""

from __future__ import annotations

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.registry import collective
from meshrt.program.model import View


def all_reduce(
    builder: MeshBuilder,
    line: Line,
    data: MeshBuffer | View,
    op: Operator = "add",
    algorithm: str = "chain_two_sided",
    **parameters: object,
) -> None:
    """Replace ``data`` in every PE by its combination over the PE's line: the sum, or by ``op``.

    ``parameters`` are the algorithm's: ``groups`` of ``k_tree`` (sizes from the lowest level on), ``group`` of
    ``two_phase``, ``payload`` and ``colors`` of ``auto``. All moves block. Words travel in the
    buffer's dtype, partial results too. Raises M0616 where group sizes do not cover the line, M0617
    where there is no such algorithm.
    """
    collective(f"all_reduce.{algorithm}").emit(builder, line, data, op, **parameters)


def reduce(
    builder: MeshBuilder,
    line: Line,
    data: MeshBuffer | View,
    op: Operator = "add",
    algorithm: str = "chain",
    **parameters: object,
) -> None:
    """Combine ``data`` over each line into that of its ``root`` (a parameter); what the others hold is undefined."""
    collective(f"reduce.{algorithm}").emit(builder, line, data, op, **parameters)


def broadcast(
    builder: MeshBuilder, line: Line, data: MeshBuffer | View, root: int = 0, algorithm: str = "multicast"
) -> None:
    """Copy the ``data`` of each line's root into everyone's."""
    collective(f"broadcast.{algorithm}").emit(builder, line, data, root=root)
