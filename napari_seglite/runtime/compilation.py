"""Compile the kernels of a network, and others, before their first run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import src_models

from ..errors import Cancelled
from . import apart
from .stopping import Stop

COMPILING = "Compiling the scan for this computer, once, about 10 s …"


@dataclass(frozen=True)
class Kernels:
    """Functions that Numba compiles on their first call, and keeps on disk.

    Attributes
    ----------
    code : str
        Python code that calls them, which compiles them.
    missing : callable
        Whether neither this process nor the disk holds them.
    """

    code: str
    missing: Callable[[], bool]


def compile_apart(kernels: Kernels) -> subprocess.Popen[bytes] | None:
    """Start compiling kernels that are missing in a process of its own, unless one began before.

    The compiler takes 150 MB, which go with the process, and Python's global lock, which would
    slow down a window.

    Returns
    -------
    Popen or None
        What to wait for; None if nothing is missing, or what is compiled cannot be kept on disk.
    """
    from src_models.compiled import stores

    if not kernels.missing() or not stores():
        return None
    try:
        return apart.start(kernels.code)
    except OSError:
        return None


def wait_for_kernels(kernels: Kernels, stop: Stop) -> None:
    """Compile kernels that are missing as `compile_apart` does, and wait.

    Those that are missing afterwards are compiled by their first call in this process.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    process = compile_apart(kernels)
    if process is not None and not apart.wait(process, stop):
        raise Cancelled


def scan_kernels(network: str, device: str) -> Kernels:
    """Return the kernels with which a network computes.

    Parameters
    ----------
    network, device
        See `needs_compiling`.
    """
    code = "from src_models.selective_scan import warm_up; warm_up()"
    return Kernels(code, lambda: needs_compiling(network, device))


def needs_compiling(network: str, device: str, training: bool = False) -> bool:
    """Whether a network has to compile a kernel before it can run; show `COMPILING` then.

    Parameters
    ----------
    network : str
        Name of the network.
    device : str
        Device that it runs on, as `devices.resolve` returns it.
    training : bool
        Whether gradients are needed, too.
    """
    from src_models import selective_scan

    on_cpu = src_models.card(network).uses_scan and device == "cpu"
    return on_cpu and selective_scan.needs_compiling(training)


def warm_up(network: str, device: str, training: bool = False) -> None:
    """Compile the kernels of a network, or load them from the cache.

    Parameters
    ----------
    network, device, training
        See `needs_compiling`.
    """
    from src_models import selective_scan

    if src_models.card(network).uses_scan and device == "cpu":
        selective_scan.warm_up(training)
