"""PNG, JPEG and BMP pictures."""

from __future__ import annotations

from pathlib import Path

from ..images import guess_axes
from .image_file import ImageFile


def read_picture(path: Path) -> ImageFile:
    """Read a picture, grey or in colours; an alpha channel beside grey is dropped."""
    from skimage.io import imread

    pixels = imread(path)
    if pixels.ndim == 3 and pixels.shape[-1] == 2:  # grey and alpha
        pixels = pixels[..., 0]
    axes = guess_axes(pixels.shape)
    return ImageFile(pixels, axes, (1.0,) * len(axes.labels), "pixel")
