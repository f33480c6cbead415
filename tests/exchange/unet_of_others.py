"""A small U-Net as others write it; its source also travels in a package."""

import torch
from torch import nn


def block(given, made):
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()
    )


class UNet(nn.Module):
    """With batch norm, a transposed convolution, and one bilinear step upwards."""

    def __init__(self, width=6):
        super().__init__()
        self.first, self.second = block(1, width), block(width, 2 * width)
        self.third = block(2 * width, 4 * width)
        self.up = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.fourth, self.fifth = block(4 * width, 2 * width), block(3 * width, width)
        self.last = nn.Conv2d(width, 1, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        first = self.first(x)
        second = self.second(self.pool(first))
        up = self.up(self.third(self.pool(second)))
        fourth = self.fourth(torch.cat([up, second], 1))
        wide = nn.functional.interpolate(fourth, size=first.shape[2:], mode="bilinear")
        return self.last(self.fifth(torch.cat([wide, first], 1))).sigmoid()
