"""Read the pixels of a project's image from its file, if they are still those it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import AnnotationError
from ..formats import ImageFile, read_image
from ..images import ArrayLike, ImageAxes
from .project_image import ProjectImage


def read_fitting(path: Path, image: ProjectImage) -> ArrayLike:
    """Return the pixels of a file, with the axes of a project's image.

    Raises
    ------
    AnnotationError
        If the file has another size.
    ImageError
        If the file cannot be read.
    """
    stored = read_image(path)
    pixels, size = stored.array, image.corrections.shape
    if not _fits(pixels, image.axes, size):
        # The viewer shows channels before the rows wherever the file has them.
        pixels = _channels_moved(stored, image.axes)
    if not _fits(pixels, image.axes, size):
        frames, height, width = size
        raise AnnotationError(
            f"{path} has the shape {stored.array.shape}, which does not fit the {frames} frames of "
            f"{height} x {width} pixels that were corrected."
        )
    return pixels


def _fits(pixels: ArrayLike, axes: ImageAxes, size: tuple[int, ...]) -> bool:
    """Whether pixels can be an image of these axes, of so many frames of a height and width."""
    shape = tuple(pixels.shape)
    return len(shape) == len(axes.order) and size == (
        axes.frame_count(shape),
        *axes.frame_shape(shape),
    )


def _channels_moved(image: ImageFile, axes: ImageAxes) -> ArrayLike:
    """Return an image's pixels with the channels where other axes have them, if they differ so."""
    order, pixels = image.axes.order, image.array
    if order.replace("C", "") != axes.labels or len(order) != len(axes.order):
        return pixels
    if not isinstance(pixels, np.ndarray):
        import dask.array

        pixels = dask.array.from_array(pixels)
    moved: ArrayLike = pixels.transpose([order.index(axis) for axis in axes.order])
    return moved
