"""Where and how a network computes: devices, memory format, compilation and stopping.

`process` alone changes the whole process, and only applications call it.
"""

from . import devices, memory_format, process
from .compilation import COMPILING, needs_compiling, warm_up
from .generators import WithResult, drain
from .memory_format import MemoryFormat
from .random_state import RandomState
from .stopping import Stop, delayed, interruptible, never, wait_for
from .versions import versions

__all__ = [
    "COMPILING",
    "MemoryFormat",
    "RandomState",
    "Stop",
    "WithResult",
    "delayed",
    "devices",
    "drain",
    "interruptible",
    "memory_format",
    "needs_compiling",
    "never",
    "process",
    "versions",
    "wait_for",
    "warm_up",
]
