"""VGG-16's convolutions, whose features LossNet compares.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR
2015, arXiv 1409.1556. The layers are *given* and numbered as in the published weights; those after
the fourth stage and the classifier are left out.
"""

from __future__ import annotations

from torch import Tensor, nn

# First layer of each of the four stages, and the layer after its last (*given*).
STAGES = ((0, 4), (4, 9), (9, 16), (16, 23))
# Output channels of the convolutions; 0 stands for max-pooling.
_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)


class VGG16Features(nn.Module):
    """VGG-16 up to the end of its fourth stage, without a classifier."""

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
        """Map ``(B, 3, H, W)`` to the feature maps at the end of the four stages.

        Returns
        -------
        list of Tensor
            ``(B, 64, H, W)``, ``(B, 128, H/2, W/2)``, ``(B, 256, H/4, W/4)`` and
            ``(B, 512, H/8, W/8)``, sizes rounded down.
        """
        maps = []
        for begin, end in STAGES:
            x = self.features[begin:end](x)
            maps.append(x)
        return maps
