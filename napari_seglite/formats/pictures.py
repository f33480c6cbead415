"""PNG, JPEG and BMP pictures."""

from __future__ import annotations

from pathlib import Path

from .image_file import ImageFile


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a picture, grey or in colours; an alpha channel beside grey is dropped."""
    from skimage.io import imread

    pixels = imread(path)
    if pixels.ndim == 3 and pixels.shape[-1] == 2:  # grey and alpha
        pixels = pixels[..., 0]
    rgb = pixels.ndim == 3
    return ImageFile.from_levels([pixels], "YXC" if rgb else "YX", rgb=rgb)
