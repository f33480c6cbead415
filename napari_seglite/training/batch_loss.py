"""The loss of a batch, alike for every process that computes gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import src_models

from ..checkpoints import CheckpointInfo

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .patches import Batch


def loss_of_batch(
    network: nn.Module, info: CheckpointInfo, batch: Batch, device: str, bfloat16: bool
) -> torch.Tensor:
    """Return the loss of a batch, a scalar.

    Parameters
    ----------
    network : Module
        In training, on `device`.
    info : CheckpointInfo
        Its card.
    batch : tuple of Tensor
        As `PatchSampler.batch` draws it.
    device : str
        As `devices.resolve` returns it.
    bfloat16 : bool
        Whether the network may compute with half the bits.
    """
    import torch

    frames, labels, weight, wanted = batch
    flat = frames.ndim == 4
    memory_format = torch.channels_last if flat else torch.contiguous_format
    frames = frames.to(device, memory_format=memory_format)
    if info.context_slices > 1:
        frames = frames.unflatten(1, (info.context_slices, -1))
    with autocast(device, bfloat16):
        return src_models.training_loss(
            network,
            info.network,
            frames,
            labels.to(device),
            None if weight is None else weight.to(device),
            info.head,
            None if wanted is None else wanted.to(device),
        )


def autocast(device: str, bfloat16: bool) -> AbstractContextManager[Any]:
    """Compute convolutions and products within the context with half the bits, if so wished."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16)


def keep_norms_fixed(network: nn.Module) -> None:
    """Let the batch norms of a network in training use the statistics that they have."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
