"""Compile the kernels of a network before its first run."""

from __future__ import annotations

import src_models

COMPILING = "Compiling the scan for this computer, once, about 10 s …"


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
