"""S-Net: a shallow network with a Global-Local Feature Fusion bottleneck.

Shang et al., "S-Net", Computer Methods and Programs in Biomedicine 2025,
doi 10.1016/j.cmpb.2025.108730. The layers, their order and their widths are
*given* by the paper and the code published with it. *Ours*: logits instead of a
final sigmoid, any height and width, any number of channels and classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .selective_scan import selective_scan
from .selective_scan.image_scan import ImageScan, can_scan_image

WIDTH = 64
STATES = 16
DROP_PATH = 0.1
# Pixels up to which a GPU scans all four directions at once, see `_together`.
TOKENS_AT_ONCE = 128 * 128


class ConvNorm(nn.Sequential):
    """A 3x3 convolution without bias and its batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )


class ConvBlock(nn.Sequential):
    """Two convolutions, each with batch norm and ReLU; the second changes the width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            ConvNorm(inputs, inputs),
            nn.ReLU(inplace=True),
            ConvNorm(inputs, outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm around which the input is added (ResNet's basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels)
        self.conv2 = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        return F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)) + x, inplace=True)


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch, sample by sample (Huang et al., 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero whole samples of ``(B, ...)`` in training, and rescale the others."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask / keep


class SS2D(nn.Module):
    """Four selective scans across the image, VMamba's first version (*given*).

    The tokens are read row by row, column by column, and both backwards; each
    direction has its own projections. Input and output are ``(B, H, W, C)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        rank = math.ceil(channels / 16)
        self.rank = rank
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj = nn.Parameter(torch.empty(4, rank + 2 * STATES, inner))
        self.dt_proj = nn.Parameter(torch.empty(4, inner, rank))
        self.dt_bias = nn.Parameter(torch.empty(4, inner))
        self.A_log = nn.Parameter(
            torch.arange(1, STATES + 1, dtype=torch.float32).log().repeat(4 * inner, 1)
        )
        self.D = nn.Parameter(torch.ones(4 * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        self.image_scan = ImageScan()
        self._reset()

    def _reset(self) -> None:
        bound = 1 / math.sqrt(self.x_proj.shape[-1])
        nn.init.uniform_(self.x_proj, -bound, bound)
        nn.init.uniform_(self.dt_proj, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():
            step = torch.empty_like(self.dt_bias).uniform_(math.log(0.001), math.log(0.1)).exp()
            step.clamp_(min=1e-4)
            self.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, channels)`` to the same shape."""
        x, z = self.in_proj(x).chunk(2, dim=-1)
        x = F.silu(self.conv(x.permute(0, 3, 1, 2)))
        y: Tensor = self.out_proj(self.out_norm(self._scan(x)) * F.silu(z))
        return y

    def _scan(self, x: Tensor) -> Tensor:
        """Scan ``(B, C, H, W)`` in four directions and add them up as ``(B, H, W, C)``."""
        batch, channels, height, width = x.shape
        if can_scan_image(x, channels):
            return self._scan_in_place(x.permute(0, 2, 3, 1))
        lines = (x.permute(0, 2, 3, 1).flatten(1, 2), x.permute(0, 3, 2, 1).flatten(1, 2))
        shapes = ((batch, height, width, channels), (batch, width, height, channels))
        total: Tensor | None = None
        for directions in _together(x):
            tokens = [lines[k % 2].flip(1) if k > 1 else lines[k % 2] for k in directions]
            single = len(tokens) == 1
            stacked = tokens[0].unsqueeze(1) if single else torch.stack(tokens, dim=1)
            scanned = self._scan_lines(stacked, directions)
            for k, y in zip(directions, scanned.unbind(1), strict=True):
                y = (y.flip(1) if k > 1 else y).reshape(shapes[k % 2])
                y = y.transpose(1, 2) if k % 2 else y
                total = y if total is None else total + y
        assert total is not None
        return total.to(x.dtype)

    def _scan_in_place(self, x: Tensor) -> Tensor:
        """Scan ``(B, H, W, C)`` as `_scan` does, faster and without gradients."""
        channels = x.shape[-1]
        rates = -torch.exp(self.A_log.view(4, channels, -1)).transpose(1, 2) * math.log2(math.e)
        with torch.autocast("cpu", enabled=False):
            y: Tensor = self.image_scan(
                x,
                F.linear(x, self.x_proj.flatten(0, 1)),
                self.dt_proj.transpose(1, 2),
                rates,
                self.D.view(4, channels).sum(0),
                self.dt_bias,
            )
        return y

    def _scan_lines(self, tokens: Tensor, directions: list[int]) -> Tensor:
        """Scan ``(B, K, L, C)``, each of K directions with its own projections."""
        channels = tokens.shape[-1]

        def rows(t: Tensor) -> Tensor:
            return t.transpose(2, 3).flatten(1, 2)

        def own(parameter: Tensor) -> Tensor:
            # A list as an index would be copied to the GPU, which waits for it.
            return torch.stack([parameter[k] for k in directions]).float()

        # The recurrence loses too much in half precision, so it leaves autocast here.
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.float()
            projected = torch.matmul(tokens, own(self.x_proj).transpose(1, 2))
            step, B, C = projected.split([self.rank, STATES, STATES], dim=-1)
            delta = torch.matmul(step, own(self.dt_proj).transpose(1, 2))
            scanned = selective_scan(
                rows(tokens),
                rows(delta),
                -torch.exp(own(self.A_log.view(4, channels, -1))).flatten(0, 1),
                B.transpose(2, 3),
                C.transpose(2, 3),
                own(self.D.view(4, channels)).flatten(),
                own(self.dt_bias).flatten(),
                delta_softplus=True,
            )
        lines: Tensor = scanned.unflatten(1, (-1, channels)).transpose(2, 3)
        return lines


def _together(x: Tensor) -> list[list[int]]:
    """Return the groups of directions that are scanned at once.

    A CPU scans one after the other, so that their tokens need not be copied beside each other. A
    GPU is busier with all four at once; for a large image, memory allows those of one axis. A graph
    of a network has one loop instead of four.
    """
    if torch.compiler.is_exporting() or torch._C._get_tracing_state():
        return [[0, 2, 1, 3]]
    if x.device.type == "cpu":
        return [[0], [2], [1], [3]]
    return [[0, 2, 1, 3]] if x.shape[-2] * x.shape[-1] <= TOKENS_AT_ONCE else [[0, 2], [1, 3]]


class ConvGLU(nn.Module):
    """Gated linear unit whose gate sees its 3x3 neighbourhood (*given*), ``(B, H, W, C)``."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        hidden = int(channels * 2 / 3)
        self.fc1 = nn.Linear(channels, 2 * hidden)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, channels)`` to the same shape."""
        gate, value = self.fc1(x).chunk(2, dim=-1)
        gate = F.silu(self.conv(gate.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        y: Tensor = self.dropout(self.fc2(self.dropout(gate * value)))
        return y


class VSSBlock(nn.Module):
    """A scan over the whole image, then a local gate, each a residual branch (*given*)."""

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.ss2d = SS2D(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.glu = ConvGLU(channels, drop_path)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, channels)`` to the same shape."""
        x = x + self.drop_path(self.ss2d(self.norm1(x)))
        y: Tensor = x + self.drop_path(self.glu(self.norm2(x)))
        return y


class MSFF(nn.Module):
    """Multi-scale feature fusion: depthwise strips of 7, 11 and 21 pixels (*given*)."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def depthwise(height: int, width: int) -> nn.Conv2d:
            padding = (height // 2, width // 2)
            return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)

        self.square = depthwise(5, 5)
        self.strips = nn.ModuleList(
            nn.Sequential(depthwise(1, size), depthwise(size, 1)) for size in (7, 11, 21)
        )
        self.mix = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        local = self.square(x)
        wide = sum((strip(local) for strip in self.strips), local)
        return F.silu(self.norm(self.mix(wide)) + x)

    def folded(self) -> MSFF:
        """Return a copy for inference, whose norm is part of the convolution before it."""
        folded = copy.deepcopy(self)
        with torch.no_grad():
            folded.mix = fuse_conv_bn_eval(folded.mix, folded.norm)
        folded.norm = nn.Identity()  # type: ignore[assignment]
        return folded


class GLFFStage(nn.Module):
    """Two VSS blocks and, except in the last stage, MSFF; added to its input (*given*)."""

    def __init__(self, channels: int, drop_paths: list[float], fuse: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(VSSBlock(channels, rate) for rate in drop_paths))
        self.msff = MSFF(channels) if fuse else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, channels)`` to the same shape."""
        y: Tensor = self.blocks(x)
        if self.msff is not None:
            y = self.msff(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + y


class GLFF(nn.Module):
    """Global-Local Feature Fusion: four stages and a layer norm, ``(B, C, H, W)``."""

    def __init__(self, channels: int, stages: int = 4) -> None:
        super().__init__()
        rates = torch.linspace(0, DROP_PATH, 2 * stages).tolist()
        self.stages = nn.Sequential(
            *(
                GLFFStage(channels, rates[2 * i : 2 * i + 2], fuse=i < stages - 1)
                for i in range(stages)
            )
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        y: Tensor = self.norm(self.stages(x.permute(0, 2, 3, 1)))
        return y.permute(0, 3, 1, 2)


class Decoder(nn.Sequential):
    """Convolve two concatenated feature maps and double their size (*given*)."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            ConvBlock(2 * channels, channels),
            ResidualBlock(channels),
            ResidualBlock(channels),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )


class SNet(nn.Module):
    """S-Net, 1,522,306 parameters at 3 channels and 1 class.

    Parameters
    ----------
    in_channels : int
        Channels of the image; changes the first convolution alone.
    classes : int
        Output channels.
    """

    divisor = 4

    def __init__(self, in_channels: int = 1, classes: int = 1) -> None:
        super().__init__()
        self.encoder1 = nn.Sequential(
            nn.Conv2d(in_channels, WIDTH, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(inplace=True),
        )
        self.encoder2 = nn.Sequential(
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Sequential(*(ResidualBlock(WIDTH) for _ in range(3))),
        )
        self.glff = GLFF(WIDTH)
        self.decoder1 = Decoder(WIDTH)
        self.decoder2 = Decoder(WIDTH)
        self.head = nn.Sequential(nn.Conv2d(WIDTH, classes, 1, bias=False), nn.BatchNorm2d(classes))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)``."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.divisor, 0, -height % self.divisor), mode="replicate")
        half = self.encoder1(x)
        quarter = self.encoder2(half)
        y = torch.cat([self.glff(quarter), quarter], dim=1)
        del quarter  # a map that nothing reads any more is half of a tile's memory
        for layer in in_sequence(self.decoder1):
            y = layer(y)
        y = torch.cat([y, half], dim=1)
        del half
        for layer in in_sequence(self.decoder2):
            y = layer(y)
        logits: Tensor = self.head(y)
        return logits[..., :height, :width]

    def reorder(self) -> None:
        """Let the head precede the last upsampling: of its few channels, not of all features.

        A convolution of single pixels and an interpolation commute.
        """
        *layers, upsample = self.decoder2
        self.decoder2 = nn.Sequential(*layers)  # type: ignore[assignment]
        self.head = nn.Sequential(*self.head, upsample)


def in_sequence(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of nested ``nn.Sequential`` in their order.

    Whoever calls them one by one can free the input of the first once it was read; a Sequential
    keeps it until its last layer has returned.
    """
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from in_sequence(child)
    else:
        yield module


def _initialise(module: nn.Module) -> None:
    """Kaiming-normal convolutions, truncated-normal linear layers (*given*)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
