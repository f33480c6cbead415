"""Sizes of pixels: what a checkpoint learnt, and what an image has."""

from __future__ import annotations

import math

from ..checkpoints.store import CheckpointInfo
from ..images.spacing import PixelSize
from .requests import RESCALE


def matching_rescale(info: CheckpointInfo, pixel: PixelSize | None) -> float | None:
    """Return what an image is to be rescaled by to look as a checkpoint learnt it.

    Parameters
    ----------
    info : CheckpointInfo
        Of the checkpoint.
    pixel : tuple of float or None
        Height and width of the image's pixels in micrometres.

    Returns
    -------
    float or None
        With two digits after the point, within what a request allows; None where one of the two
        is unknown.
    """
    if info.spacing is None or pixel is None:
        return None
    factor = math.sqrt(math.prod(pixel) / math.prod(info.spacing))
    return min(max(round(factor, 2), RESCALE[0]), RESCALE[1])
