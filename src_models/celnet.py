"""CeLNet: a correlation-enhanced lightweight network that reads neighbouring slices.

Zhang et al., Physics in Medicine and Biology 68(11), 2023, 115012,
doi 10.1088/1361-6560/acd519.

*Given* by the abstract: a siamese, weight-shared encoder over adjacent slices; PDP blocks;
a relation module that joins global and local attention with element-wise subtraction;
5.18 M parameters. *Inferred*, since neither text nor code is public: all arrangements below.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNormReLU, initialise, pad_to_multiple, upsample_to

WIDTHS = (64, 128, 256, 432, 512)


class PDP(nn.Module):
    """Point-depth convolution parallel block.

    *Given*: parallel pointwise and depthwise branches, feature stacking and feature reuse.
    *Inferred*: two such pairs, the second on the first one's stacked output, and a shortcut.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.point1, self.depth1 = ConvNormReLU(inputs, half, 1), _depthwise(inputs, half)
        self.point2, self.depth2 = ConvNormReLU(outputs, half, 1), _depthwise(outputs, half)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        y = torch.cat([self.point1(x), self.depth1(x)], dim=1)
        y = torch.cat([self.point2(y), self.depth2(y)], dim=1)
        return F.relu(y + self.shortcut(x))


def _depthwise(inputs: int, outputs: int) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *ConvNormReLU(inputs, outputs, 1),
    )


class Relation(nn.Module):
    """Relation module: the features that a slice shares with its neighbours, at one level.

    *Given*: global and local attention, and the subtraction of features. *Inferred*: their
    order. A neighbour is weighted by channel and by pixel, then damped where it still differs
    from the centre; the centre passes unchanged beside it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // 8
        self.channel_attention = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
        )
        self.pixel_attention = nn.Conv2d(2, 1, 7, padding=3)
        self.difference = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            *ConvNormReLU(channels, channels, 1),
        )
        self.fuse = ConvNormReLU(3 * channels, channels, 1)

    def forward(self, previous: Tensor, centre: Tensor, following: Tensor) -> Tensor:
        """Relate the features of three slices.

        Parameters
        ----------
        previous, centre, following : Tensor
            ``(B, channels, H, W)``.

        Returns
        -------
        Tensor
            ``(B, channels, H, W)``, of the centre.
        """
        related = [centre, self._correlate(centre, previous), self._correlate(centre, following)]
        fused: Tensor = self.fuse(torch.cat(related, dim=1))
        return fused + centre

    def _correlate(self, centre: Tensor, neighbour: Tensor) -> Tensor:
        attended, difference = self._difference(centre, neighbour)
        # Open where nothing differs: the difference is at least 0.
        return attended * torch.exp(-difference)

    def _difference(self, centre: Tensor, neighbour: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted neighbour, and how much it still differs from the centre."""
        both = self._channel_logits(centre) + self._channel_logits(neighbour)
        gap = (centre - neighbour).abs()
        summary = torch.cat([gap.mean(1, keepdim=True), gap.amax(1, keepdim=True)], dim=1)
        attended: Tensor = neighbour * both.sigmoid() * self.pixel_attention(summary).sigmoid()
        difference: Tensor = self.difference((centre - attended).abs())
        return attended, difference

    def _channel_logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.channel_attention(x.mean((2, 3), keepdim=True))
        return logits


class CeLNet(nn.Module):
    """CeLNet, 5.18 M parameters at 1 channel and 1 class.

    Parameters
    ----------
    in_channels : int
        Channels of a slice.
    classes : int
        Output channels, of the centre slice.
    """

    divisor = 16
    context_slices = 3

    def __init__(self, in_channels: int = 1, classes: int = 1) -> None:
        super().__init__()
        widths = (in_channels, *WIDTHS)
        self.encoder = nn.ModuleList(PDP(a, b) for a, b in zip(widths, WIDTHS, strict=False))
        self.relations = nn.ModuleList(Relation(width) for width in WIDTHS)
        self.decoder = nn.ModuleList(
            PDP(below + width, width) for below, width in zip(WIDTHS[1:], WIDTHS, strict=False)
        )
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Segment the centre slice.

        Parameters
        ----------
        x : Tensor
            ``(B, 3, in_channels, H, W)``: the previous, the centre and the next slice; or
            ``(B, in_channels, H, W)``, single images, which also serve as their own neighbours.

        Returns
        -------
        Tensor
            Logits ``(B, classes, H, W)``.
        """
        height, width = x.shape[-2:]
        if x.ndim == 4:
            features = self.encode(x)
            return self.decode(features, features, features, (height, width))
        encoded = [level.unflatten(0, x.shape[:2]) for level in self.encode(x.flatten(0, 1))]
        previous, centre, following = ([level[:, k] for level in encoded] for k in range(3))
        return self.decode(previous, centre, following, (height, width))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Encode slices ``(B, in_channels, H, W)``, each by itself, at strides 1 to 16.

        In a stack, the features of one slice serve for itself and for both its neighbours.
        """
        x = pad_to_multiple(x, (self.divisor, self.divisor))
        features: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        return features

    def decode(
        self,
        previous: Sequence[Tensor],
        centre: Sequence[Tensor],
        following: Sequence[Tensor],
        size: tuple[int, int],
    ) -> Tensor:
        """Turn three slices' features into the logits ``(B, classes, *size)`` of the centre.

        Parameters
        ----------
        previous, centre, following : sequence of Tensor
            As `encode` returns them; at the ends of a stack the centre replaces the missing one.
        size : tuple of int
            Height and width before padding.
        """
        related = [
            relation(*maps)
            for relation, *maps in zip(self.relations, previous, centre, following, strict=True)
        ]
        y = related[-1]
        for block, skip in zip(reversed(self.decoder), reversed(related[:-1]), strict=True):
            y = block(torch.cat([upsample_to(y, skip), skip], dim=1))
        logits: Tensor = self.head(y)
        return logits[..., : size[0], : size[1]]
