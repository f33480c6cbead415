"""The memory layout in which a network runs fastest on a device: measured once and remembered.

Convolution libraries are faster with the channels last on most devices and networks, but not on
all. The layouts compute the same to the last digits, which is why results carry the one they had.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import replacing

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoints import CheckpointInfo

FILE = "layouts.json"
LAYOUTS = ("channels_last", "contiguous")
MEASURING = "Finding the fastest memory layout on this device, once …"
# Of the image that is timed, in pixels, and how often each layout gets a turn.
SIZE, ROUNDS = 128, 3


def arrange(network: nn.Module, layout: str) -> nn.Module:
    """Lay out a network's weights, in place.

    Raises
    ------
    KeyError
        If there is no such layout.
    """
    import torch

    formats = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
    options: dict[str, Any] = {"memory_format": formats[layout]}
    return network.to(**options)


def remembered(folder: Path, info: CheckpointInfo, device: str) -> str | None:
    """Return the layout that was measured before, or None; volumes have but one."""
    if info.volumetric:
        return "contiguous"
    layout = _read(folder / FILE).get(_key(info, device))
    return layout if layout in LAYOUTS else None


def measure(
    folder: Path,
    info: CheckpointInfo,
    network: nn.Module,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """Time both layouts and remember the faster one.

    Parameters
    ----------
    folder : Path
        Where it is written down; one that cannot be written costs a measurement every time.
    info : CheckpointInfo
        Whose network it is.
    network : Module
        On `device`, in evaluation mode; left in the faster layout.
    device : str
        Where it runs.
    clock : callable
        Returns seconds.

    Returns
    -------
    str
        One of `LAYOUTS`.
    """
    import torch

    slices = [info.context_slices] if info.context_slices > 1 else []
    image = torch.zeros(1, *slices, info.in_channels, SIZE, SIZE, device=device)
    seconds = dict.fromkeys(LAYOUTS, float("inf"))
    for _ in range(ROUNDS):  # in turns, so that a busy moment slows both
        for layout in LAYOUTS:
            arrange(network, layout)
            start = clock()
            with torch.inference_mode():
                network(image).sum().item()  # waits for a GPU to finish
            seconds[layout] = min(seconds[layout], clock() - start)
    fastest = min(LAYOUTS, key=seconds.__getitem__)
    arrange(network, fastest)
    _write(folder / FILE, {**_read(folder / FILE), _key(info, device): fastest})
    return fastest


def _key(info: CheckpointInfo, device: str) -> str:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    options = json.dumps([info.in_channels, info.classes, info.options], sort_keys=True)
    return f"{info.network} {options} on {name}{threads}, torch {torch.__version__}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, layouts: dict[str, Any]) -> None:
    try:
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(layouts, indent=2) + "\n", "utf-8")
    except OSError:
        return
