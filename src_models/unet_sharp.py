"""UNet#: dense and full-scale skip connections, supervised and pruned at every depth.

Qian et al., "UNet#: a UNet-like redesigning skip connections for medical image
segmentation", arXiv 2205.11759.

*Given*, by the paper and the authors' code: the graph, the widths, the four row heads, deep
supervision on eight outputs, pruning, two classification-guided modules, and that there is a 3-D
form. *Inferred*: where the guided modules sit (their code has none), equal weights of the outputs,
and how 3-D pools anisotropic stacks. *Ours*: maps are enlarged without aligned corners unless asked
for, so that a pixel does not depend on the size of the tile it is in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import CONV, MODE, ConvNormReLU, initialise, pad_to_multiple, upsample_to

PRESETS = {
    "base": (32, 64, 128, 256, 512),
    "small": (16, 32, 64, 128, 256),
    "tiny": (8, 16, 32, 64, 128),
}
DEPTH = 4
# Maps from this many rows below or more are convolved before they are enlarged, which is faster.
FAR = 2


class Supervised(NamedTuple):
    """The outputs that the loss compares with the labels.

    Attributes
    ----------
    logits : list of Tensor
        Eight maps ``(B, classes, H, W)``: four row heads, then four decoder heads.
    presence : list of Tensor
        From both guided modules ``(B, F, 2)``: for each of the F foreground classes one logit
        for its absence and one for its presence.
    """

    logits: list[Tensor]
    presence: list[Tensor]


class Block(nn.Sequential):
    """A node: twice a 3x3 convolution with bias, batch norm and ReLU (*given*)."""

    def __init__(self, inputs: int, outputs: int, dims: int, align_corners: bool = False) -> None:
        super().__init__(
            ConvNormReLU(inputs, outputs, bias=True, dims=dims),
            ConvNormReLU(outputs, outputs, bias=True, dims=dims),
        )
        self.align_corners = align_corners

    def join(self, row: Sequence[Tensor], below: Sequence[Tensor]) -> Tensor:
        """Convolve the nodes of a row and those below it, enlarged to the row's size.

        *Ours*: a convolution over a concatenation is a sum of convolutions, and enlarging treats
        every channel alike, so deep maps are convolved before they are enlarged, see
        `conv_of_upsampled`. Outputs and gradients are the same and take less time.

        Parameters
        ----------
        row : sequence of Tensor
            ``(B, C, H, W)`` or ``(B, C, D, H, W)``: the earlier nodes of the row.
        below : sequence of Tensor
            The nodes of the anti-diagonal below, the nearest row first.
        """
        like, aligned = row[0], self.align_corners
        if like.ndim != 4:
            enlarged = [upsample_to(x, like, aligned) for x in below]
            whole: Tensor = self(torch.cat([*row, *enlarged], dim=1))
            return whole
        first, second = self
        assert isinstance(first, nn.Sequential)
        conv, *others = first
        assert isinstance(conv, nn.Conv2d)
        near = [*row, *(upsample_to(x, like, aligned) for x in below[: FAR - 1])]
        widths = [x.shape[1] for x in near]
        weights = conv.weight.split([sum(widths), *(x.shape[1] for x in below[FAR - 1 :])], dim=1)
        y = F.conv2d(torch.cat(near, dim=1), weights[0], conv.bias, padding=1)
        for x, weight in zip(below[FAR - 1 :], weights[1:], strict=True):
            y = y + conv_of_upsampled(x, weight, (like.shape[2], like.shape[3]), aligned)
        for layer in others:
            y = layer(y)
        joined: Tensor = second(y)
        return joined


def conv_of_upsampled(
    x: Tensor, weight: Tensor, size: tuple[int, int], align_corners: bool = False
) -> Tensor:
    """Return ``conv2d(upsample(x), weight, padding=1)`` without computing the enlarged map.

    The nine taps of the kernel are applied as 1x1 convolutions to the small map, enlarged along
    one axis, shifted and summed, and then along the other.

    Parameters
    ----------
    x : Tensor
        ``(B, C, h, w)``.
    weight : Tensor
        ``(K, C, 3, 3)``.
    size : tuple of int
        Height and width of the result, multiples of h and w.
    align_corners : bool
        See `layers.upsample_to`.
    """
    # While it learns, and in the scores of a run.
    if x.requires_grad or torch.is_autocast_enabled(x.device.type):
        return _by_products(x, weight, size, align_corners)
    batch, _, h, _ = x.shape
    outputs = weight.shape[0]
    # Order of the maps: row of the kernel, column of the kernel, output channel.
    taps = F.conv2d(x, weight.permute(2, 3, 0, 1).flatten(0, 2)[..., None, None])
    wide = F.interpolate(taps, size=(h, size[1]), mode=MODE[2], align_corners=align_corners)
    wide = wide.reshape(batch, 3, 3, outputs, h, size[1])
    rows = wide[:, :, 1] + F.pad(wide[:, :, 0, ..., :-1], (1, 0))
    rows = rows + F.pad(wide[:, :, 2, ..., 1:], (0, 1))
    rows = rows.reshape(batch, 3 * outputs, h, size[1])
    whole = F.interpolate(rows, size=size, mode=MODE[2], align_corners=align_corners)
    whole = whole.reshape(batch, 3, outputs, *size)
    above, below = F.pad(whole[:, 0, :, :-1], (0, 0, 1, 0)), F.pad(whole[:, 2, :, 1:], (0, 0, 0, 1))
    return whole[:, 1] + above + below


def _by_products(x: Tensor, weight: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Return what `conv_of_upsampled` does, by two matrix products.

    Enlarging, shifting and summing along an axis is linear. As a product its gradient is one, too,
    which takes a quarter of the time for patches; for large images the matrices are too large.
    """
    batch, channels, h, w = x.shape
    outputs = weight.shape[0]
    # Order of the maps: output channel, row of the kernel, column of the kernel.
    taps = F.conv2d(x, weight.permute(0, 2, 3, 1).reshape(9 * outputs, channels, 1, 1))
    taps = taps.reshape(batch, outputs, 3, 3, h, w).transpose(3, 4)
    taps = taps.reshape(batch, outputs, 3 * h, 3 * w)
    rows = taps @ _enlarging(w, size[1], align_corners, taps).T
    rows = rows.permute(0, 2, 3, 1).reshape(batch, 3 * h, size[1] * outputs)
    whole = _enlarging(h, size[0], align_corners, taps) @ rows
    return whole.reshape(batch, *size, outputs).permute(0, 3, 1, 2)


