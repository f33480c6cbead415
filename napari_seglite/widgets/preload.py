"""Load torch and what else a job needs without stopping or crashing the window."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

_lock, _loading = Lock(), 0
_warming, _warm = Lock(), False


@contextmanager
def uncollected() -> Iterator[None]:
    """Load modules without garbage collections, and spare their objects from later ones.

    An import makes some hundred thousand objects, which sets off full collections, and each of
    them stops every thread for a quarter of a second once torch is there.
    """
    global _loading
    with _lock:
        if _loading == 0:
            gc.disable()
        _loading += 1
    try:
        yield
    finally:
        with _lock:
            _loading -= 1
            if _loading == 0:
                gc.freeze()
                gc.enable()


def load_torch() -> None:
    """Import torch, in the calling thread."""
    if "torch" not in sys.modules:
        with uncollected():
            preload_torch()
            import torch  # noqa: F401


def load_training() -> None:
    """Import what training needs beside torch."""
    if "monai.transforms" not in sys.modules:
        with uncollected():
            import monai.transforms  # noqa: F401
            import torch

            # An optimiser's first step imports as much again.
            torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()


def warm_colours() -> None:
    """Have napari compile what gives labels chosen colours, in the calling thread.

    The first layer with such colours takes a second for that, in which the window stands still.
    """
    global _warm
    with _warming:
        if _warm:
            return
        import numpy as np
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        for dtype in (np.uint8, np.uint16, np.int32, np.int64):
            colours = DirectLabelColormap(color_dict={0: "transparent", 1: "red", None: "black"})
            Labels(np.zeros((600, 600), dtype), colormap=colours)
        _warm = True


def warm_colours_soon() -> None:
    """Do that in a thread of its own."""
    if not _warm:
        Thread(target=warm_colours, name="seglite-colours").start()


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
