"""The memory format in which a network runs fastest on a device, measured once and remembered.

`tuning` measures it; until then a network has the format that is faster on most computers.

Convolution libraries are faster with the channels last on most devices and networks, but not on
all. Both formats compute the same up to the last digits, which is why results record theirs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import src_models

from ..formats import replacing

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoints import CheckpointInfo

MemoryFormat = Literal["channels_last", "contiguous"]
MEMORY_FORMATS: tuple[MemoryFormat, ...] = get_args(MemoryFormat)

FILE = "layouts.json"  # the name is older than the module's; users have such files
# Edge of the timed image in pixels, and how often each format is timed.
SIZE, ROUNDS = 128, 3


def apply(network: nn.Module, memory_format: MemoryFormat) -> nn.Module:
    """Convert a network's weights to a memory format, in place.

    Parameters
    ----------
    network : Module
        On any device.
    memory_format : str
        One of `MEMORY_FORMATS`.
    """
    import torch

    formats = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
    options: dict[str, Any] = {"memory_format": formats[memory_format]}
    return network.to(**options)


def usual(info: CheckpointInfo, device: str) -> MemoryFormat:
    """Return the memory format that is faster on most computers.

    Parameters
    ----------
    info : CheckpointInfo
        Card of the network's checkpoint.
    device : str
        As `devices.resolve` returns it.
    """
    if info.volumetric:
        return "contiguous"
    wanted = src_models.card(info.network).memory_format if device == "cpu" else "channels_last"
    return "contiguous" if wanted == "contiguous" else "channels_last"


def remembered(folder: Path, info: CheckpointInfo, device: str) -> MemoryFormat | None:
    """Return the memory format that was measured before; None if none was.

    Parameters
    ----------
    folder : Path
        Holds the file of earlier measurements.
    info : CheckpointInfo
        Card of the network's checkpoint. Networks for volumes are always contiguous.
    device : str
        As `devices.resolve` returns it.
    """
    if info.volumetric:
        return "contiguous"
    fastest = _read(folder / FILE).get(_key(info, device))
    return fastest if fastest in MEMORY_FORMATS else None


def measure(
    folder: Path,
    info: CheckpointInfo,
    network: nn.Module,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> MemoryFormat:
    """Time both memory formats and remember the faster one.

    Parameters
    ----------
    folder : Path
        Gets the file of measurements. If it cannot be written, every call measures again.
    info : CheckpointInfo
        Card of the network's checkpoint.
    network : Module
        On `device`, in evaluation mode; left in the faster format.
    device : str
        As `devices.resolve` returns it.
    clock : callable
        Returns seconds.

    Returns
    -------
    str
        One of `MEMORY_FORMATS`.
    """
    import torch

    slices = [info.context_slices] if info.context_slices > 1 else []
    image = torch.zeros(1, *slices, info.in_channels, SIZE, SIZE, device=device)
    seconds = dict.fromkeys(MEMORY_FORMATS, float("inf"))
    for _ in range(ROUNDS):  # alternating, so that a busy moment slows both
        for memory_format in MEMORY_FORMATS:
            apply(network, memory_format)
            start = clock()
            with torch.inference_mode():
                network(image).sum().item()  # waits for a GPU to finish
            seconds[memory_format] = min(seconds[memory_format], clock() - start)
    fastest = min(MEMORY_FORMATS, key=seconds.__getitem__)
    apply(network, fastest)
    _write(folder / FILE, {**_read(folder / FILE), _key(info, device): fastest})
    return fastest


def _key(info: CheckpointInfo, device: str) -> str:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    options = json.dumps([info.in_channels, info.classes, info.options], sort_keys=True)
    return f"{info.network} {options} on {name}{threads}, torch {torch.__version__}"


def _read(path: Path) -> dict[str, str]:
    try:
        measured = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return measured if isinstance(measured, dict) else {}


def _write(path: Path, measured: dict[str, str]) -> None:
    try:
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    except OSError:
        return
