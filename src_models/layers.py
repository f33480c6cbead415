"""Layers that several networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ConvNormReLU(nn.Sequential):
    """A convolution that keeps the size, batch norm and ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : int
        Of the kernel, odd.
    dilation : int
        Distance between the kernel's taps in pixels.
    bias : bool
        Whether the convolution has a bias. The norm makes it superfluous; it is there for
        networks whose published weights have one.
    dims : int
        2 or 3.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 3,
        *,
        dilation: int = 1,
        bias: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__(
            CONV[dims](
                inputs,
                outputs,
                size,
                padding=dilation * (size // 2),
                dilation=dilation,
                bias=bias,
            ),
            NORM[dims](outputs),
            nn.ReLU(inplace=True),
        )


def upsample_to(x: Tensor, like: Tensor, align_corners: bool = False) -> Tensor:
    """Enlarge feature maps to the height and width (and depth) of others, linearly.

    Parameters
    ----------
    x, like : Tensor
        ``(B, C, H, W)`` or ``(B, C, D, H, W)``, of any number of channels.
    align_corners : bool
        Whether the centres of the corner pixels, rather than their outer corners, lie on each
        other. Sampling then depends on the size of the map.
    """
    if x.shape[2:] == like.shape[2:]:
        return x
    y = F.interpolate(x, size=like.shape[2:], mode=MODE[x.ndim - 2], align_corners=align_corners)
    if y.requires_grad and x.ndim == 4:
        y.register_hook(_channels_last)
    return y


def _channels_last(gradient: Tensor) -> Tensor:
    """Return a gradient in channels-last format, in which torch shrinks it several times faster.

    That of one part of a concatenation is in neither format.
    """
    return gradient.contiguous(memory_format=torch.channels_last)


def pad_to_multiple(x: Tensor, divisors: tuple[int, ...]) -> Tensor:
    """Repeat the last row and column (and slice) until every side is a multiple of its divisor.

    Parameters
    ----------
    x : Tensor
        ``(B, C, H, W)`` or ``(B, C, D, H, W)``.
    divisors : tuple of int
        One per spatial axis, in their order.
    """
    pads: list[int] = []
    for length, divisor in zip(reversed(x.shape[2:]), reversed(divisors), strict=True):
        pads += [0, -length % divisor]
    return F.pad(x, pads, mode="replicate") if any(pads) else x


def initialise(module: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. (2015) do for ReLU; biases are 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
