"""LossNet: the distance of predictions and labels in the features of a frozen VGG-16.

Zhao et al., M2SNet, arXiv 2303.10894. LossNet itself is not trained; it needs VGG-16's published
ImageNet weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .published import convert, read_weights
from .vgg16 import VGG16Features
from .vgg16_file import chosen

# Side in pixels of the square to which masks are resized.
SIZE = 224
# Of ImageNet's red, green and blue.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LossNet(nn.Module):
    """The sum over four stages of the mean squared difference of features (*given*).

    Parameters
    ----------
    weights : dict
        State dict of `VGG16Features`, as ``published.convert("vgg-16", ...)`` returns it.
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
        """Compare a prediction with the truth.

        Parameters
        ----------
        prediction, truth : Tensor
            ``(B, H, W)``, probabilities and masks from 0 to 1.

        Returns
        -------
        Tensor
            Scalar, 0 or above.
        """
        pairs = zip(
            self.vgg(self._prepare(prediction)), self.vgg(self._prepare(truth)), strict=True
        )
        return torch.stack([F.mse_loss(a, b) for a, b in pairs]).sum()

    def _prepare(self, mask: Tensor) -> Tensor:
        rgb = (mask[:, None].expand(-1, 3, -1, -1) - self.mean) / self.std
        return F.interpolate(rgb, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


def installed(device: str = "cpu") -> LossNet | None:
    """Return LossNet with the weights in the file that `vgg16_file` names, or None without one.

    The file holds VGG-16's published ImageNet weights, see `vgg16_file.PUBLISHED`.

    Parameters
    ----------
    device : str
        The torch device on which LossNet computes.

    Raises
    ------
    ValueError
        If the file holds something else.
    FileNotFoundError
        If there is no such file.
    """
    path = chosen()
    return None if path is None else _read(path, device)


@cache
def _read(path: Path, device: str) -> LossNet:
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}, from where M2SNet's LossNet should read VGG-16's weights. "
            "Choose another file, or none."
        )
    return LossNet(convert("vgg-16", read_weights(path))).to(device)
