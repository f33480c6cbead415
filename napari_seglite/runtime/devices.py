"""The devices of this computer and their memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DeviceError

if TYPE_CHECKING:
    from torch import nn


def available() -> list[str]:
    """Return the devices of this computer, the fastest first. Imports torch."""
    import torch

    devices = []
    if torch.cuda.is_available():
        devices += [f"cuda:{k}" if k else "cuda" for k in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def resolve(device: str) -> str:
    """Replace ``"auto"`` by the fastest device; check that any other exists.

    Raises
    ------
    DeviceError
        If this computer has no such device.
    """
    devices = available()
    if device == "auto":
        return devices[0]
    if device == "cuda:0" and "cuda" in devices:
        return "cuda"
    if device not in devices:
        raise DeviceError(
            f"This computer has no device {device!r}. Choose one of: {', '.join(devices)}."
        )
    return device


def free_memory(device: str) -> int | None:
    """Return the free memory of a device in bytes; None where it is unknown."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(device)[0])
    return None


def used_memory(device: str) -> int:
    """Return the memory in bytes that this process holds, or that torch holds on a GPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_reserved(device))
    import psutil

    return int(psutil.Process().memory_info().rss)


def fast_bfloat16(device: str) -> bool:
    """Whether a device is a CPU with instructions for bfloat16."""
    import torch

    is_supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device == "cpu" and is_supported is not None and bool(is_supported())


def out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or OpenVINO means that memory ran out, on any device."""
    import torch

    messages = ("DefaultCPUAllocator", "MPS backend out of memory", "bad_alloc", "bad allocation")
    return isinstance(error, torch.OutOfMemoryError) or any(m in str(error) for m in messages)


def release(device: str) -> None:
    """Return the memory that torch caches on a GPU to the system."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def place(network: nn.Module, device: str) -> nn.Module:
    """Move a network to a device, with its weights in channels-last format if it is flat.

    Parameters
    ----------
    network : Module
        Changed in place. Networks for volumes keep their memory format.
    device : str
        As `resolve` returns it.

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
