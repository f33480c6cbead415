"""Load what the first segmentation of a program needs, before anybody waits for it."""

from __future__ import annotations

from ..checkpoints import CheckpointStore
from ..labels import labelling_text
from ..runtime import needs_compiling, warm_up


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
    import torch

    info, network = store.load(checkpoint)
    labelling_text("instances", info.head)  # loads the module that separates objects, and Numba
    if needs_compiling(info.network, "cpu"):
        return
    warm_up(info.network, "cpu")
    if not info.volumetric:
        side = 64  # torch prepares its convolutions for the processor when it runs the first ones
        with torch.inference_mode():
            network.eval()(torch.zeros(1, info.in_channels, side, side))
