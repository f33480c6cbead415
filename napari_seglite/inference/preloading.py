"""Load what the first segmentation of a program needs, before anybody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..labels import labelling_text, separation_kernels
from ..runtime import Kernels, compile_apart, needs_compiling, scan_kernels, warm_up

if TYPE_CHECKING:
    from torch import nn

# Of the image with which a network is tried, in pixels.
SIDE = 64


def begin_compiling(store: CheckpointStore, checkpoint: str) -> list[Kernels]:
    """Start compiling what segmenting takes and nobody has compiled yet, in processes of its own.

    Parameters
    ----------
    store : CheckpointStore
        Store of the checkpoint.
    checkpoint : str
        Its id or the path of its folder.

    Returns
    -------
    list of Kernels
        To wait for; the last, of checkpoints of the other kind, begin only then.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    info = store.info(checkpoint)
    kernels = [separation_kernels(bool(info.head)), scan_kernels(info.network, "cpu")]
    for each in kernels:
        compile_apart(each)
    return [*kernels, separation_kernels(not info.head)]


def preload(store: CheckpointStore, checkpoint: str) -> None:
    """Load the modules and the compiled code that segmenting with a checkpoint uses.

    Code that no earlier run has compiled is left to the first job, which tells the user about it.

    Parameters
    ----------
    store : CheckpointStore
        Store of the checkpoint.
    checkpoint : str
        Its id or the path of its folder.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    info, network = store.load(checkpoint)
    labelling_text("instances", info.head)  # loads the module that separates objects, and Numba
    if needs_compiling(info.network, "cpu"):
        return
    warm_up(info.network, "cpu")
    run_small(network.eval(), info, "cpu")


def run_small(network: nn.Module, info: CheckpointInfo, device: str) -> None:
    """Run a network on a small image before its first tile, on a CPU.

    It makes torch prepare its convolutions for the processor. What stays in memory of that then
    lies below the first tile's feature maps, not between them, where it would keep freed maps from
    becoming one block again: a third less memory for a tile.

    Parameters
    ----------
    network : Module
        On `device`, in evaluation mode.
    info : CheckpointInfo
        Card of its checkpoint; networks for volumes are left alone.
    device : str
        As `devices.resolve` returns it.
    """
    import torch

    if device != "cpu" or info.volumetric:
        return
    slices = [info.context_slices] if info.context_slices > 1 else []
    with torch.inference_mode():
        network(torch.zeros(1, *slices, info.in_channels, SIDE, SIDE))
