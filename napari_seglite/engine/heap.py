"""Memory that a network's layers hand to each other without asking the system each time."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

# glibc's parameters (malloc.h), and what they are while a network runs and afterwards.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_MOST = 2**31 - 1
_KEEPING = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST}
_USUAL = {_ARENA_MAX: 0, _MMAP_MAX: 65536, _TRIM_THRESHOLD: 2**26, _MMAP_THRESHOLD: 2**25}

_lock, _users = Lock(), 0


def prepare() -> None:
    """Let a thread that is started next share the main arena, where freed memory can be kept.

    Without effect for a thread that takes over the arena of one that ended.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, 1)


@contextmanager
def kept(device: str) -> Iterator[None]:
    """Let freed memory stay with the process while a network runs on the CPU; then give it back.

    Feature maps of a tile take tens of megabytes. glibc asks the system for each and returns it at
    once, and the system clears every page of it anew, which took longer than the convolutions.
    Elsewhere than on Linux with glibc, nothing happens; and little in a thread to which glibc gave
    an arena of its own, see `prepare`.
    """
    global _users
    library = _glibc() if device == "cpu" else None
    if library is None:
        yield
        return
    with _lock:
        _users += 1
        if _users == 1:
            _set(library, _KEEPING)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(library, _USUAL)
                library.malloc_trim(0)


def _set(library: Any, parameters: dict[int, int]) -> None:
    for name, value in parameters.items():
        library.mallopt(name, value)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
