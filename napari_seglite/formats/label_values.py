"""What an image holds as labels: whole numbers, however they are stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ImageError
from ..images import ImageAxes
from .image_file import ImageFile


def whole_numbers(image: ImageFile) -> ImageFile:
    """Return labels in memory as integers without channels.

    Parameters
    ----------
    image : ImageFile
        Integers, booleans, or floats that are whole numbers; with channels only if all of them are
        equal, as in a grey picture saved in colours. A fourth, constant channel is transparency.

    Raises
    ------
    ImageError
        If the image cannot be labels; the message says why.
    """
    values = np.asarray(image.array)
    axes = image.axes
    if "C" in axes.order:
        values = _equal_channels(np.moveaxis(values, axes.order.index("C"), -1))
        axes = ImageAxes(axes.labels)
    if values.dtype.kind == "f":
        values = _rounded(values)
    if values.dtype.kind not in "uib":
        raise ImageError(f"labels must be whole numbers, not {values.dtype}.")
    return replace(image, array=values, axes=axes, levels=(values,), channels=(), rgb=False)


def _equal_channels(values: np.ndarray) -> np.ndarray:
    count = values.shape[-1]
    alpha = count in (2, 4) and (values[..., -1] == values[..., -1].flat[0]).all()
    colours = values[..., : count - 1] if alpha else values
    if (colours != colours[..., :1]).any():
        raise ImageError(
            f"this is a picture of {count} channels, not labels. Save one whole number per pixel, "
            "for example as a grey or palette PNG or as TIFF."
        )
    return colours[..., 0]


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return floats that are whole numbers as integers; NaN, which many mean by none, as -1."""
    missing = np.isnan(values)
    whole = np.where(missing, -1, values)
    if np.isinf(whole).any() or (whole != np.floor(whole)).any():
        wrong = float(whole[(whole != np.floor(whole)) | np.isinf(whole)].flat[0])
        raise ImageError(
            f"labels must be whole numbers, and there is {wrong:g}. Probabilities have to be made "
            "into labels first, by a threshold."
        )
    low, high = float(whole.min(initial=0)), float(whole.max(initial=0))
    if low < -(2**31) or high >= 2**32:
        raise ImageError(
            f"labels reach from {low:g} to {high:g}, which no counting of objects does."
        )
    if low < 0:
        return whole.astype(np.int64)
    return whole.astype(np.min_scalar_type(int(high)))
