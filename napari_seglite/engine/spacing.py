"""Sizes of pixels: what a checkpoint learnt, and what an image has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..store.checkpoints import CheckpointInfo
from .requests import RESCALE

PixelSize = tuple[float, float]


def micrometres(sizes: Sequence[float], unit: Any) -> PixelSize | None:
    """Return the height and width of a pixel in micrometres.

    Parameters
    ----------
    sizes : sequence of float
        Along all axes; Y and X are the last two.
    unit : str or pint.Unit
        Of the sizes.

    Returns
    -------
    tuple of float or None
        None where the unit is no length, as pixels are.
    """
    import pint

    registry = pint.get_application_registry()
    try:
        factor = float(registry.Quantity(1.0, str(unit)).to("micrometer").magnitude)
    except (pint.PintError, AttributeError, ValueError):
        return None
    height, width = (abs(float(n)) * factor for n in tuple(sizes)[-2:])
    return (height, width) if height > 0 and width > 0 else None


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
