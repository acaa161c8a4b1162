"""Programs of one kernel without a model: for values, for timing on its own, for calibration.

A frozen dataclass names the kernel's shapes and its choices; ``program(target)`` gives the
program, ``weights(..)`` the tensors that it takes.
"""

from meshc.standalone.gemm import GemmRing
from meshc.standalone.gemv import Gemv
from meshc.standalone.gemv_chain import GemvChain
from meshc.standalone.region import assemble
