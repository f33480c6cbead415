"""Where and how a network computes: devices, memory format, compilation and stopping.

`process` alone changes the whole process, and only applications call it.
"""

from . import apart, devices, graphs, memory_format, process, tuning
from .compilation import (
    COMPILING,
    Kernels,
    compile_apart,
    needs_compiling,
    scan_kernels,
    wait_for_kernels,
    warm_up,
)
from .generators import WithResult, drain
from .memory_format import MemoryFormat
from .random_state import RandomState
from .stopping import Stop, delayed, interruptible, never, wait_for
from .versions import versions

__all__ = [
    "COMPILING",
    "Kernels",
    "MemoryFormat",
    "RandomState",
    "Stop",
    "WithResult",
    "apart",
    "compile_apart",
    "delayed",
    "devices",
    "drain",
    "graphs",
    "interruptible",
    "memory_format",
    "needs_compiling",
    "never",
    "process",
    "scan_kernels",
    "tuning",
    "versions",
    "wait_for",
    "wait_for_kernels",
    "warm_up",
]
