"""MONAI's U-Nets, which a user would pick otherwise, as networks beside ours."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from src_models import NetworkCard, register


def basic_unet(in_channels: int, classes: int) -> nn.Module:
    """MONAI's BasicUNet as it comes."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, in_channels, classes)


def dyn_unet(in_channels: int, classes: int) -> nn.Module:
    """MONAI's DynUNet with the six levels that nnU-Net gives images of 256 x 256 pixels."""
    from monai.networks.nets import DynUNet

    kernels, strides = [3] * 6, [1, 2, 2, 2, 2, 2]
    return Padded(DynUNet(2, in_channels, classes, kernels, strides, strides[1:]), 32)


class Padded(nn.Module):
    """A network that wants height and width to be multiples of a number, for any size."""

    def __init__(self, network: nn.Module, divisor: int) -> None:
        super().__init__()
        self.network, self.divisor = network, divisor

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        extra = (0, -width % self.divisor, 0, -height % self.divisor)
        found: Tensor = self.network(F.pad(x, extra, mode="replicate"))
        return found[..., :height, :width]


def register_all() -> None:
    """Make both known to `src_models.create`."""
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
