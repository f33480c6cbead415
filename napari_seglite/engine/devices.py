"""Where a network runs."""

from __future__ import annotations

from ..errors import DeviceError


def available() -> list[str]:
    """Return the devices of this computer, the fastest first. Imports torch."""
    import torch

    found = []
    if torch.cuda.is_available():
        found += [f"cuda:{k}" if k else "cuda" for k in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve(device: str) -> str:
    """Turn ``"auto"`` into the fastest device and check that any other exists.

    Raises
    ------
    DeviceError
        If this computer has no such device.
    """
    found = available()
    if device == "auto":
        return found[0]
    if device == "cuda:0" and "cuda" in found:
        return "cuda"
    if device not in found:
        raise DeviceError(f"This computer has no device {device!r}. Choose one of: {', '.join(found)}.")
    return device
