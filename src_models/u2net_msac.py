"""MSAC-U2Net: a light U2-Net with multi-scale asymmetric convolutions.

Sun et al., Journal of Chongqing University of Technology (Natural Science) 38(21),
2024, 138-146.

*Given* by the paper's abstract: U2-Net as the base, multi-scale asymmetric kernels
instead of attention, fewer layers than U2-Net, UNet++ skip connections, the loss.
*Inferred*, since neither text nor code is public: everything else, which follows U2-Net
(Qin et al., 2020) and UNet++ (Zhou et al., 2018), in a size no larger than U2-NetP. The
abstract's words have two readings, one a variant each: kernels that are summed, as in ACNet's
foldable branches (Ding et al., 2019), or strips that weigh the map, as in SegNeXt's
convolutional attention (Guo et al., 2022).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNormReLU, initialise, pad_to_multiple, upsample_to

OUTER = 24
INNER = (12, 16, 16, 16)
KERNELS = ((3, 3), (1, 3), (3, 1), (1, 5), (5, 1))
STRIPS = (7, 11, 21)
# A map is limited to this before it is multiplied (*ours*). It comes from a batch norm, so values
# beyond it are rare; squared from block to block, those of an unusual image would become infinite.
LARGEST = 10.0


class MSAC(nn.Module):
    """Multi-scale asymmetric convolution (*inferred*): parallel kernels, summed, then ReLU.

    Branches of 3x3, 1x3, 3x1, 1x5 and 5x1 pixels, each with batch norm, are five views of one
    5x5 kernel: richer to train, and after training one convolution, see `folded`.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.branches = nn.ModuleList()
        for kernel in KERNELS:
            padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
            conv = nn.Conv2d(
                inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False
            )
            norm = nn.BatchNorm2d(outputs)
            # So that the sum of the branches has the variance of a single branch.
            nn.init.constant_(norm.weight, len(KERNELS) ** -0.5)
            self.branches.append(nn.Sequential(conv, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        first, *others = self.branches
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return F.relu(y)

    def folded(self) -> nn.Module:
        """Return a 5x5 convolution and a ReLU that give the same output, for inference."""
        from torch.nn.utils.fusion import fuse_conv_bn_eval

        pairs: Any = self.branches
        branches = [fuse_conv_bn_eval(conv, norm) for conv, norm in pairs]
        largest = max(max(kernel) for kernel in KERNELS)
        first = branches[0]
        whole = nn.Conv2d(
            first.in_channels,
            first.out_channels,
            largest,
            padding=self.dilation * (largest // 2),
            dilation=self.dilation,
        )
        with torch.no_grad():
            whole.weight.zero_()
            assert whole.bias is not None
            whole.bias.zero_()
            for branch in branches:
                height, width = branch.weight.shape[-2:]
                rows, columns = (largest - height) // 2, (largest - width) // 2
                centre = whole.weight[:, :, rows : rows + height, columns : columns + width]
                centre += branch.weight
                whole.bias += branch.bias
        return nn.Sequential(whole.to(first.weight.device), nn.ReLU(inplace=True)).eval()


class StripAttention(nn.Module):
    """Multi-scale strips in the place of attention (*inferred*): a map times weights of its own.

    The weights are a depthwise 5x5 convolution, plus three of it by pairs of strips, 1 x k and
    k x 1 for k of 7, 11 and 21 pixels, mixed over channels.

    Parameters
    ----------
    channels : int
        Of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def strip(height: int, width: int) -> nn.Conv2d:
            padding = (height // 2, width // 2)
            return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)

        self.near = strip(5, 5)
        self.pairs = nn.ModuleList(nn.Sequential(strip(1, k), strip(k, 1)) for k in STRIPS)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        # Products are delicate in half precision, and oneDNN 3.12 does not return from the
        # gradient of a depthwise convolution in bfloat16 whose channels fill no register.
        with torch.autocast(x.device.type, enabled=False):
            given, x = x.dtype, x.to(self.mix.weight.dtype)
            if x.requires_grad:
                x = F.hardtanh(x, -LARGEST, LARGEST)  # as clamp, with a faster gradient
                return (x * self._learning(x)).to(given)
            x = x.clamp(-LARGEST, LARGEST)
            near: Tensor = self.near(x)
            total = near
            for pair in self.pairs:
                total = total + pair(near)
            weights: Tensor = self.mix(total)
            return (x * weights).to(given)

    def _learning(self, x: Tensor) -> Tensor:
        """Return the weights by operations whose gradients take less time on a CPU.

        The gradient of the weights of a strip along the row takes up to seventeen times as long as
        that of one along the column, so it learns along the column of the turned map. With a bias
        that of 5x5 pixels takes a third longer, so its bias is added afterwards.
        """
        wide = self.near
        assert wide.bias is not None
        near = F.conv2d(x, wide.weight, padding=wide.padding, groups=wide.groups)
        near = near + wide.bias[:, None, None]
        total, turned = near, _turned(near)
        for pair in self.pairs:
            row, column = pair.children()
            assert isinstance(row, nn.Conv2d)
            assert isinstance(row.padding, tuple)
            padding = row.padding[::-1]
            along = row.weight.transpose(2, 3)
            y = F.conv2d(turned, along, row.bias, padding=padding, groups=row.groups)
            total = total + column(_turned(y))
        weights: Tensor = self.mix(total)
        return weights

    def open(self) -> None:
        """Let the map pass unchanged, from where training starts."""
        nn.init.zeros_(self.mix.weight)
        assert self.mix.bias is not None
        nn.init.ones_(self.mix.bias)


class Attended(nn.Sequential):
    """A 3x3 convolution, batch norm, ReLU and `StripAttention`, in the place of `MSAC`."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(ConvNormReLU(inputs, outputs, dilation=dilation), StripAttention(outputs))


def _turned(x: Tensor) -> Tensor:
    """Return a map with rows and columns exchanged, in channels-last format."""
    return x.transpose(2, 3).contiguous(memory_format=torch.channels_last)


VARIANTS: dict[str, type[MSAC] | type[Attended]] = {"light": MSAC, "attention": Attended}


class RSU(nn.Module):
    """Residual U-block of U2-Net (*given* as the base) with MSAC at its two finest levels.

    Parameters
    ----------
    inputs, inner, outputs : int
        Channels.
    levels : int
        Depth of the small U, the dilated bottom included; it halves the size ``levels - 2`` times.
    variant : str
        One of `VARIANTS`.
    """

    def __init__(self, inputs: int, inner: int, outputs: int, levels: int, variant: str) -> None:
        super().__init__()
        unit = VARIANTS[variant]
        self.entry = ConvNormReLU(inputs, outputs)
        down: list[nn.Module] = [unit(outputs, inner), unit(inner, inner)]
        down += [ConvNormReLU(inner, inner) for _ in range(levels - 3)]
        up: list[nn.Module] = [unit(2 * inner, outputs), unit(2 * inner, inner)]
        up += [ConvNormReLU(2 * inner, inner) for _ in range(levels - 3)]
        self.down = nn.ModuleList(down)
        self.bottom = ConvNormReLU(inner, inner, dilation=2)
        self.up = nn.ModuleList(up)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        entry: Tensor = self.entry(x)
        y = entry
        skips: list[Tensor] = []
        for level, layer in enumerate(self.down):
            y = layer(F.max_pool2d(y, 2) if level else y)
            skips.append(y)
        y = self.bottom(y)
        for layer, skip in zip(reversed(self.up), reversed(skips), strict=True):
            y = layer(torch.cat([upsample_to(y, skip), skip], dim=1))
        residual: Tensor = y
        return residual + entry


class DilatedRSU(nn.Module):
    """U2-Net's RSU-4F: a residual U that widens by dilation instead of pooling (*given*)."""

    def __init__(self, inputs: int, inner: int, outputs: int, variant: str) -> None:
        super().__init__()
        unit = VARIANTS[variant]
        self.entry = ConvNormReLU(inputs, outputs)
        self.down1 = unit(outputs, inner)
        self.down2 = unit(inner, inner, dilation=2)
        self.down3 = ConvNormReLU(inner, inner, dilation=4)
        self.bottom = ConvNormReLU(inner, inner, dilation=8)
        self.up3 = ConvNormReLU(2 * inner, inner, dilation=4)
        self.up2 = unit(2 * inner, inner, dilation=2)
        self.up1 = unit(2 * inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        entry: Tensor = self.entry(x)
        down1 = self.down1(entry)
        down2 = self.down2(down1)
        down3 = self.down3(down2)
        y = self.up3(torch.cat([self.bottom(down3), down3], dim=1))
        y = self.up2(torch.cat([y, down2], dim=1))
        residual: Tensor = self.up1(torch.cat([y, down1], dim=1))
        return residual + entry


class U2NetMSAC(nn.Module):
    """MSAC-U2Net.

    Four levels of residual U-blocks (*inferred*: U2-Net has six), joined by the dense skips of
    UNet++ (*given*): node ``X(i, j)`` reads ``X(i, 0..j-1)`` and the doubled ``X(i+1, j-1)``,
    and is one unit of the variant for ``j >= 1`` (*inferred*).

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    classes : int
        Output channels.
    variant : str
        ``"light"``, whose units are `MSAC` and become single convolutions after training, or
        ``"attention"``, whose units end in `StripAttention`.

    Raises
    ------
    ValueError
        If there is no such variant.
    """

    divisor = 16

    def __init__(self, in_channels: int = 1, classes: int = 1, variant: str = "light") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(
                f"No variant {variant!r} of MSAC-U2Net; choose {' or '.join(VARIANTS)}."
            )
        # In bfloat16 OpenVINO 2026.4 does not return from compiling the strips, as of 12 channels.
        self.exact_only = variant == "attention"
        unit = VARIANTS[variant]
        self.stages = nn.ModuleList(
            [
                RSU(in_channels, INNER[0], OUTER, levels=5, variant=variant),
                RSU(OUTER, INNER[1], OUTER, levels=4, variant=variant),
                RSU(OUTER, INNER[2], OUTER, levels=4, variant=variant),
                DilatedRSU(OUTER, INNER[3], OUTER, variant),
            ]
        )
        self.nodes = nn.ModuleDict(
            {f"{i}_{j}": unit((j + 1) * OUTER, OUTER) for j in (1, 2, 3) for i in range(4 - j)}
        )
        self.sides = nn.ModuleList(nn.Conv2d(OUTER, classes, 3, padding=1) for _ in range(4))
        self.fusion = nn.Conv2d(4 * classes, classes, 1)
        initialise(self)
        for module in self.modules():
            if isinstance(module, StripAttention):
                module.open()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)``."""
        return self.supervised(x)[0]

    def supervised(self, x: Tensor) -> list[Tensor]:
        """Return the fused logits and those of the four side heads, all ``(B, classes, H, W)``."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, (self.divisor, self.divisor))
        columns: list[list[Tensor]] = [[]]
        for level, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if level else x)
            columns[0].append(x)
        for j in (1, 2, 3):
            columns.append([])
            for i in range(4 - j):
                row = [columns[k][i] for k in range(j)]
                below = upsample_to(columns[j - 1][i + 1], row[0])
                columns[j].append(self.nodes[f"{i}_{j}"](torch.cat([*row, below], dim=1)))

        features = [columns[1][0], columns[2][0], columns[3][0], columns[0][3]]
        sides = [
            upsample_to(side(feature), features[0])
            for side, feature in zip(self.sides, features, strict=True)
        ]
        outputs = [self.fusion(torch.cat(sides, dim=1)), *sides]
        return [y[..., :height, :width] for y in outputs]

    def fuse(self) -> nn.Module:
        """Return the network with every MSAC and batch norm folded, see `folding.fold`."""
        from .folding import fold

        return fold(self)
