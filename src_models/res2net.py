"""Res2Net-50 v1b, 26w 4s: the backbone of M2SNet.

Gao et al., "Res2Net: a new multi-scale backbone architecture", IEEE TPAMI 2021,
doi 10.1109/TPAMI.2019.2938758. All of it is *given* by the paper and its published code; the
classifier is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = 4
BASE_WIDTH = 26
BLOCKS = (3, 4, 6, 3)
PLANES = 64
STEM = 64


def widths(planes: int = PLANES) -> tuple[int, ...]:
    """Return the channels of the backbone's five maps."""
    return (STEM, *(4 * planes * 2**k for k in range(len(BLOCKS))))


def _conv_norm(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Bottle2neck(nn.Module):
    """A bottleneck whose 3x3 convolution is a chain over four groups of channels.

    The output of each group is added to the input of the next, so that later groups have a larger
    receptive field; the last group passes unchanged. The first block of a layer, which may halve
    the size, has no such chain and average-pools its last group.

    Parameters
    ----------
    inputs, planes : int
        Input channels, and a quarter of the output channels.
    stride : int
        1 or 2.
    first : bool
        Whether it opens a layer.
    """

    def __init__(self, inputs: int, planes: int, stride: int, first: bool) -> None:
        super().__init__()
        width = planes * BASE_WIDTH // 64
        self.first, self.stride = first, stride
        self.reduce = _conv_norm(inputs, SCALES * width, 1)
        self.branches = nn.ModuleList(
            _conv_norm(width, width, 3, stride) for _ in range(SCALES - 1)
        )
        self.expand = _conv_norm(SCALES * width, 4 * planes, 1)
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                *_conv_norm(inputs, 4 * planes, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, 4 * planes, H / stride, W / stride)``."""
        groups = F.relu(self.reduce(x), inplace=True).chunk(SCALES, dim=1)
        outputs: list[Tensor] = []
        for group, branch in zip(groups[:-1], self.branches, strict=True):
            chained = group if self.first or not outputs else group + outputs[-1]
            outputs.append(F.relu(branch(chained), inplace=True))
        last = F.avg_pool2d(groups[-1], 3, self.stride, 1) if self.first else groups[-1]
        y = self.expand(torch.cat([*outputs, last], dim=1))
        return F.relu(y + self.shortcut(x), inplace=True)


class Res2Net50(nn.Module):
    """The backbone: maps of 64, 256, 512, 1024 and 2048 channels at strides 4, 4, 8, 16, 32.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    planes : int
        64 as published; *ours*: fewer make all maps but the first narrower.
    """

    def __init__(self, in_channels: int = 3, planes: int = PLANES) -> None:
        super().__init__()
        thin = max(planes // 2, 16)
        self.stem = nn.Sequential(
            *_conv_norm(in_channels, thin, 3, stride=2),
            nn.ReLU(inplace=True),
            *_conv_norm(thin, thin, 3),
            nn.ReLU(inplace=True),
            *_conv_norm(thin, STEM, 3),
            nn.ReLU(inplace=True),
        )
        inputs, layers = STEM, []
        for index, count in enumerate(BLOCKS):
            blocks = []
            for k in range(count):
                stride = 2 if index and not k else 1
                blocks.append(Bottle2neck(inputs, planes, stride, first=k == 0))
                inputs = 4 * planes
            planes *= 2
            layers.append(nn.Sequential(*blocks))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, in_channels, H, W)`` to five feature maps, the finest first."""
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        features = [x]
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features
