"""MONAI's U-Nets, the usual alternative, registered beside our networks."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from src_models import NetworkCard, register


def basic_unet(in_channels: int, classes: int) -> nn.Module:
    """Return MONAI's BasicUNet with its default widths."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, in_channels, classes)


def dyn_unet(in_channels: int, classes: int) -> nn.Module:
    """Return MONAI's DynUNet with the six levels that nnU-Net plans for 256 x 256 pixels."""
    from monai.networks.nets import DynUNet

    kernels, strides = [3] * 6, [1, 2, 2, 2, 2, 2]
    return Padded(DynUNet(2, in_channels, classes, kernels, strides, strides[1:]), 32)


class Padded(nn.Module):
    """A network for images of any size, padded to multiples of a number.

    Parameters
    ----------
    network : Module
        Maps ``(B, C, H, W)`` to ``(B, K, H, W)`` if `divisor` divides H and W.
    divisor : int
        In pixels.
    """

    def __init__(self, network: nn.Module, divisor: int) -> None:
        super().__init__()
        self.network, self.divisor = network, divisor

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the size of `x`."""
        height, width = x.shape[-2:]
        extra = (0, -width % self.divisor, 0, -height % self.divisor)
        logits: Tensor = self.network(F.pad(x, extra, mode="replicate"))
        return logits[..., :height, :width]


def register_all() -> None:
    """Register both networks with `src_models.create`."""
    for name, title, factory in (
        ("basic-unet", "BasicUNet", "peers:basic_unet"),
        ("dyn-unet", "DynUNet", "peers:dyn_unet"),
    ):
        facts: dict[str, Any] = {"parameters": 0, "parameters_at": (3, 1), "gflop": 0.0}
        register(
            NetworkCard(
                name=name,
                title=title,
                summary="From MONAI, for comparison.",
                paper="MONAI",
                doi="10.48550/arXiv.2211.02701",
                divisor=32,
                loss="BCE + Dice",
                factory=factory,
                **facts,
            )
        )
