"""A second reader of the image beside any network: simple features and a small perceptron.

*Ours*: what pixel classifiers compute by hand, as fixed convolutions. At seven scales each channel
gives its smoothed intensity, the size of its gradient and the eigenvalues of its Hessian and of its
structure tensor, standardised and limited. A perceptron turns them into logits, which are added to
the network's own. It is fitted within seconds, so that a network has an answer to a new task before
it has learnt the task.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .readout_kinds import EARLIER, STRUCTURE

HIDDEN, RADIUS = 32, 4
# Deviations from the mean beyond which a feature says no more: another image may lie far outside
# what was seen, and a perceptron goes on in a straight line there.
LIMIT = 2.0
# How much less a feature is expected to count at each next scale, and one of the structure tensor:
# a few images differ in their coarse features by chance, which would tell them apart.
COARSER, OF_STRUCTURE = 0.7, 0.5
# Scales, and features of a channel at each, of both kinds of readout.
SIZES = {EARLIER: (5, 4), STRUCTURE: (7, 6)}


class PixelReadout(nn.Module):
    """Logits from features of the image alone; zero after construction.

    Parameters
    ----------
    in_channels, outputs : int
        Channels of the image and of the network's output.
    kind : bool or int
        `readout_kinds.STRUCTURE`, or `readout_kinds.EARLIER`.

    Attributes
    ----------
    share : Parameter
        Factor of the network's own outputs, one each.
    """

    mean: Tensor
    deviation: Tensor
    kernels: Tensor

    def __init__(self, in_channels: int, outputs: int, kind: bool | int = STRUCTURE) -> None:
        super().__init__()
        self.structure = kind == STRUCTURE
        self.scales, self.each = SIZES[kind]
        count = self.scales * self.each * in_channels
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.register_buffer("kernels", _kernels(), persistent=False)
        self.hidden = nn.Conv2d(count, HIDDEN, 1)
        self.out = nn.Conv2d(HIDDEN, outputs, 1)
        self.share = nn.Parameter(torch.ones(outputs))
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def standardise(self, images: Iterable[Tensor]) -> None:
        """Take mean and deviation of each feature from images ``(B, in_channels, H, W)``."""
        moments = []
        for x in images:
            levels = self._levels(x)
            means = [level.mean((0, 2, 3)) for level in levels]
            squares = [level.square().mean((0, 2, 3)) for level in levels]
            moments.append(torch.stack([torch.cat(means), torch.cat(squares)]))
        mean, square = torch.stack(moments).mean(0)
        self.mean.copy_(mean)
        self.deviation.copy_((square - mean**2).clamp(min=0).sqrt() + 1e-6)

    @property
    def expected(self) -> Tensor:
        """How large each feature's weights are expected to be, relative to others, ``(F,)``."""
        count = len(self.mean) // self.scales
        each = torch.ones(count // self.each, self.each)
        each[:, 4:] = OF_STRUCTURE
        return torch.cat([COARSER**scale * each.flatten() for scale in range(self.scales)])

    def features(self, x: Tensor) -> Tensor:
        """Return standardised features ``(B, F, H, W)`` of images ``(B, in_channels, H, W)``."""
        levels = self._standard_levels(x)
        full = levels[0].shape[-2:]
        for scale in range(1, self.scales):
            if self.structure:
                for _ in range(scale):
                    levels[scale] = _doubled(levels[scale])
            else:
                levels[scale] = F.interpolate(
                    levels[scale], size=full, mode="bilinear", align_corners=False
                )
        return torch.cat(levels, dim=1)[..., : x.shape[-2], : x.shape[-1]]

    def _standard_levels(self, x: Tensor) -> list[Tensor]:
        """Return the standardised features of each scale."""
        levels = self._levels(x)
        means = self.mean[:, None, None].chunk(self.scales)
        deviations = self.deviation[:, None, None].chunk(self.scales)
        values = [(v - m) / d for v, m, d in zip(levels, means, deviations, strict=True)]
        return [v.clamp(-LIMIT, LIMIT) for v in values] if self.structure else values

    def _levels(self, x: Tensor) -> list[Tensor]:
        """Return the features of each scale, each half as large as the last."""
        height, width = x.shape[-2:]
        # The structure tensor halves the coarsest scale once more.
        coarsest = 2 ** (self.scales - 1 + self.structure)
        x = F.pad(x.float(), (0, -width % coarsest, 0, -height % coarsest), mode="replicate")
        return [self._at_scale(F.avg_pool2d(x, 2**scale)) for scale in range(self.scales)]

    def _at_scale(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        padded = F.pad(x, (RADIUS,) * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
        smooth, dy, dx, dyy, dxx, dxy = F.conv2d(padded, self.kernels).unbind(1)
        middle = (dyy + dxx) / 2
        apart = (((dyy - dxx) / 2) ** 2 + dxy**2 + 1e-12).sqrt()
        slope = (dy**2 + dx**2 + 1e-12).sqrt()
        every = [smooth, slope, middle + apart, middle - apart]
        if self.structure:
            every += self._structure(dy, dx)
        return torch.stack(every, dim=1).reshape(batch, -1, height, width)

    def _structure(self, dy: Tensor, dx: Tensor) -> list[Tensor]:
        """Return the roots of both eigenvalues of the structure tensor, ``(N, H, W)`` each.

        It is smoothed at half the size, which costs a fourth and shows the same.
        """
        products = F.avg_pool2d(torch.stack([dy * dy, dx * dx, dy * dx], dim=1), 2)
        padded = F.pad(products, (RADIUS,) * 4, mode="replicate").flatten(0, 1).unsqueeze(1)
        smooth = F.conv2d(padded, self.kernels[:1]).reshape(products.shape)
        yy, xx, yx = smooth.unbind(1)
        middle, apart = (yy + xx) / 2, (((yy - xx) / 2) ** 2 + yx**2 + 1e-12).sqrt()
        both = torch.stack([middle + apart, middle - apart], dim=1).clamp(min=0)
        return list(_doubled((both + 1e-12).sqrt()).unbind(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, outputs, H, W)``.

        Of ``(B, slices, in_channels, H, W)`` the centre slice is read.
        """
        if x.ndim == 5:
            x = x[:, x.shape[1] // 2]
        with torch.autocast(x.device.type, enabled=False):
            hidden = F.relu(self._hidden(x), inplace=True)
            return _at_every_pixel(hidden, self.out.weight, self.out.bias)

    def _hidden(self, x: Tensor) -> Tensor:
        """Return the hidden layer of the features before its activation."""
        weight, bias = self.hidden.weight, self.hidden.bias
        if not self.structure:
            return _at_every_pixel(self.features(x), weight, bias)
        # The layer and enlarging are both linear. Multiplied at its own size, each scale costs a
        # fourth of the last.
        levels, parts = self._standard_levels(x), weight.chunk(self.scales, dim=1)
        hidden = _at_every_pixel(levels[-1], parts[-1], bias)
        for level, part in zip(levels[-2::-1], parts[-2::-1], strict=True):
            hidden = _doubled(hidden) + _at_every_pixel(level, part)
        return hidden[..., : x.shape[-2], : x.shape[-1]]


def _at_every_pixel(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a 1x1 convolution; while it learns as a product, which is faster on one thread."""
    if not weight.requires_grad:
        return F.conv2d(x, weight, bias)
    flat = weight.flatten(1) @ x.flatten(2)
    flat = flat if bias is None else flat + bias[:, None]
    product: Tensor = flat.unflatten(2, x.shape[2:])
    return product


def attach(
    network: nn.Module, in_channels: int, outputs: int, kind: bool | int = STRUCTURE
) -> PixelReadout:
    """Give a network a readout, which changes nothing before it has weights.

    Parameters
    ----------
    network : Module
        Gets a readout `pixels`.
    in_channels, outputs : int
        Channels of its input and output.
    kind : bool or int
        As for `PixelReadout`.
    """
    readout = PixelReadout(in_channels, outputs, kind)
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


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


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
