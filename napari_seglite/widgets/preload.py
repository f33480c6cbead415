"""Load torch's libraries without stopping or crashing the window."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path


def preload_torch() -> None:
    """Load torch's shared libraries ahead of ``import torch``, in the calling thread.

    The import loads hundreds of megabytes while it holds Python's global lock, so that the
    window stands still even when another thread imports. A foreign function called through
    ctypes does not hold the lock; the import then finds the libraries loaded. Where this does
    not work, nothing is lost but the smoothness.
    """
    if "torch" in sys.modules or sys.platform == "win32":
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    library = Path(spec.origin).parent / "lib" / f"libtorch_python.{suffix}"
    try:
        dlopen = ctypes.CDLL(None).dlopen
    except (AttributeError, OSError):
        return
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    dlopen(os.fsencode(library), os.RTLD_NOW)


def keep_triton_out() -> None:
    """Prevent the import of Triton in a window that is drawn with LLVM's help.

    Mesa's OpenGL for AMD cards and for computers without any brings an LLVM of its own, and
    Triton's, loaded after it, ends the process. Linux builds of torch bring Triton and import it
    when an optimiser takes its first step, on the CPU as well.
    """
    if sys.platform != "linux" or "triton" in sys.modules:
        return
    if "libLLVM" in Path("/proc/self/maps").read_text():
        sys.modules["triton"] = None  # type: ignore[assignment]
