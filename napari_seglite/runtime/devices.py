"""Where a network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DeviceError

if TYPE_CHECKING:
    from torch import nn


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
        raise DeviceError(
            f"This computer has no device {device!r}. Choose one of: {', '.join(found)}."
        )
    return device


def free_memory(device: str) -> int | None:
    """Return the bytes that are free on a device; None where it does not say."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(device)[0])
    return None


def used_memory(device: str) -> int:
    """Return the bytes that this process holds, or that torch holds of a GPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_reserved(device))
    import psutil

    return int(psutil.Process().memory_info().rss)


def fast_bfloat16(device: str) -> bool:
    """Whether a device's processor has instructions for bfloat16; asked of CPUs alone."""
    import torch

    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device == "cpu" and known is not None and bool(known())


def out_of_memory(error: Exception) -> bool:
    """Whether an error of torch means that memory ran out, of whichever device."""
    import torch

    of_others = ("DefaultCPUAllocator", "MPS backend out of memory")
    return isinstance(error, torch.OutOfMemoryError) or any(t in str(error) for t in of_others)


def release(device: str) -> None:
    """Give the memory that torch keeps for later back to a GPU's other users."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def place(network: nn.Module, device: str) -> nn.Module:
    """Move a network to a device, its weights laid out channels last, which convolves faster.

    Raises
    ------
    DeviceError
        If the device has too little free memory.
    """
    import torch

    flat = all(weight.ndim != 5 for weight in network.parameters())
    options: dict[str, Any] = {"memory_format": torch.channels_last} if flat else {}
    try:
        return network.to(device, **options)
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"{device} has too little free memory. Choose the CPU.") from error
