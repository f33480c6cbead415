"""MONAI's U-Nets, which a user would pick otherwise, as networks beside ours."""

from __future__ import annotations

from typing import Any

from torch import nn

from src_models import NetworkCard, register


def basic_unet(in_channels: int, classes: int) -> nn.Module:
    """MONAI's BasicUNet as it comes."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, in_channels, classes)


def dyn_unet(in_channels: int, classes: int) -> nn.Module:
    """MONAI's DynUNet with the six levels that nnU-Net gives images of 256 x 256 pixels."""
    from monai.networks.nets import DynUNet

    kernels, strides = [3] * 6, [1, 2, 2, 2, 2, 2]
    return DynUNet(2, in_channels, classes, kernels, strides, strides[1:])


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
