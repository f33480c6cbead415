"""Time calls on a device, and measure the most that it can do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def synchronise(device: str) -> None:
    """Wait until a GPU is done; its calls return at once."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], device: str, least: float = 0.15) -> float:
    """Return the median time of a call, after two that do not count.

    Parameters
    ----------
    call : callable
        To time.
    device : str
        Where it computes.
    least : float
        Seconds to measure for; three calls at least, and fifty at most.
    """
    for _ in range(2):
        call()
    synchronise(device)
    begun = time.perf_counter()
    taken: list[float] = []
    while len(taken) < 3 or (time.perf_counter() - begun < least and len(taken) < 50):
        taken.append(_once(call, device))
    return statistics.median(taken)


def _once(call: Callable[[], object], device: str) -> float:
    if not device.startswith("cuda"):
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


@contextmanager
def tensor_cores(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 for convolutions and products in float32, and restore it after that."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def copy_bandwidth(device: str) -> float:
    """Return the bytes a second that a copy reads and writes, far beyond any cache."""
    size = 2**30 if device.startswith("cuda") else 2**27
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device)


def product_peak(device: str, dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product; TF32 counts if it is allowed."""
    size = 8192 if device.startswith("cuda") else 512
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)
