"""A second reader of the image beside any network: simple features and a small perceptron.

*Ours*: what pixel classifiers compute by hand, as fixed convolutions. At five scales each channel
gives its smoothed intensity, the size of its gradient and both eigenvalues of its Hessian. A
perceptron turns them into logits, which are added to the network's own. It is fitted within a
second, so that a network has an answer to a new task before it has learnt the task.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS, HIDDEN, RADIUS = 5, 32, 4
# Features of a channel at one scale.
EACH = 4


class PixelReadout(nn.Module):
    """Logits from features of the image alone; zero after construction.

    Parameters
    ----------
    in_channels, outputs : int
        Channels of the image and of the network's output.

    Attributes
    ----------
    share : Parameter
        Factor of the network's own outputs, one each.
    """

    mean: Tensor
    deviation: Tensor
    kernels: Tensor

    def __init__(self, in_channels: int, outputs: int) -> None:
        super().__init__()
        count = LEVELS * EACH * in_channels
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.register_buffer("kernels", _kernels(), persistent=False)
        self.hidden = nn.Conv2d(count, HIDDEN, 1)
        self.out = nn.Conv2d(HIDDEN, outputs, 1)
        self.share = nn.Parameter(torch.ones(outputs))
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the features ``(B, F, H, W)`` of images ``(B, in_channels, H, W)``."""
        height, width = x.shape[-2:]
        coarsest = 2 ** (LEVELS - 1)
        x = F.pad(x.float(), (0, -width % coarsest, 0, -height % coarsest), mode="replicate")
        size, maps = x.shape[-2:], []
        for scale in range(LEVELS):
            level = self._at_scale(F.avg_pool2d(x, 2**scale))
            if scale:
                level = F.interpolate(level, size=size, mode="bilinear", align_corners=False)
            maps.append(level)
        return torch.cat(maps, dim=1)[..., :height, :width]

    def _at_scale(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        padded = F.pad(x, (RADIUS,) * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
        smooth, dy, dx, dyy, dxx, dxy = F.conv2d(padded, self.kernels).unbind(1)
        middle = (dyy + dxx) / 2
        apart = (((dyy - dxx) / 2) ** 2 + dxy**2 + 1e-12).sqrt()
        slope = (dy**2 + dx**2 + 1e-12).sqrt()
        every = torch.stack([smooth, slope, middle + apart, middle - apart], dim=1)
        return every.reshape(batch, channels * EACH, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, outputs, H, W)``.

        Of ``(B, slices, in_channels, H, W)`` the centre slice is read.
        """
        if x.ndim == 5:
            x = x[:, x.shape[1] // 2]
        with torch.autocast(x.device.type, enabled=False):
            values = self.features(x) - self.mean[:, None, None]
            # What the deviations divide is smaller in the weights than in the maps.
            weight = self.hidden.weight / self.deviation[:, None, None]
            hidden = F.relu(_at_every_pixel(values, weight, self.hidden.bias), inplace=True)
            return _at_every_pixel(hidden, self.out.weight, self.out.bias)


def _at_every_pixel(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a 1x1 convolution; while it learns as a product, which is faster on one thread."""
    assert bias is not None
    if not weight.requires_grad:
        return F.conv2d(x, weight, bias)
    flat = x.flatten(2)
    weights = weight.flatten(1).expand(len(flat), -1, -1)
    product: Tensor = torch.baddbmm(bias[:, None], weights, flat).unflatten(2, x.shape[2:])
    return product


def attach(network: nn.Module, in_channels: int, outputs: int) -> PixelReadout:
    """Give a network a readout, which changes nothing before it has weights."""
    readout = PixelReadout(in_channels, outputs)
    network.pixels = readout
    network.register_forward_hook(_hook)
    return readout


def added(network: nn.Module, outputs: Any, x: Tensor) -> Any:
    """Return outputs of a network with its readout's logits added to each, if it has one.

    Parameters
    ----------
    network : Module
        With a readout or without.
    outputs : Tensor, list of Tensor, or named tuple with ``logits``
        Not from calling the network, which adds them itself.
    x : Tensor
        The image that the outputs are of.
    """
    readout = getattr(network, "pixels", None)
    if not isinstance(readout, PixelReadout):
        return outputs
    share, logits = readout.share[:, None, None], readout(x)
    if isinstance(outputs, Tensor):
        return outputs * share + logits
    maps = [each * share + logits for each in getattr(outputs, "logits", outputs)]
    return outputs._replace(logits=maps) if hasattr(outputs, "logits") else maps


def _hook(network: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    joined: Tensor = added(network, output, inputs[0])
    return joined


def _kernels() -> Tensor:
    """Return a Gaussian of one pixel with its first and second derivatives, ``(6, 1, k, k)``."""
    at = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    bell = torch.exp(-(at**2) / 2)
    bell = bell / bell.sum()
    first, second = -at * bell, (at**2 - 1) * bell
    second = second - second.mean()
    pairs = ((bell, bell), (first, bell), (bell, first), (second, bell), (bell, second))
    every = [torch.outer(*pair) for pair in (*pairs, (first, first))]
    return torch.stack(every)[:, None].float()