def _enlarging(length: int, size: int, align_corners: bool, like: Tensor) -> Tensor:
    """Return the matrix ``(size, 3 * length)`` that enlarges, shifts and sums three taps."""
    units = torch.eye(length, device=like.device)[None]
    enlarged = F.interpolate(units, size=size, mode=MODE[1], align_corners=align_corners)[0].T
    before, after = F.pad(enlarged[:-1], (0, 0, 1, 0)), F.pad(enlarged[1:], (0, 0, 0, 1))
    return torch.stack([before, enlarged, after], dim=1).reshape(size, -1).to(like.dtype)


class Guide(nn.Module):
    """Classification-guided module: whether the image contains foreground of each class.

    *Given* by UNet 3+, from which UNet# takes it: dropout, a 1x1 convolution to two logits per
    class, and global max-pooling.
    """

    def __init__(self, channels: int, classes: int, dims: int) -> None:
        super().__init__()
        self.foreground = max(classes - 1, 1)
        self.dropout = nn.Dropout(0.5)
        self.conv = CONV[dims](channels, 2 * self.foreground, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(B, F, 2)``: absence and presence of each foreground class."""
        strongest = self.conv(self.dropout(x)).flatten(2).amax(-1)
        logits: Tensor = strongest.unflatten(1, (self.foreground, 2))
        return logits


class UNetSharp(nn.Module):
    """UNet#, 10,748,580 parameters in its trunk and row heads at 3 channels and 1 class.

    Node ``X(i, j)`` is row i (depth) and column j of a triangle with ``i + j <= 4``. It reads all
    earlier nodes of its row and the whole anti-diagonal below it, enlarged (*given*)::

        X(i, 0) = block(maxpool(X(i-1, 0)))
        X(i, j) = block(concat(X(i, 0..j-1), up X(i+1, j-1), up X(i+2, j-2), ..., up X(i+j, 0)))

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    classes : int
        Output channels.
    preset : str
        ``"base"``, 32 to 512 channels, ``"small"``, half of that, or ``"tiny"``, a quarter
        (*ours*), which learns in a minute on a CPU.
    dims : int
        2 for images, 3 for volumes.
    spacing : sequence of float, optional
        Size of a voxel along Z, Y and X, for ``dims=3``: Z is pooled only once Y and X have
        become as coarse. Without it all three are pooled at every level.
    align_corners : bool
        Enlarge maps as the authors' code does, for their weights. Predictions then depend on the
        size of the tiles.

    Attributes
    ----------
    level : int
        1 to 4: with a lower one, inference computes only the nodes ``i + j <= level`` and returns
        the row head of that column. 4 after construction.
    gate : bool
        Whether the presence of each class multiplies its probabilities at inference, at every
        level, so that an empty image gives an empty mask. For whole images: a tile can be empty
        although its image is not. Off after construction.

    Raises
    ------
    ValueError
        If there is no such preset or number of dimensions.
    """

    divisor = 2**DEPTH

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 1,
        preset: str = "base",
        dims: int = 2,
        spacing: Sequence[float] | None = None,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise ValueError(f"No preset {preset!r} of UNet#; choose {' or '.join(PRESETS)}.")
        if dims not in CONV:
            raise ValueError(f"UNet# has 2 or 3 dimensions, not {dims}.")
        widths = PRESETS[preset]
        self.level = DEPTH
        self.gate = False
        self.align_corners = align_corners
        self.pools = pool_strides(dims, spacing)
        self.nodes = nn.ModuleDict(
            {
                f"{i}_{j}": Block(
                    _inputs(i, j, in_channels, widths), widths[i], dims, align_corners
                )
                for j in range(DEPTH + 1)
                for i in range(DEPTH + 1 - j)
            }
        )
        self.row_heads = nn.ModuleList(CONV[dims](widths[0], classes, 1) for _ in range(DEPTH))
        # X(4, 0), X(3, 1), X(2, 2), X(1, 3); in training alone.
        self.decoder_heads = nn.ModuleList(
            CONV[dims](widths[i], classes, 3, padding=1) for i in range(DEPTH, 0, -1)
        )
        self.guide_decoder = Guide(widths[DEPTH], classes, dims)
        self.guide_rows = Guide(widths[1], classes, dims)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` or ``(B, in_channels, D, H, W)`` to logits.

        The logits have `classes` channels and the size of the image.

        Raises
        ------
        ValueError
            If an image is too small to train on.
        """
        nodes = self._nodes(x, self.level)
        logits = _crop(self.row_heads[self.level - 1](nodes[0, self.level]), x)
        return _gated(logits, self.presence(x)) if self.gate else logits

    @property
    def guided(self) -> bool:
        """Whether the guided module has learnt; that of the authors' weights is 0."""
        weight = self.guide_decoder.conv.weight
        return bool((weight != 0).any())

    def presence(self, x: Tensor) -> Tensor:
        """Return whether images hold foreground at all, from the encoder alone.

        The module on the deepest node says so, as in UNet 3+. It needs no node that pruning
        leaves out, so the answer is the same at every level.

        Parameters
        ----------
        x : Tensor
            As for calling the network.

        Returns
        -------
        Tensor
            ``(B, F)``: for each of the F foreground classes the logit of its presence. That of an
            image is the largest of its tiles, because the module takes the largest of its places.
        """
        x = pad_to_multiple(x, self._whole(DEPTH))
        for i in range(DEPTH + 1):
            x = self.nodes[f"{i}_0"](_max_pool(x, self.pools[i - 1]) if i else x)
        logits: Tensor = self.guide_decoder(x)[..., 1]
        return logits

    def row_outputs(self, x: Tensor) -> list[Tensor]:
        """Return the logits of all four row heads; where they disagree, they are uncertain."""
        nodes = self._nodes(x, DEPTH)
        return [_crop(head(nodes[0, j]), x) for j, head in enumerate(self.row_heads, start=1)]

    def supervised(self, x: Tensor) -> Supervised:
        """Return all outputs that the loss compares with the labels."""
        nodes = self._nodes(x, DEPTH)
        rows = [head(nodes[0, j]) for j, head in enumerate(self.row_heads, start=1)]
        diagonal = [nodes[i, DEPTH - i] for i in range(DEPTH, 0, -1)]
        deep = [
            upsample_to(head(node), rows[0], self.align_corners)
            for head, node in zip(self.decoder_heads, diagonal, strict=True)
        ]
        presence = [self.guide_decoder(nodes[4, 0]), self.guide_rows(nodes[1, 3])]
        return Supervised([_crop(y, x) for y in (*rows, *deep)], presence)

    def _nodes(self, x: Tensor, level: int) -> dict[tuple[int, int], Tensor]:
        x = pad_to_multiple(x, self._whole(level))
        if self.training:
            self._check_size(x)
        nodes: dict[tuple[int, int], Tensor] = {}
        for i in range(level + 1):
            x = self.nodes[f"{i}_0"](_max_pool(x, self.pools[i - 1]) if i else x)
            nodes[i, 0] = x
        for j in range(1, level + 1):
            for i in range(level + 1 - j):
                row = [nodes[i, k] for k in range(j)]
                below = [nodes[i + k, j - k] for k in range(1, j + 1)]
                block = self.nodes[f"{i}_{j}"]
                assert isinstance(block, Block)
                nodes[i, j] = block.join(row, below)
        return nodes

    def _whole(self, level: int) -> tuple[int, ...]:
        """Return by how much a level shrinks each axis."""
        return tuple(math.prod(sides) for sides in zip(*self.pools[:level], strict=True))

    def _check_size(self, x: Tensor) -> None:
        whole = self._whole(DEPTH)
        deepest = [length // divisor for length, divisor in zip(x.shape[2:], whole, strict=True)]
        if x.shape[0] * math.prod(deepest) == 1:
            smallest = " x ".join(str(divisor + 1) for divisor in whole)
            raise ValueError(
                f"UNet# cannot be trained on a single image of {' x '.join(map(str, whole))} "
                "pixels or less, because its deepest map is then a single value that batch norm "
                f"would set to zero. Give patches of at least {smallest}, or more than one."
            )


def pool_strides(dims: int, spacing: Sequence[float] | None = None) -> list[tuple[int, ...]]:
    """Return the factors by which the four poolings shrink each axis.

    Parameters
    ----------
    dims : int
        2 or 3.
    spacing : sequence of float, optional
        Size of a voxel along Z, Y and X. Z is halved only where a voxel is not yet much longer
        along Z than along Y and X, that is by less than the square root of 2.

    Returns
    -------
    list of tuple of int
        One tuple per level, of 1 or 2 per spatial axis.
    """
    if dims == 2 or spacing is None:
        return [(2,) * dims] * DEPTH
    along, across = spacing[0], min(spacing[1:])
    strides: list[tuple[int, ...]] = []
    for _ in range(DEPTH):
        step = 2 if along < across * 2**0.5 else 1
        strides.append((step, 2, 2))
        along, across = along * step, across * 2
    return strides


def _inputs(i: int, j: int, in_channels: int, widths: Sequence[int]) -> int:
    if j == 0:
        return widths[i - 1] if i else in_channels
    return j * widths[i] + sum(widths[i + 1 : i + j + 1])


def _max_pool(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    return F.max_pool2d(x, stride) if x.ndim == 4 else F.max_pool3d(x, stride)


def _crop(y: Tensor, like: Tensor) -> Tensor:
    for axis in range(2, y.ndim):
        y = y.narrow(axis, 0, like.shape[axis])
    return y


def _gated(logits: Tensor, presence: Tensor) -> Tensor:
    """Multiply foreground probabilities by the probability of presence, in logits."""
    present = presence.sigmoid().reshape(*presence.shape, *(1,) * (logits.ndim - 2)).float()
    tiny = torch.finfo(torch.float32).tiny
    if logits.shape[1] == 1:
        gated = logits.float().sigmoid() * present
        return (gated.clamp(min=tiny) / (1 - gated).clamp(min=tiny)).log().to(logits.dtype)
    foreground = logits.float().softmax(1)[:, 1:] * present
    background = 1 - foreground.sum(1, keepdim=True)
    return torch.cat([background, foreground], dim=1).clamp(min=tiny).log().to(logits.dtype)
