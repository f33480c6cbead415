"""The memory of a device: how much a job takes, and what it leaves behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from napari_seglite.inference.predictor import Predictor
from napari_seglite.runtime import devices

from .report import Rows

# Share by which memory may have grown after a job.
GROWTH = 0.05
GIGABYTE = 1e9


def held(device: str) -> int:
    """Return the bytes in use: on a GPU everyone's, on a CPU this process's."""
    gc.collect()
    devices.release(device)
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info()
        return int(total - free)
    return devices.used_memory(device)


@contextmanager
def watched(name: str, device: str, rows: Rows) -> Iterator[None]:
    """Add rows with the peak on the device and what is left after a job that ran before.

    The process of a CPU keeps freed memory as it likes, so there only the growth is told.
    """
    before, on_gpu = held(device), device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    yield
    if on_gpu:
        peak = torch.cuda.max_memory_reserved() / GIGABYTE
        rows.measured(f"{name}, peak of device memory", peak, "GB")
    growth = held(device) / before - 1
    bound = GROWTH if on_gpu else None
    rows.measured(f"{name}, memory after it beyond before", growth, "of before", at_most=bound)


class Ballast:
    """Takes the free memory of a GPU, all but some of it.

    Parameters
    ----------
    device : str
        A GPU.
    left : float
        Bytes that stay free.
    """

    def __init__(self, device: str, left: float = GIGABYTE) -> None:
        torch.cuda.synchronize()
        devices.release(device)
        free = devices.free_memory(device) or 0
        taken = max(0, int(free - left))
        self.block: torch.Tensor | None = torch.empty(taken, dtype=torch.uint8, device=device)
        self.device = device

    def drop(self) -> None:
        """Give the memory back."""
        self.block = None
        devices.release(self.device)


@contextmanager
def large_tiles_fail(largest: int) -> Iterator[None]:
    """Raise torch's error of too little memory for tiles above a size, as a CPU cannot for real."""
    call: Any = Predictor.__call__

    def limited(predictor: Predictor, tile: np.ndarray, number: int = 0) -> np.ndarray:
        if max(tile.shape[-2:]) > largest:
            raise torch.OutOfMemoryError(f"a tile of {tile.shape} does not fit")
        return np.asarray(call(predictor, tile, number))

    Predictor.__call__ = limited  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        Predictor.__call__ = call  # type: ignore[method-assign]


def scarce(device: str, largest: int) -> Any:
    """Return the context in which memory lacks: none on a GPU, where a `Ballast` takes it."""
    return nullcontext() if device.startswith("cuda") else large_tiles_fail(largest)
