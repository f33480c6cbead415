"""LossNet: predictions and labels compared by the features of a frozen VGG-16.

Zhao et al., M2SNet, arXiv 2303.10894. It is not trained, but it needs VGG-16's ImageNet weights.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENVIRONMENT_VARIABLE = "SEGLITE_VGG16"
SIZE = 224
# Ends of the four stages in the published list of layers (*given*).
STAGES = ((0, 4), (4, 9), (9, 16), (16, 23))
_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG16Features(nn.Module):
    """VGG-16's convolutions up to the fourth stage (Simonyan and Zisserman, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _WIDTHS:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ``(B, 3, H, W)`` to the maps at the end of the four stages."""
        maps = []
        for begin, end in STAGES:
            x = self.features[begin:end](x)
            maps.append(x)
        return maps


class LossNet(nn.Module):
    """The sum over four stages of the mean squared difference of features (*given*).

    Parameters
    ----------
    weights : dict
        Of `VGG16Features`, as `published.convert` makes them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.vgg = VGG16Features()
        self.vgg.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Compare probabilities and masks ``(B, H, W)``, both 0 to 1; returns a scalar."""
        pairs = zip(
            self.vgg(self._prepare(prediction)), self.vgg(self._prepare(truth)), strict=True
        )
        return torch.stack([F.mse_loss(a, b) for a, b in pairs]).sum()

    def _prepare(self, mask: Tensor) -> Tensor:
        rgb = (mask[:, None].expand(-1, 3, -1, -1) - self.mean) / self.std
        return F.interpolate(rgb, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


@cache
def installed(device: str = "cpu") -> LossNet | None:
    """Return LossNet with the weights that ``SEGLITE_VGG16`` names, or None without them.

    The variable holds the path of VGG-16's published ImageNet weights
    (``vgg16-397923af.pth``, whose SHA-256 begins with its name's digits).

    Raises
    ------
    ValueError
        If the file holds something else.
    FileNotFoundError
        If there is no such file.
    """
    from .published import convert, read_weights

    path = os.environ.get(ENVIRONMENT_VARIABLE)
    if not path:
        return None
    return LossNet(convert("vgg-16", read_weights(Path(path)))).to(device)
