"""The operations that can be timed, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meshc.bench.collective import AllReduce, Broadcast, Reduce
from meshc.bench.gemm import Gemm
from meshc.bench.gemv import Gemv
from meshc.bench.workload import Workload

WORKLOADS: Mapping[str, type[Workload]] = MappingProxyType(
    {cls.operation: cls for cls in (Gemm, Gemv, AllReduce, Reduce, Broadcast)}
)
